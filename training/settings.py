"""How a network learns: what `conf/training/*.yaml` hold."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from space.shared.plain import InputError, to_plain, unless
from training.diffusion import DiffusionSettings
from training.latents import LatentSettings
from training.text import TextSettings


@dataclass(frozen=True)
class TrainingSettings:
    """How a candidate learns; the defaults are those of the short run on one core."""

    steps: int = 500
    batch_size: int = 16
    learning_rate: float = 1e-3
    betas: tuple[float, ...] = (0.9, 0.99)
    weight_decay: float = 0.01
    warmup_steps: int = 20
    decay: Literal["none", "linear", "cosine"] = "none"  # of the learning rate, after the warm-up
    gradient_clip: float = 1.0  # norm over all gradients
    ema_decay: float = 0.97  # of the weights that generate and are validated
    caption_dropout: float = 0.0  # share of captions emptied, which guidance above 1 needs
    guidance: float = 1.0
    sampling_steps: int = 6
    validation_images: int = 256
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 on CUDA
    micro_batch: int | None = unless(None)  # images whose gradients are taken at once; null: the batch's
    memory_format: Literal["auto", "contiguous", "channels_last"] = unless("auto")  # of convolutions
    compile: Literal["none", "blocks"] = unless("none")
    checkpointing: Literal["none", "levels", "blocks"] = unless("none")  # computed again rather than kept
    ema_lengths: tuple[float, ...] = unless(())  # of averages beside it, from which any other is made later
    spike_factor: float | None = unless(None)  # a loss above so many medians of the last is a failure
    diffusion: DiffusionSettings = field(default_factory=DiffusionSettings)
    latents: LatentSettings = field(default_factory=LatentSettings)
    text: TextSettings = field(default_factory=TextSettings)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "sampling_steps", "validation_images"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate: {self.learning_rate} is not possible; allowed: above 0, finite")
        if not self.gradient_clip > 0:
            raise InputError(f"gradient_clip: {self.gradient_clip} is not possible; allowed: above 0")
        for name in ("ema_decay", "caption_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 0 up to below 1")
        for name in ("weight_decay", "warmup_steps"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 0 or more, finite")
        if not math.isfinite(self.guidance):
            raise InputError(f"guidance: {self.guidance} is not possible; allowed: a number, 1 for none")
        if self.micro_batch is not None and not 1 <= self.micro_batch <= self.batch_size:
            raise InputError(
                f"micro_batch: {self.micro_batch} is not possible; "
                f"allowed: 1 to {self.batch_size} (batch_size)"
            )
        lengths = self.ema_lengths
        fitting = all(0 < length < 0.28 for length in lengths) and len(set(lengths)) == len(lengths)
        if not fitting or len(lengths) == 1:
            raise InputError(
                f"ema_lengths: {list(lengths)} is not possible; allowed: none, or two or more, "
                "each above 0 and below 0.28"
            )
        if self.spike_factor is not None and not self.spike_factor > 1:
            raise InputError(f"spike_factor: {self.spike_factor} is not possible; allowed: above 1, or null")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(
                f"betas: {list(self.betas)} is not possible; allowed: two numbers from 0 up to below 1"
            )
        if self.sampling_steps > self.diffusion.timesteps:
            raise InputError(
                f"sampling_steps: {self.sampling_steps} is not possible; allowed: at most "
                f"{self.diffusion.timesteps} (diffusion.timesteps)"
            )

    def is_bf16_on(self, device: torch.device) -> bool:
        """Whether this device trains and generates in bf16, by autocast."""
        return self.precision == "bf16" or (self.precision == "auto" and device.type == "cuda")

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """In which the network's passes run."""
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.is_bf16_on(device))


def of_a_step(training: TrainingSettings) -> dict[str, object]:
    """Those settings by name that workers of one training have alike; folders may lie elsewhere."""
    plain = to_plain(training, all_fields=True)
    return {
        f"training.{name}": value
        for name, value in plain.items()
        if name != "device" and not isinstance(value, dict)
    }


def idle_settings(training: TrainingSettings) -> list[str]:
    """A line for each setting that changes nothing beside others, or means little."""
    lines, latents, text = [], training.latents, training.text
    if latents.folder is not None and latents.codec != "vae":
        lines.append(
            f"training.latents.folder={latents.folder} has no effect: training.latents.codec="
            f"{latents.codec}, not vae"
        )
    if text.folder is not None and text.encoder != "clip":
        lines.append(
            f"training.text.folder={text.folder} has no effect: training.text.encoder={text.encoder}, "
            "not clip"
        )
    if training.guidance != 1 and training.caption_dropout == 0:
        lines.append(
            f"training.guidance={training.guidance:g} means little: with training.caption_dropout=0 the "
            "network never learns what no caption looks like"
        )
    return lines
