"""One step by adversarial fine-tuning: UFOGen (Xu et al., 2023; section 4 of the paper).

The generator predicts x0' from x_t. Real and predicted latents are noised to an earlier level t - gap by the
forward process with fresh noise, and there a discriminator tells them apart:

    min_G max_D  log D(x_{t-gap}, t) + log(1 - D(x'_{t-gap}, t)) + weight gamma_t |target - x0'|^2    (1)

The generator minimises -log D(x') instead of log(1 - D(x')), as is usual: the two agree about what is best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from space.shared.plain import InputError
from space.shared.seeds import generator
from training.adapters import LoraSettings, add_lora
from training.data.dataset import Dataset
from training.devices import Scalar
from training.failures import Diverged
from training.model import Model
from training.objectives.base import TrainedPart, TrainingObjective
from training.objectives.diffusion import DiffusionBatch, DiffusionObjective
from training.objectives.discriminator import Discriminator, as_it_is, network_alone
from training.settings import TrainingSettings

GENERATOR, DISCRIMINATOR = "model", "discriminator"


@dataclass(frozen=True)
class UfogenSettings:
    """The fields of conf/objective/ufogen.yaml."""

    name: Literal["ufogen"] = "ufogen"
    reconstruction: Literal["diffusion", "distill", "ema", "none"] = "diffusion"
    reconstruction_weight: float = 1.0
    gamma: Literal["signal", "one"] = "signal"
    reconstruction_ema_decay: float = 0.999
    finetune: Literal["full", "lora"] = "full"
    lora: LoraSettings = field(default_factory=LoraSettings)
    timesteps: Literal["all", "grid", "last"] = "all"
    gap: int = 250
    condition: Literal["t", "t_minus"] = "t_minus"
    discriminator_every: int = 2
    discriminator_learning_rate: float | None = None
    discriminator_betas: tuple[float, ...] = (0.0, 0.999)
    zero_last_layer: bool = True
    clamp_logits: float | None = 0.5
    zero_terminal_snr: bool | None = None
    sampling_steps: int = 1
    collapse: float | None = 0.999

    def __post_init__(self) -> None:
        for name in ("gap", "discriminator_every", "sampling_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")
        if not self.reconstruction_weight >= 0:
            raise InputError(
                f"reconstruction_weight: {self.reconstruction_weight:g} is not possible; allowed: 0 or more"
            )
        if not 0 <= self.reconstruction_ema_decay <= 1:
            raise InputError(
                f"reconstruction_ema_decay: {self.reconstruction_ema_decay:g} is not possible; "
                "allowed: 0 to 1"
            )
        for name in ("discriminator_learning_rate", "clamp_logits"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise InputError(f"{name}: {value:g} is not possible; allowed: above 0, or null")
        if self.collapse is not None and not 0.5 < self.collapse < 1:
            raise InputError(
                f"collapse: {self.collapse:g} is not possible; allowed: between 0.5 and 1, or null"
            )
        if len(self.discriminator_betas) != 2 or not all(0 <= beta < 1 for beta in self.discriminator_betas):
            raise InputError(
                f"discriminator_betas: {list(self.discriminator_betas)} is not possible; allowed: two "
                "numbers from 0 up to below 1"
            )


class UfogenBatch(NamedTuple):
    """What one step learns from."""

    data: DiffusionBatch
    real_noise: Tensor  # (B, C, H, W), by which x0 becomes x_{t-gap}
    fake_noise: Tensor  # likewise, of x0'
    step: Tensor  # which one it is


class UfogenObjective(TrainingObjective[UfogenBatch, Model]):
    """A generator from noise in one step, and its discriminator.

    Both begin as the base model, whose text encoder stays as it is. Images, timesteps and all noise derive
    from (seed, step) alone.
    """

    name: ClassVar[str] = "ufogen"

    def __init__(
        self,
        model: Model,
        data: Dataset,
        settings: TrainingSettings,
        seed: int,
        own: UfogenSettings,
    ) -> None:
        """
        Args:
            model: holds the base's weights; becomes the generator.
        """
        if own.gap > model.diffusion.settings.timesteps:
            raise InputError(
                f"objective.gap: {own.gap} is not possible; allowed: at most "
                f"{model.diffusion.settings.timesteps}, the base's timesteps"
            )
        self.model, self.settings, self.seed, self.own = model, settings, seed, own
        model.settings = replace(model.settings, one_step=True)
        model.requires_grad_(False)
        base = network_alone(model)
        self.teacher = network_alone(model) if own.reconstruction == "distill" else None
        if own.finetune == "lora":
            add_lora(model, own.lora)
        else:
            model.unet.requires_grad_(True)
        follower = model if own.reconstruction == "ema" else None
        self.discriminator = Discriminator(base, zero_last_layer=own.zero_last_layer, follower=follower)
        self.diffusion = DiffusionObjective(model, data, settings, seed)
        rate = own.discriminator_learning_rate or settings.learning_rate
        self.parts = {
            GENERATOR: TrainedPart(model, self._adam(model, settings.learning_rate, settings.betas)),
            DISCRIMINATOR: TrainedPart(
                self.discriminator, self._adam(self.discriminator, rate, own.discriminator_betas)
            ),
        }
        self._terms: dict[str, Scalar] = {}

    def turns(self, step: int) -> Sequence[str]:
        """The generator in each, the discriminator in some."""
        return tuple(self.parts) if step % self.own.discriminator_every == 0 else (GENERATOR,)

    def terms(self) -> Mapping[str, float]:
        return {name: value.read() for name, value in self._terms.items()}

    def batch(self, step: int, rows: range | None = None) -> UfogenBatch:
        size, device = self.settings.batch_size, self.model.device
        part = range(size) if rows is None else rows
        own = generator("ufogen", self.seed, step, device=device)
        real, fake = (
            torch.randn((size, *self.model.latent_shape), generator=own, device=device)[
                part.start : part.stop
            ]
            for _ in range(2)
        )
        data = self.diffusion.batch(step, rows)
        data = data._replace(timesteps=self.trained_levels(data.timesteps))
        return UfogenBatch(data, real, fake, torch.tensor(step))

    def trained_levels(self, timesteps: Tensor) -> Tensor:
        """(B,) timesteps spread over all levels to those that are trained: all, those from which steps of
        the gap lead to clean latents, or the last."""
        last, gap = self.model.diffusion.settings.timesteps - 1, self.own.gap
        if self.own.timesteps == "all":
            return timesteps
        if self.own.timesteps == "last":
            return torch.full_like(timesteps, last)
        count = -(-(last + 1) // gap)
        return last - gap * ((last - timesteps) * count // (last + 1))

    def before(self, timesteps: Tensor) -> Tensor:
        """(B,) the levels that the discriminator sees; -1 is clean."""
        return (timesteps - self.own.gap).clamp(min=-1)

    def gamma(self, timesteps: Tensor) -> Tensor:
        """(B,) The paper does not say what it is. `signal`: that of the level that the discriminator sees,
        so that the term is |x_{t-gap} - x'_{t-gap}|^2 with one noise for both."""
        if self.own.gamma == "one":
            return torch.ones_like(timesteps, dtype=torch.float32)
        return self.model.diffusion.signal_share(self.before(timesteps))

    def loss(self, part: str, batch: UfogenBatch) -> Tensor:
        latents, context = self._read(batch.data)
        if part == DISCRIMINATOR:
            return self._discriminator_loss(batch, latents, context)
        return self._generator_loss(batch, latents, context)

    def validation_loss(self, model: Model) -> float:
        """Of the diffusion that the base learnt: how far the generator has gone from it."""
        return self.diffusion.validation_loss(model)

    # ------------------------------------------------------------------ losses

    def _generator_loss(self, batch: UfogenBatch, latents: Tensor, context: Tensor) -> Tensor:
        timesteps, critic = batch.data.timesteps, self.discriminator
        noisy = self.model.diffusion.add_noise(latents, batch.data.noise, timesteps)
        clean = self._clean(self.model, noisy, timesteps, context)
        with as_it_is(critic):
            logits = self._judged(clean, batch.fake_noise, timesteps, context)
        adversarial = F.softplus(-logits).mean()  # -log D(x')
        critic.follow(self.model, batch.step, self.own.reconstruction_ema_decay)
        target = self._target(latents, noisy, timesteps, context)
        error = (target - clean).square().mean(dim=(1, 2, 3))
        reconstruction = (self.gamma(timesteps) * error).mean()
        self._terms |= {"adversarial": Scalar(adversarial), "reconstruction": Scalar(reconstruction)}
        if self.own.reconstruction == "none":
            return adversarial
        return adversarial + self.own.reconstruction_weight * reconstruction

    def _discriminator_loss(self, batch: UfogenBatch, latents: Tensor, context: Tensor) -> Tensor:
        self._check_collapse(int(batch.step))
        timesteps = batch.data.timesteps
        with torch.no_grad():
            noisy = self.model.diffusion.add_noise(latents, batch.data.noise, timesteps)
            clean = self._clean(self.model, noisy, timesteps, context)
        real = self._judged(latents, batch.real_noise, timesteps, context)
        fake = self._judged(clean, batch.fake_noise, timesteps, context)
        self.discriminator.watch(real, fake)
        self._terms["told_apart"] = Scalar(self.discriminator.told_apart)
        # Beyond the clamp a logit that is right counts no more; a wrong one always does.
        if (most := self.own.clamp_logits) is not None:
            real, fake = real.clamp(max=most), fake.clamp(min=-most)
        loss = F.softplus(-real).mean() + F.softplus(fake).mean()  # -log D(x) - log(1 - D(x'))
        self._terms["discriminator"] = Scalar(loss)
        return loss

    def _check_collapse(self, step: int) -> None:
        """Of the updates so far: where all is told apart for long, the generator no longer follows."""
        share = self._terms.get("told_apart")
        if self.own.collapse is not None and share is not None and share.read() > self.own.collapse:
            raise Diverged(
                f"the discriminator tells {share.read():.2%} apart by step {step} (objective.collapse: "
                f"{self.own.collapse:g}), which leaves the generator nothing to follow; a smaller "
                "objective.discriminator_learning_rate or another objective.gap may help"
            )

    def _read(self, data: DiffusionBatch) -> tuple[Tensor, Tensor]:
        """Latents and text features."""
        if isinstance(data.tokens, Tensor):
            return data.images, data.tokens
        with torch.no_grad(), self._autocast():
            return self.model.codec.encode(data.images), self.model.text_encoder(data.tokens)

    def _clean(self, model: Model, noisy: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        with self._autocast():
            prediction = model(noisy, timesteps, context)
        return self.model.diffusion.clean(prediction.float(), noisy, timesteps)

    def _judged(self, clean: Tensor, noise: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """(B,) logits of latents, noised to the level that the discriminator sees."""
        before = self.before(timesteps)
        told = timesteps if self.own.condition == "t" else before.clamp(min=0)
        noised = self.model.diffusion.noised(clean, noise, before)
        with self._autocast():
            logits: Tensor = self.discriminator(noised, told, context)
        return logits

    @torch.no_grad()
    def _target(self, latents: Tensor, noisy: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """Of the reconstruction term: data, or what a frozen or a slower network makes of the same noise."""
        slower = self.teacher or self.discriminator.follower
        return latents if slower is None else self._clean(slower, noisy, timesteps, context)

    def _autocast(self) -> AbstractContextManager[Any]:
        return self.settings.autocast(self.model.device)

    def _adam(self, module: nn.Module, rate: float, betas: Sequence[float]) -> torch.optim.AdamW:
        return torch.optim.AdamW(
            [parameter for parameter in module.parameters() if parameter.requires_grad],
            lr=rate,
            betas=(betas[0], betas[1]),
            weight_decay=self.settings.weight_decay,
            fused=True,
        )
