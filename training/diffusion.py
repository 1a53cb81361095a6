"""The diffusion process: noise levels, what the network predicts, the loss, and DDIM with guidance.

Noise levels and the sampler's step come from diffusers' DDIMScheduler. With x0 a clean latent, e noise and
a_t = sqrt(alphas_cumprod), s_t = sqrt(1 - alphas_cumprod): x_t = a_t x0 + s_t e, and v = a_t e - s_t x0.
Flow matching (Lipman et al., 2023; Liu et al., 2023) goes straight from one to the other: a_t = 1 - s_t with
s_t = (t + 1) / T, and the network predicts the velocity e - x0, along which Euler's method steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from space.shared.plain import InputError

FLOW = "flow"
PROCESS = "diffusion"  # of a state's identity: what predictions of the weights mean
ONE_STEP: Literal["onestep"] = "onestep"
"""Of a network that predicts clean latents from noise alone: that in one step. In more, what is predicted is
noised again in between, by the forward process (Xu et al., 2023, UFOGen; Song et al., 2023)."""
SamplerName = Literal["ddim", "euler", "onestep"]


@dataclass(frozen=True)
class DiffusionSettings:
    """Noise schedule, prediction and the weight of each noise level."""

    prediction: Literal["epsilon", "v", "x0", "flow"] = "x0"
    schedule: Literal["linear", "scaled_linear", "cosine", "flow"] = "linear"
    beta_start: float = 1e-4  # of the linear schedules; Stable Diffusion's: scaled_linear, 0.00085 to 0.012
    beta_end: float = 0.02
    timesteps: int = 1000
    zero_terminal_snr: bool = True  # the last step is noise alone, as sampling starts from it
    # Weight of a noise level: 1 for what is predicted itself, or min(SNR, gamma) of the x0 error (min-SNR).
    min_snr_gamma: float | None = None

    def __post_init__(self) -> None:
        if self.timesteps < 2:
            raise InputError(f"timesteps: {self.timesteps} is not possible; allowed: 2 or more")
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise InputError(
                f"beta_start: {self.beta_start:g}, beta_end: {self.beta_end:g}; allowed: between 0 and 1, "
                "the end no less than the start"
            )
        if (self.prediction == FLOW) != (self.schedule == FLOW):
            raise InputError(
                f"prediction: {self.prediction} beside schedule: {self.schedule} is not possible; "
                "allowed: flow for both, or for neither"
            )
        if self.schedule == FLOW and not self.zero_terminal_snr:
            raise InputError(
                "zero_terminal_snr: false beside schedule: flow is not possible (it ends at noise alone); "
                "allowed: true"
            )
        if self.prediction == "epsilon" and self.zero_terminal_snr:
            raise InputError(
                "zero_terminal_snr: true beside prediction: epsilon is not possible (x0 cannot be told from "
                "noise where there is noise alone); allowed: false, or prediction v or x0"
            )
        if self.min_snr_gamma is not None and not self.min_snr_gamma > 0:
            raise InputError(
                f"min_snr_gamma: {self.min_snr_gamma:g} is not possible; allowed: above 0, or null"
            )

    @property
    def sampler(self) -> SamplerName:
        """How a network that was trained so generates, as protocols and manifests name it."""
        return "euler" if self.prediction == FLOW else "ddim"

    @property
    def process(self) -> str:
        """What is predicted from which noise levels, in words: weights of another one mean something else."""
        is_linear = self.schedule in ("linear", "scaled_linear")
        betas = f" from {self.beta_start:g} to {self.beta_end:g}" if is_linear else ""
        end = " to noise alone" if self.zero_terminal_snr else ""
        return f"{self.prediction}, {self.schedule}{betas}{end}, {self.timesteps} timesteps"


DIFFUSERS_SCHEDULE = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
DIFFUSERS_PREDICTION = {"epsilon": "epsilon", "v": "v_prediction", "x0": "sample"}


def check_ddim(settings: DiffusionSettings) -> None:
    """Raises InputError where what a network predicts is nothing that DDIM steps by."""
    if settings.prediction == FLOW:
        raise InputError("prediction: flow, which no DDIM generates by; mdsearch generate does")


def ddim_scheduler(settings: DiffusionSettings, bound: float | None) -> Any:
    """diffusers' scheduler with these noise levels and this prediction. Raises InputError as `check_ddim`."""
    from diffusers import DDIMScheduler

    check_ddim(settings)
    return DDIMScheduler(
        num_train_timesteps=settings.timesteps,
        beta_start=settings.beta_start,
        beta_end=settings.beta_end,
        beta_schedule=DIFFUSERS_SCHEDULE[settings.schedule],
        prediction_type=DIFFUSERS_PREDICTION[settings.prediction],
        clip_sample=bound is not None,
        clip_sample_range=bound or 1.0,
        rescale_betas_zero_snr=settings.zero_terminal_snr,
        timestep_spacing="trailing",
    )


