"""Whatever generates images of captions, behind one interface: our networks, or a diffusers pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from space.interchange.checkpoints import PIPELINE_FILE
from space.shared.plain import InputError
from training.diffusion import ONE_STEP
from training.generation.identity import model_kind
from training.generation.settings import PRECISIONS, GenerationSettings
from training.interchange.pipelines import is_one_step
from training.model import Model, load_model, read_description
from training.told_apart import unread_text


class Generator(Protocol):
    """A loaded model with settings to generate by."""

    def generate(self, captions: Sequence[str], indices: Sequence[int]) -> np.ndarray:
        """One batch, (B, size, size, 3) uint8; image i starts from noise of (seed, i) alone.

        Raises:
            InputError: an image that is not finite.
        """
        ...

    def unread_text(self, captions: Sequence[str]) -> list[str]:
        """What of the captions does not reach the network: a line for each reason."""
        ...


def open_generator(folder: str | Path, settings: GenerationSettings, device: torch.device) -> Generator:
    """Load the model of a folder, ours or a pipeline. Raises InputError where settings do not fit it."""
    if model_kind(folder) == PIPELINE_FILE:
        from training.generation.pipelines import (
            PipelineGenerator,  # diffusers' pipelines take seconds to import
        )

        return PipelineGenerator(Path(folder), settings, device)
    check_settings(folder, settings)
    return OurGenerator(load_model(folder, str(device)), settings)


def check_settings(folder: str | Path, settings: GenerationSettings) -> None:
    """Raises InputError where settings do not fit a model, as far as that is known without loading it."""
    if model_kind(folder) == PIPELINE_FILE:
        return
    _, model = read_description(folder)
    if settings.image_size_px != model.image_size_px:
        raise InputError(
            f"image_size_px: {settings.image_size_px}, but this model generates {model.image_size_px} px"
        )
    if settings.sampler != model.sampler:
        raise InputError(
            f"scheduler: {settings.sampler!r} is not possible; allowed: {model.sampler}, as "
            + (
                "a network distilled to one step generates"
                if model.one_step
                else f"our networks that predict {model.diffusion.prediction} generate"
            )
        )
    model.check_steps(settings.steps)


def own_settings(folder: str | Path) -> dict[str, Any]:
    """Fields of `GenerationSettings` that a model says of itself: all of ours; of a pipeline's scheduler
    alone, and that only where it is the one of distilled networks."""
    if model_kind(folder) == PIPELINE_FILE:
        return {"sampler": ONE_STEP} if is_one_step(folder) else {}
    _, own = read_description(folder)
    return {
        "image_size_px": own.image_size_px,
        "steps": own.sampling_steps,
        "guidance": own.guidance,
        "sampler": own.sampler,
    }


class OurGenerator:
    """A network of ours; half precision by autocast, as in training."""

    def __init__(self, model: Model, settings: GenerationSettings) -> None:
        self.model, self.settings = model, settings

    def generate(self, captions: Sequence[str], indices: Sequence[int]) -> np.ndarray:
        dtype = PRECISIONS[self.settings.precision]
        with torch.autocast(self.model.device.type, dtype=dtype, enabled=dtype != torch.float32):
            return self.model.generate_batch(
                captions,
                indices,
                seed=self.settings.seed,
                steps=self.settings.steps,
                guidance=self.settings.guidance,
            )

    def unread_text(self, captions: Sequence[str]) -> list[str]:
        return unread_text(self.model.text_encoder, captions)
