"""Any pipeline of diffusers that generates from text, from its folder. This file alone knows pipelines."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import diffusers
import numpy as np
import torch
import transformers

from space.interchange.checkpoints import PIPELINE_FILE
from space.shared.plain import InputError
from space.shared.seeds import generator
from training.generation.components import check_text, cut_text, load_parts
from training.generation.schedulers import rescheduled
from training.generation.settings import PRECISIONS, GenerationSettings


class PipelineGenerator:
    """A `DiffusionPipeline`; its safety checker, which blackens images, is left out.

    Guidance as diffusers defines it: 1 leaves the caption alone, as with our networks.

    Args:
        sees_images: whether it is one that wants an image beside each caption, as those with an adapter do.
    """

    def __init__(
        self, folder: Path, settings: GenerationSettings, device: torch.device, *, sees_images: bool = False
    ) -> None:
        quiet_libraries()
        self.settings = settings
        self._pipeline = _loaded(folder, PRECISIONS[settings.precision]).to(device)
        self._pipeline.set_progress_bar_config(disable=True)
        self._pipeline.scheduler = rescheduled(self._pipeline.scheduler, settings.sampler)
        self._arguments = _arguments(self._pipeline, settings, sees_images=sees_images)

    @torch.no_grad()
    def generate(
        self,
        captions: Sequence[str],
        indices: Sequence[int],
        given: Mapping[str, Any] = MappingProxyType({}),
    ) -> np.ndarray:
        """As `Generator`; `given` are further arguments of the call, such as images or initial latents."""
        noise = [generator("initial noise", self.settings.seed, index) for index in indices]
        try:
            output = self._pipeline(prompt=list(captions), generator=noise, **self._arguments, **given)
        except ValueError as error:
            raise InputError(f"{type(self._pipeline).__name__}: {' '.join(str(error).split())}") from None
        images: np.ndarray = output.images
        if not np.isfinite(images).all():
            raise InputError(
                f"images {indices[0]} to {indices[-1]} are not finite; precision: "
                f"{self.settings.precision} may be too narrow for this pipeline"
            )
        return (images * 255).round().clip(0, 255).astype(np.uint8)

    def unread_text(self, captions: Sequence[str]) -> list[str]:
        return cut_text(self._pipeline.components, captions)


def quiet_libraries() -> None:
    """Their bars and remarks would break ours; a pipeline of diffusers calls what diffusers will remove."""
    for library in (diffusers, transformers):
        library.logging.disable_progress_bar()
        library.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"diffusers\.")


def _loaded(folder: Path, dtype: torch.dtype) -> Any:
    index = json.loads((folder / PIPELINE_FILE).read_text(encoding="utf-8"))
    unsafe = {"safety_checker": None, "requires_safety_checker": False} if "safety_checker" in index else {}
    networks = load_parts(folder, {name: index[name] for name in index if name not in unsafe}, dtype)
    try:
        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            folder, dtype=dtype, local_files_only=True, **networks, **unsafe
        )
    except (OSError, ValueError, AttributeError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"model: {str(folder)!r} does not load as a diffusers pipeline: {reason}") from None
    check_text(pipeline.components)
    return pipeline


def _arguments(pipeline: Any, settings: GenerationSettings, *, sees_images: bool) -> dict[str, Any]:
    """Of every call. Raises InputError where the pipeline wants an image and there is none, or the reverse,
    or has no guidance."""
    name, taken = type(pipeline).__name__, inspect.signature(pipeline.__call__).parameters
    needed = ("prompt", "height", "width", "num_inference_steps", "generator", "output_type")
    if ("image" in taken) != sees_images or not set(needed) <= set(taken):
        beside = "and images" if sees_images else "alone"
        raise InputError(f"model: a {name} does not generate from captions {beside}")
    guidance = {"guidance_scale": settings.guidance}
    if "guidance_scale" not in taken:
        if settings.guidance != 1:
            raise InputError(f"guidance: {settings.guidance:g}, but a {name} has none; allowed: 1")
        guidance = {}
    return {
        "height": settings.image_size_px,
        "width": settings.image_size_px,
        "num_inference_steps": settings.steps,
        "output_type": "np",
        **guidance,
    }
