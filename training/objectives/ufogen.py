"""One step by adversarial fine-tuning: UFOGen (Xu et al., 2023; section 4 of the paper).

The generator predicts x0' from x_t. Real and predicted latents are noised to an earlier level t - gap by the
forward process with fresh noise, and there a discriminator tells them apart:

    min_G max_D  log D(x_{t-gap}, t) + log(1 - D(x'_{t-gap}, t)) + weight gamma_t |target - x0'|^2    (1)

The generator minimises -log D(x') instead of log(1 - D(x')), as is usual: the two agree about what is best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from space.shared.plain import InputError
from space.shared.seeds import generator
from training.data.dataset import Dataset
from training.devices import Scalar
from training.failures import Collapsed
from training.model import Model, ModelSettings
from training.objectives.base import DISCRIMINATOR, TrainedPart
from training.objectives.critic import Discriminator, as_it_is, network_alone, passed_on
from training.objectives.diffusion import DiffusionBatch
from training.objectives.student import GENERATOR, Sampled, StudentObjective, StudentSettings
from training.settings import TrainingSettings


@dataclass(frozen=True)
class UfogenSettings(StudentSettings):
    """The fields of conf/objective/ufogen.yaml."""

    name: Literal["ufogen"] = "ufogen"
    reconstruction: Literal["diffusion", "distill", "ema", "none"] = "diffusion"
    reconstruction_weight: float = 1.0
    gamma: Literal["signal", "one"] = "signal"
    reconstruction_ema_decay: float = 0.999
    timesteps: Literal["all", "grid", "last"] = "all"
    gap: int = 250
    condition: Literal["t", "t_minus"] = "t_minus"
    discriminator_every: int = 2
    discriminator_learning_rate: float | None = None
    discriminator_betas: tuple[float, ...] = (0.0, 0.999)
    zero_last_layer: bool = True
    clamp_logits: float | None = 0.5
    sampling_steps: int = 1
    collapse: float | None = 0.98

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("gap", "discriminator_every", "sampling_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")
        if not 0 <= (weight := self.reconstruction_weight) < inf:
            raise InputError(f"reconstruction_weight: {weight:g} is not possible; allowed: 0 or more, finite")
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

    @property
    def rivals(self) -> bool:
        return True

    def check(self, base: ModelSettings) -> None:
        super().check(base)
        if self.gap > (most := base.diffusion.timesteps):
            raise InputError(
                f"objective.gap: {self.gap} is not possible; allowed: at most {most}, the base's timesteps"
            )

    def without_effect(self) -> dict[str, str]:
        beside = f"reconstruction={self.reconstruction}"
        acts = {
            "teacher": self.reconstruction == "distill",
            "reconstruction_ema_decay": self.reconstruction == "ema",
            **dict.fromkeys(("reconstruction_weight", "gamma"), self.reconstruction != "none"),
        }
        return super().without_effect() | {name: beside for name, does in acts.items() if not does}

    def sampled(self, base: ModelSettings) -> Sampled:
        return Sampled(self.sampling_steps, 1.0)

    def make(
        self, model: Model, data: Dataset, settings: TrainingSettings, seed: int, teacher: Model
    ) -> UfogenObjective:
        return UfogenObjective(model, data, settings, seed, self, teacher)


class UfogenBatch(NamedTuple):
    """What one step learns from."""

    data: DiffusionBatch
    real_noise: Tensor  # (B, C, H, W), by which x0 becomes x_{t-gap}
    fake_noise: Tensor  # likewise, of x0'
    step: Tensor  # which one it is


class UfogenObjective(StudentObjective[UfogenBatch]):
    """A generator from noise in one step, and its discriminator.

    Both begin as the base model.
    """

    name: ClassVar[str] = "ufogen"

    def __init__(
        self,
        model: Model,
        data: Dataset,
        settings: TrainingSettings,
        seed: int,
        own: UfogenSettings,
        teacher: Model,
    ) -> None:
        """
        Args:
            model: holds the base's weights; becomes the generator.
            teacher: of the reconstruction term `distill`.
        """
        self.own = own
        model.settings = replace(model.settings, one_step=True)
        base = network_alone(model)
        self.teacher = teacher.requires_grad_(False) if own.reconstruction == "distill" else None
        super().__init__(model, data, settings, seed, own)
        self._check_sampled()
        follower = model if own.reconstruction == "ema" else None
        self.discriminator = Discriminator(base, zero_last_layer=own.zero_last_layer, follower=follower)
        rate = own.discriminator_learning_rate or settings.learning_rate
        adam = self.adam(self.discriminator, rate, own.discriminator_betas)
        self.parts = {**self.parts, DISCRIMINATOR: TrainedPart(self.discriminator, adam)}
        self._terms: dict[str, Scalar] = {}
        self._counts_all = False
        levels = torch.arange(model.diffusion.settings.timesteps, device=model.device)
        self._counts_all = not bool(self.counted(self.trained_levels(levels)).any())
        self._told_apart: Scalar | None = None  # by the update before, if weights weren't loaded since
        self.discriminator.register_load_state_dict_post_hook(self._forget)

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

    def _check_sampled(self) -> None:
        """Raises InputError for sampling steps of which some are at levels that are not trained."""
        diffusion, own = self.model.diffusion, self.own
        if own.timesteps == "all":
            return
        trained = set(self.trained_levels(torch.arange(diffusion.settings.timesteps)).tolist())
        counts = range(1, len(trained) + 1)
        possible = [count for count in counts if trained.issuperset(diffusion.trailing(count)[0].tolist())]
        if own.sampling_steps not in possible:
            raise InputError(
                f"objective.sampling_steps: {own.sampling_steps}: some are at timesteps that are not "
                f"trained (objective.timesteps: {own.timesteps}, gap: {own.gap}); allowed: "
                f"{', '.join(map(str, possible))}, or objective.timesteps=all"
            )

    def before(self, timesteps: Tensor) -> Tensor:
        """(B,) the levels that the discriminator sees; -1 is clean."""
        return (timesteps - self.own.gap).clamp(min=-1)

    def gamma(self, timesteps: Tensor) -> Tensor:
        """(B,) The paper does not say what it is. `signal`: that of the level that the discriminator sees,
        so that the term is |x_{t-gap} - x'_{t-gap}|^2 with one noise for both."""
        if self.own.gamma == "one":
            return torch.ones_like(timesteps, dtype=torch.float32)
        signal, _ = self.model.diffusion.levels(self.before(timesteps))
        return signal.flatten().square()

    def counted(self, timesteps: Tensor) -> Tensor:
        """(B,) Of which a discriminator can know more than luck: what it sees with at least as much signal as
        noise; all, where it sees nothing so."""
        signal, noise = self.model.diffusion.levels(self.before(timesteps))
        return (signal >= noise).flatten() | self._counts_all

    def loss(self, part: str, batch: UfogenBatch) -> Tensor:
        latents, context = self.read(batch.data)
        if part == DISCRIMINATOR:
            return self._discriminator_loss(batch, latents, context)
        return self._generator_loss(batch, latents, context)

    # ------------------------------------------------------------------ losses

    def _generator_loss(self, batch: UfogenBatch, latents: Tensor, context: Tensor) -> Tensor:
        timesteps, critic = batch.data.timesteps, self.discriminator
        noisy = self.model.diffusion.add_noise(latents, batch.data.noise, timesteps)
        clean = self.clean(self.model, noisy, timesteps, context)
        adversarial = self._adversarial(clean, batch.fake_noise, timesteps, context)
        critic.follow(self.model, batch.step, self.own.reconstruction_ema_decay)
        target = self._target(latents, noisy, timesteps, context)
        error = (target - clean).square().mean(dim=(1, 2, 3))
        reconstruction = (self.gamma(timesteps) * error).mean()
        self._terms = {"adversarial": Scalar(adversarial), "reconstruction": Scalar(reconstruction)}
        if self.own.reconstruction == "none":
            return adversarial
        return adversarial + self.own.reconstruction_weight * reconstruction

    def _adversarial(self, clean: Tensor, noise: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        seen = clean.detach().requires_grad_()
        with as_it_is(self.discriminator):
            logits = self._judged(seen, noise, timesteps, context)
            return passed_on(F.softplus(-logits).mean(), seen, clean)  # -log D(x')

    def _discriminator_loss(self, batch: UfogenBatch, latents: Tensor, context: Tensor) -> Tensor:
        self._check_collapse(int(batch.step))
        timesteps = batch.data.timesteps
        with torch.no_grad():
            noisy = self.model.diffusion.add_noise(latents, batch.data.noise, timesteps)
            clean = self.clean(self.model, noisy, timesteps, context)
        real = self._judged(latents, batch.real_noise, timesteps, context)
        fake = self._judged(clean, batch.fake_noise, timesteps, context)
        self.discriminator.watch(real, fake, self.counted(timesteps), self.settings.batch_size, self.total)
        self._told_apart = self._terms["told_apart"] = Scalar(self.discriminator.told_apart)
        # Beyond the clamp a logit that is right counts no more; a wrong one always does.
        if (most := self.own.clamp_logits) is not None:
            real, fake = real.clamp(max=most), fake.clamp(min=-most)
        loss = F.softplus(-real).mean() + F.softplus(fake).mean()  # -log D(x) - log(1 - D(x'))
        self._terms["discriminator"] = Scalar(loss)
        return loss

    def _forget(self, discriminator: nn.Module, keys: object) -> None:
        self._told_apart = None

    def _check_collapse(self, step: int) -> None:
        """Of the updates so far: where all is told apart for long, the generator no longer follows."""
        share = (self._told_apart or Scalar(self.discriminator.told_apart)).read()
        if self.own.collapse is not None and share > self.own.collapse:
            raise Collapsed(
                f"the discriminator tells {share:.2%} apart by step {step} (objective.collapse: "
                f"{self.own.collapse:g}), which leaves the generator nothing to follow; a smaller "
                "objective.discriminator_learning_rate or another objective.gap may help"
            )

    def _judged(self, clean: Tensor, noise: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """(B,) logits of latents, noised to the level that the discriminator sees."""
        before = self.before(timesteps)
        told = timesteps if self.own.condition == "t" else before.clamp(min=0)
        noised = self.model.diffusion.noised(clean, noise, before)
        with self.autocast():
            logits: Tensor = self.discriminator(noised, told, context)
        return logits

    @torch.no_grad()
    def _target(self, latents: Tensor, noisy: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """Of the reconstruction term: data, or what a frozen or a slower network makes of the same noise."""
        slower = self.teacher or self.discriminator.follower
        return latents if slower is None else self.clean(slower, noisy, timesteps, context)
