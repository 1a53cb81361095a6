"""Learning to give images back from latents (section 3.5): errors of pixels and of features, a divergence
that keeps latents near a normal distribution, and a discriminator's judgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from space.autoencoder_network import AutoencoderNetwork, Posterior
from space.shared.plain import InputError, check_choices
from space.shared.seeds import generator
from training.adamw import QuickAdamW
from training.data.dataset import Dataset
from training.devices import Scalar, moved
from training.objectives.base import DISCRIMINATOR, TrainedPart, TrainingObjective
from training.objectives.discriminator import ADVERSARIAL_LOSSES, AdversarialSettings, PatchDiscriminator
from training.settings import TrainingSettings

AUTOENCODER = "autoencoder"
MOST_ADAPTIVE = 1e4  # times the weight of an adversarial term


class PerceptualNetwork(Protocol):
    """How far images are apart to a network that stays as it is.

    Attributes:
        name: what it is, with its preparation; part of a training's protocol.
        digest: of its weights.
    """

    name: str
    digest: str

    def __call__(self, images: Tensor, others: Tensor) -> Tensor:
        """(B,), of (B, 3, H, W) each in [-1, 1]; gradients pass."""
        ...


@dataclass(frozen=True)
class ReconstructionSettings:
    """What `conf/reconstruction/*.yaml` hold: how an autoencoder learns."""

    steps: int = 500
    batch_size: int = 16
    learning_rate: float = 1e-3
    betas: tuple[float, ...] = (0.9, 0.99)
    weight_decay: float = 0.0
    warmup_steps: int = 20
    decay: Literal["none", "linear", "cosine"] = "none"
    gradient_clip: float = 1.0
    ema_decay: float = 0.97
    validation_images: int = 256
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    micro_batch: int | None = None
    spike_factor: float | None = None
    pixel: Literal["l2", "l1"] = "l2"
    kl: float = 1e-6
    perceptual: float = 0.5
    decoder_only: bool = False
    adversarial: AdversarialSettings = field(default_factory=AdversarialSettings)

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("kl", "perceptual"):
            if not 0 <= getattr(self, name) < inf:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 0 or more, finite")
        if self.spike_factor is not None and self.adversarial.kind != "none":
            raise InputError(
                f"spike_factor: {self.spike_factor:g} beside adversarial.kind: {self.adversarial.kind} is no "
                "choice, since that loss jumps at from_step and may be below 0; allowed: null"
            )
        self.of_the_loop()

    def of_the_loop(self) -> TrainingSettings:
        """What is the same for every objective. Raises InputError."""
        own = set(TrainingSettings.__dataclass_fields__) & set(self.__dataclass_fields__)
        return TrainingSettings(**{name: getattr(self, name) for name in own})


class ReconstructionBatch(NamedTuple):
    """What one step learns from."""

    images: Tensor  # (B, 3, H, W) in [-1, 1]
    noise: Tensor  # (B, C, H / f, W / f), of the latents


class ReconstructionObjective(TrainingObjective[ReconstructionBatch, AutoencoderNetwork]):
    """Autoencoder and discriminator by turns; images and noise derive from (seed, step) alone.

    The divergence is of a whole latent and shared among the numbers of an image, as the other terms are means
    over these: so weights are those that others train with (1e-6, say).
    """

    name: ClassVar[str] = "reconstruction"

    def __init__(
        self,
        model: AutoencoderNetwork,
        data: Dataset,
        settings: ReconstructionSettings,
        seed: int,
        perceptual: PerceptualNetwork | None,
        device: torch.device,
    ) -> None:
        self.model, self.data, self.settings, self.seed = model, data, settings, seed
        self.perceptual, self.device = perceptual, device
        self.loop, self.is_judged = settings.of_the_loop(), False
        if settings.decoder_only:
            model.encoder.requires_grad_(False)
        self.parts = {AUTOENCODER: TrainedPart(model, self._optimizer(model, settings.learning_rate))}
        self.adversarial = settings.adversarial
        self._terms: dict[str, Scalar] = {}
        if self.adversarial.kind != "none":
            self.discriminator = PatchDiscriminator(self.adversarial).to(device)
            optimizer = self._optimizer(self.discriminator, self.adversarial.learning_rate)
            self.parts[DISCRIMINATOR] = TrainedPart(self.discriminator, optimizer)
            self.losses = ADVERSARIAL_LOSSES[self.adversarial.kind]

    def _optimizer(self, module: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        first, second = self.settings.betas
        decay = self.settings.weight_decay
        return QuickAdamW(trained, self.device, lr=rate, betas=(first, second), weight_decay=decay)

    def turns(self, step: int) -> Sequence[str]:
        self.is_judged = DISCRIMINATOR in self.parts and step >= self.adversarial.from_step
        return (AUTOENCODER, DISCRIMINATOR) if self.is_judged else (AUTOENCODER,)

    def terms(self) -> Mapping[str, float]:
        """Neither weighed nor divided."""
        return {name: value.read() for name, value in self._terms.items()}

    def batch(self, step: int, rows: range | None = None) -> ReconstructionBatch:
        size, a = self.settings.batch_size, self.model.autoencoder
        part = range(size) if rows is None else rows
        images, _ = self.data.at(range(step * size + part.start, step * size + part.stop), self.seed)
        own = generator("step", self.seed, step, device=self.device)
        side = images.shape[-1] // a.factor
        noise = torch.randn((size, a.latent_channels, side, side), generator=own, device=self.device)
        return ReconstructionBatch(moved(images, self.device), noise[part.start : part.stop])

    def loss(self, part: str, batch: ReconstructionBatch) -> Tensor:
        with self.loop.autocast(self.device):
            return self._of_discriminator(batch) if part == DISCRIMINATOR else self._of_autoencoder(batch)

    def _of_autoencoder(self, batch: ReconstructionBatch) -> Tensor:
        with torch.set_grad_enabled(not self.settings.decoder_only):
            posterior = self._posterior(batch.images)
            latents = posterior.sample(batch.noise)
        given = self.model.decode(latents)
        loss = distance = self._distance(given, batch.images)
        self._terms = {"distance": Scalar(distance)}
        if self.is_judged:
            judged = self.losses.generator(self.discriminator(given).float())
            weight = self._adversarial_weight(distance, judged)
            loss = loss + weight * judged
            self._terms |= {"adversarial": Scalar(judged), "adversarial_weight": Scalar(weight)}
        if self.settings.kl and not self.settings.decoder_only:
            divergence = posterior.kl().mean()
            loss = loss + self.settings.kl * divergence / batch.images[0].numel()
            self._terms["divergence"] = Scalar(divergence)
        return loss

    def _of_discriminator(self, batch: ReconstructionBatch) -> Tensor:
        with torch.no_grad():
            given = self.model.decode(self._posterior(batch.images).sample(batch.noise))
        logits = (self.discriminator(images).float() for images in (batch.images, given))
        loss = self.losses.discriminator(*logits)
        self._terms["discriminator"] = Scalar(loss)
        return loss

    def _posterior(self, images: Tensor) -> Posterior:
        """In fp32: the divergence is a small difference of large numbers."""
        return Posterior(*(part.float() for part in self.model.encode(images)))

    def _distance(self, given: Tensor, images: Tensor) -> Tensor:
        error = F.mse_loss if self.settings.pixel == "l2" else F.l1_loss
        loss = error(given.float(), images)
        if self.perceptual is not None and self.settings.perceptual:
            loss = loss + self.settings.perceptual * self.perceptual(given, images).mean()
        return loss

    def _adversarial_weight(self, loss: Tensor, judged: Tensor) -> Tensor:
        if not self.adversarial.adaptive:
            return torch.tensor(self.adversarial.weight, device=self.device)
        last = self.model.decoder.last_weight
        ours, theirs = (
            torch.autograd.grad(term, last, retain_graph=True)[0].norm() for term in (loss, judged)
        )
        return self.adversarial.weight * (ours / (theirs + 1e-4)).clamp(max=MOST_ADAPTIVE).detach()

    @torch.no_grad()
    def validation_loss(self, model: AutoencoderNetwork) -> float:
        """The errors of pixels and features alone, through the mean of each latent."""
        model.eval()
        count = min(self.settings.validation_images, len(self.data.held_out_captions))
        total = 0.0
        for start in range(0, count, self.settings.batch_size):
            indices = range(start, min(start + self.settings.batch_size, count))
            images = self.data.held_out(indices)[0].to(self.device)
            with self.loop.autocast(self.device):
                total += float(self._distance(model(images), images)) * len(indices)
        return total / count
