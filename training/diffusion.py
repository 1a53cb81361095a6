"""The diffusion process: noise levels, what the network predicts, the loss, and DDIM with guidance.

Noise levels and the sampler's step come from diffusers' DDIMScheduler. With x0 a clean latent, e noise and
a_t = sqrt(alphas_cumprod), s_t = sqrt(1 - alphas_cumprod): x_t = a_t x0 + s_t e, and v = a_t e - s_t x0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from space.shared.plain import InputError


@dataclass(frozen=True)
class DiffusionSettings:
    """Noise schedule, prediction and the weight of each noise level."""

    prediction: Literal["epsilon", "v", "x0"] = "x0"
    schedule: Literal["linear", "scaled_linear", "cosine"] = "linear"
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
        if self.prediction == "epsilon" and self.zero_terminal_snr:
            raise InputError(
                "zero_terminal_snr: true beside prediction: epsilon is not possible (x0 cannot be told from "
                "noise where there is noise alone); allowed: false, or prediction v or x0"
            )


DIFFUSERS_SCHEDULE = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
DIFFUSERS_PREDICTION = {"epsilon": "epsilon", "v": "v_prediction", "x0": "sample"}


def ddim_scheduler(settings: DiffusionSettings, bound: float | None) -> Any:
    """diffusers' scheduler with these noise levels and this prediction."""
    from diffusers import DDIMScheduler

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


Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(latents (B, C, H, W), timesteps (B,), context (B, L, W)) to a prediction (B, C, H, W)."""


class Diffusion:
    """Noise, targets, loss and sampling for one schedule.

    `bound` clips the predicted clean latent while sampling (codecs whose latents are bounded).
    """

    def __init__(self, settings: DiffusionSettings, bound: float | None, device: torch.device) -> None:
        self.settings, self._device = settings, device
        scheduler = ddim_scheduler(settings, bound)
        self._scheduler = scheduler
        self.alphas_cumprod: Tensor = scheduler.alphas_cumprod.double()
        alphas_cumprod = self.alphas_cumprod
        self._signal = alphas_cumprod.sqrt().float().to(device)
        self._noise = (1 - alphas_cumprod).sqrt().float().to(device)
        self._weight = self._weights(alphas_cumprod).float().to(device)

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_t of (B, C, H, W) latents at (B,) timesteps."""
        signal, spread = self._levels(timesteps)
        return signal * clean + spread * noise

    def loss(self, prediction: Tensor, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Weighted mean squared error of the prediction, a scalar."""
        target = self._target(clean, noise, timesteps)
        error = (prediction.float() - target).square().mean(dim=(1, 2, 3))
        return (error * self._weight[timesteps]).mean()

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
    ) -> Tensor:
        """DDIM from noise (B, C, H, W) to clean latents.

        Classifier-free guidance: empty + guidance * (conditional - empty); 1 leaves the empty one out.
        `empty_context` is (1, L, W).
        """
        guided = guidance != 1
        if guided:
            context = torch.cat([context, empty_context.expand(len(noise), -1, -1)])
        self._scheduler.set_timesteps(steps, device=self._device)
        latents = noise
        for timestep in self._scheduler.timesteps:
            batch = torch.cat([latents, latents]) if guided else latents
            prediction = denoise(batch, timestep.expand(len(batch)), context).float()
            if guided:
                conditional, empty = prediction.chunk(2)
                prediction = empty + guidance * (conditional - empty)
            latents = self._scheduler.step(
                prediction, int(timestep), latents, use_clipped_model_output=True, return_dict=False
            )[0]
        return latents

    def _levels(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, 1, 1, 1)
        return self._signal[timesteps].view(shape), self._noise[timesteps].view(shape)

    def _target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        if self.settings.prediction == "epsilon":
            return noise
        if self.settings.prediction == "x0":
            return clean
        signal, spread = self._levels(timesteps)
        return signal * noise - spread * clean

    def _weights(self, alphas_cumprod: Tensor) -> Tensor:
        """(timesteps,) weight of the error of what is predicted.

        An error of x0 equals one of v times s^2 (= 1 / (1 + SNR)), and one of e times 1 / SNR, which turns
        the weight min(SNR, gamma) of the x0 error into that of the other two (Hang et al., 2023).
        """
        gamma = self.settings.min_snr_gamma
        if gamma is None:
            return torch.ones_like(alphas_cumprod)
        snr = alphas_cumprod / (1 - alphas_cumprod)
        of_x0 = snr.clamp(max=gamma)
        return of_x0 / {"x0": torch.ones_like(snr), "epsilon": snr, "v": 1 + snr}[self.settings.prediction]