SamplingStep = Callable[
    [Tensor, int, Tensor], Tensor
]  # what is predicted, timestep, latents: the next latents
Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(latents (B, C, H, W), timesteps (B,), context (B, L, W)) to a prediction (B, C, H, W)."""


class Diffusion:
    """Noise, targets, loss and sampling for one schedule.

    `bound` clips the predicted clean latent while sampling (codecs whose latents are bounded).
    """

    def __init__(self, settings: DiffusionSettings, bound: float | None, device: torch.device) -> None:
        self.settings, self.bound, self._device = settings, bound, device
        signal, spread = self._of_all_steps()
        self._signal, self._noise = signal.float().to(device), spread.float().to(device)
        self._weight = self._weights(signal, spread).float().to(device)

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_t of (B, C, H, W) latents at (B,) timesteps."""
        signal, spread = self._levels(timesteps)
        return signal * clean + spread * noise

    def levels(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """a_t and s_t, (B, 1, 1, 1) each; behind the last level, at -1, latents are clean: 1 and 0."""
        is_clean = (timesteps < 0).view(-1, 1, 1, 1)
        signal, spread = self._levels(timesteps.clamp(min=0))
        return torch.where(is_clean, 1.0, signal), torch.where(is_clean, 0.0, spread)

    def noised(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """As `add_noise`; clean at -1."""
        signal, spread = self.levels(timesteps)
        return signal * clean + spread * noise

    def clean(self, prediction: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """The x0 that a prediction of x_t means; not clipped."""
        if self.settings.prediction == "x0":
            return prediction
        signal, spread = self._levels(timesteps)
        if self.settings.prediction == "epsilon":
            return (noisy - spread * prediction) / signal
        return (1 if self.settings.prediction == FLOW else signal) * noisy - spread * prediction

    def loss(self, prediction: Tensor, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Weighted mean squared error of the prediction, a scalar."""
        return self.losses(prediction, clean, noise, timesteps).mean()

    def losses(self, prediction: Tensor, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """(B,): that of each image."""
        target = self._target(clean, noise, timesteps)
        error = (prediction.float() - target).square().mean(dim=(1, 2, 3))
        return error * self._weight[timesteps]

    @torch.no_grad()
    def sample(
        self,
        denoise: Denoiser,
        noise: Tensor,
        context: Tensor,
        empty_context: Tensor,
        *,
        steps: int,
        guidance: float,
        sampler: SamplerName | None = None,
        more_noise: Callable[[], Tensor] | None = None,
    ) -> Tensor:
        """From noise (B, C, H, W) to clean latents, by the usual sampler of this prediction or another.

        Classifier-free guidance: empty + guidance * (conditional - empty); 1 leaves the empty one out.
        `empty_context` is (1, L, W). `more_noise` is drawn between the steps of `onestep`, as (B, C, H, W).
        """
        guided = guidance != 1
        if guided:
            context = torch.cat([context, empty_context.expand(len(noise), -1, -1)])
        match sampler or self.settings.sampler:
            case "ddim":
                timesteps, step = self._ddim(steps)
            case "euler":
                timesteps, step = self._euler(steps)
            case "onestep":
                timesteps, step = self._one_step(steps, more_noise)
        latents = noise
        for timestep in timesteps:
            batch = torch.cat([latents, latents]) if guided else latents
            prediction = denoise(batch, timestep.expand(len(batch)), context).float()
            if guided:
                conditional, empty = prediction.chunk(2)
                prediction = empty + guidance * (conditional - empty)
            latents = step(prediction, int(timestep), latents)
        return latents

    def _ddim(self, steps: int) -> tuple[Tensor, SamplingStep]:
        self._scheduler.set_timesteps(steps, device=self._device)

        def step(prediction: Tensor, timestep: int, latents: Tensor) -> Tensor:
            stepped: Tensor = self._scheduler.step(
                prediction, timestep, latents, use_clipped_model_output=True, return_dict=False
            )[0]
            return stepped

        return self._scheduler.timesteps, step

    def _euler(self, steps: int) -> tuple[Tensor, SamplingStep]:
        """From noise level to noise level along the velocity, as far from each other as DDIM's here."""
        count = self.settings.timesteps
        timesteps, following = self.trailing(steps)

        def step(velocity: Tensor, timestep: int, latents: Tensor) -> Tensor:
            level, next_level = ((each + 1) / count for each in (timestep, following[timestep]))
            if self.bound is not None:
                clean = (latents - level * velocity).clamp(-self.bound, self.bound)
                velocity = (latents - clean) / level
            return latents + (next_level - level) * velocity

        return timesteps.to(self._device), step

    def _one_step(self, steps: int, more_noise: Callable[[], Tensor] | None) -> tuple[Tensor, SamplingStep]:
        timesteps, following = self.trailing(steps)

        def step(prediction: Tensor, timestep: int, latents: Tensor) -> Tensor:
            at = torch.full((len(latents),), timestep, device=latents.device)
            clean = self.clean(prediction, latents, at)
            if self.bound is not None:
                clean = clean.clamp(-self.bound, self.bound)
            if following[timestep] < 0:
                return clean
            if more_noise is None:
                raise InputError(f"more_noise: missing; {steps} steps of {ONE_STEP} need noise in between")
            return self.add_noise(clean, more_noise(), torch.full_like(at, following[timestep]))

        return timesteps.to(self._device), step

    def trailing(self, steps: int) -> tuple[Tensor, dict[int, int]]:
        """Timesteps from the last one on, evenly apart, and which follows each; -1 the last."""
        count = self.settings.timesteps
        timesteps = torch.arange(count, 0, -count / steps, dtype=torch.float64).round().long()[:steps] - 1
        return timesteps, dict(zip(timesteps.tolist(), [*timesteps.tolist()[1:], -1], strict=True))

    def _levels(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, 1, 1, 1)
        return self._signal[timesteps].view(shape), self._noise[timesteps].view(shape)

    @cached_property
    def _scheduler(self) -> Any:
        return ddim_scheduler(self.settings, self.bound)

    @property
    def alphas_cumprod(self) -> Tensor:
        """(timesteps,) float64. Raises InputError as `check_ddim`."""
        levels: Tensor = self._scheduler.alphas_cumprod.double()
        return levels

    def _of_all_steps(self) -> tuple[Tensor, Tensor]:
        """(timesteps,) each: a_t and s_t, float64."""
        if self.settings.schedule == FLOW:
            count = self.settings.timesteps
            spread = torch.arange(1, count + 1, dtype=torch.float64) / count
            return 1 - spread, spread
        alphas_cumprod = self.alphas_cumprod
        return alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt()

    def _target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        if self.settings.prediction == "epsilon":
            return noise
        if self.settings.prediction == "x0":
            return clean
        if self.settings.prediction == FLOW:
            return noise - clean
        signal, spread = self._levels(timesteps)
        return signal * noise - spread * clean

    def _weights(self, signal: Tensor, spread: Tensor) -> Tensor:
        """(timesteps,) weight of the error of what is predicted.

        A squared error of x0 equals one of v times s^2 (= 1 / (1 + SNR)), one of e times 1 / SNR, and one of
        the velocity times s^2, which turns the weight min(SNR, gamma) of the x0 error into that of the others
        (Hang et al., 2023).
        """
        gamma = self.settings.min_snr_gamma
        if gamma is None:
            return torch.ones_like(signal)
        snr = (signal / spread).square()
        of_x0 = snr.clamp(max=gamma)
        parts = {"x0": torch.ones_like(snr), "epsilon": snr, "v": 1 + snr, FLOW: spread.square().reciprocal()}
        return of_x0 / parts[self.settings.prediction]
