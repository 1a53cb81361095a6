"""What an adapter still does beside another model than it was trained with, measured by the truth.

Edges are compared with those that were asked for; scenes are read by their renderer. The same captions and
noise go through the pipeline that `attach` writes, and through the model alone; the images whose edges,
surroundings or style were asked for are read, too, which says what the reader itself can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from evaluators.metrics.edges import edge_f1
from evaluators.metrics.intervals import LEAST_SAMPLES, bootstrap_of_mean
from evaluators.metrics.reconstruction import psnr_where
from evaluators.protocols.score import ConfidenceInterval
from space.shared.edges import canny
from space.shared.plain import InputError
from training.adapter_kinds import AdapterKind, ByEdges, InpaintingSettings, StyleSettings
from training.attaching import attach
from training.data.dataset import Dataset, as_pixels
from training.data.scene_reading import SceneReading, read_scenes, scene_of
from training.data.scenes import COLOURS, POSITIONS, SHAPES, Scene
from training.generation.pipelines import PipelineGenerator, quiet_libraries
from training.generation.settings import GenerationSettings
from training.model import Model, load_model

Says = Literal["all", "nothing"]
STYLE_SAYS, CAPTION_SAYS = "style", "as the caption says"
READ = (STYLE_SAYS, CAPTION_SAYS)  # by the renderer
UNTOLD = "no caption"
HOLE = 0.3  # half the side of a mask about an object, as a share of the image's: the largest object fits


@dataclass(frozen=True)
class AskedImages:
    """What a batch of images is generated from, and is compared with.

    Attributes:
        images: (B, H, W, 3) uint8 that edges, surroundings or style come from.
        scenes: what captions say, where they say it of scenes.
        kept: (B, H, W) bool, where an image is to stay as it was; None: nowhere.
    """

    images: np.ndarray
    captions: list[str]
    scenes: list[Scene] | None
    kept: np.ndarray | None = None
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MeasuredEffect:
    """One measure of one adapter beside one model.

    Attributes:
        alone: without the adapter.
        truth: what reading them says of the images that were asked for, where these are read.
        gain: by how much the adapter raises it, with the interval over images.
    """

    name: str
    value: float
    interval: ConfidenceInterval | None
    alone: float
    truth: float | None
    gain: tuple[float, ConfidenceInterval] | None


@dataclass(frozen=True)
class Survival:
    """All of one adapter beside one model; `shown` (rows, B, H, W, 3) uint8: what was asked for, what the
    model makes alone, and with the adapter."""

    measures: list[MeasuredEffect]
    shown: np.ndarray
    captions: list[str]


def survival(
    model: Path,
    adapter: Path,
    own: AdapterKind,
    data: Dataset,
    settings: GenerationSettings,
    device: torch.device,
    *,
    is_filled: bool = True,
    says: Says = "all",
    show: Callable[[int, int], None] = lambda done, of: None,
) -> Survival:
    """An adapter (its folder, of `mdsearch train adapter`) beside a model of its network; `is_filled` says
    which style its scenes have, `says` what their captions say: with `nothing` all that an image shows of
    those asked for is the adapter's doing.

    Raises:
        InputError: the adapter is of another network, or nothing is known of its data to measure it by, or
            nothing without captions; fewer held-out images than are asked for.
    """
    if settings.count > len(data.held_out_captions):
        held_out = f"the {len(data.held_out_captions):,} held-out ones, or fewer"
        raise InputError(f"samples: {settings.count:,}; allowed: {held_out}")
    check_says(own, says)
    measures = _measures(own, data, says, is_filled=is_filled)
    quiet_libraries()
    alone = load_model(model, str(device))
    values: dict[str, list[np.ndarray]] = {name: [] for name in measures}
    with TemporaryDirectory() as folder:
        attach(model, adapter, pipeline := Path(folder) / "pipeline")
        with_it = PipelineGenerator(pipeline, settings, device, sees_images=own.sees_images)
        first: tuple[np.ndarray, list[str]] | None = None
        for start in range(0, settings.count, settings.batch_size):
            indices = range(start, min(start + settings.batch_size, settings.count))
            asked = _asked(own, data, indices)
            if says == "nothing":
                asked = replace(asked, captions=[""] * len(indices))
            noise = {"latents": alone.initial_noise(settings.seed, indices)}
            made = [
                with_it.generate(asked.captions, indices, {**asked.given, **noise}),
                _alone(alone, asked.captions, indices, settings),
            ]
            for name, measure in measures.items():
                read = [asked.images] if name in READ and asked.kept is None else []
                values[name].append(np.stack([measure(images, asked) for images in made + read]))
            if first is None:
                first = np.stack([asked.images, made[1], made[0]]), asked.captions
            show(indices.stop, settings.count)
    assert first is not None
    return Survival([_summary(name, np.concatenate(each, 1)) for name, each in values.items()], *first)


def check_says(own: AdapterKind, says: Says) -> None:
    """Raises InputError where nothing is left to measure."""
    if says == "nothing" and not isinstance(own, (ByEdges, InpaintingSettings)):
        raise InputError(
            f"captions: nothing; adapter={own.name} is measured by what captions say; allowed: all"
        )


def _alone(
    model: Model, captions: Sequence[str], indices: Sequence[int], settings: GenerationSettings
) -> np.ndarray:
    return model.generate_batch(
        captions, indices, seed=settings.seed, steps=settings.steps, guidance=settings.guidance
    )


def _summary(name: str, values: np.ndarray) -> MeasuredEffect:
    """Of (2 or 3, N): with the adapter, alone, and of the images themselves."""
    value, alone, *read = (float(row.mean()) for row in values)
    truth = read[0] if read else None
    if values.shape[1] < LEAST_SAMPLES:
        return MeasuredEffect(name, value, None, alone, truth, None)
    gain = values[0] - values[1]
    return MeasuredEffect(
        name, value, bootstrap_of_mean(values[0]), alone, truth, (float(gain.mean()), bootstrap_of_mean(gain))
    )


# ---------------------------------------------------------------------- what is asked for


def _asked(own: AdapterKind, data: Dataset, indices: range) -> AskedImages:
    images, captions = data.held_out(indices)
    found = [scene_of(caption) for caption in captions]
    scenes = [scene for scene in found if scene is not None]
    asked = AskedImages(as_pixels(images), captions, scenes if len(scenes) == len(captions) else None)
    if isinstance(own, ByEdges):
        return replace(asked, given={"image": own.drawn(images, torch.Generator(), indices, len(images))})
    if isinstance(own, InpaintingSettings):
        return _with_holes(asked, images)
    return asked


def _with_holes(asked: AskedImages, images: Tensor) -> AskedImages:
    """A square over the object, where another colour and shape are asked for; of other images, over
    the middle, for the same caption."""
    side = images.shape[-1]
    places = (
        [(0.5, 0.5)] * len(images) if asked.scenes is None else [POSITIONS[s.place] for s in asked.scenes]
    )
    pixel = (np.arange(side) + 0.5) / side
    holes = np.stack([(abs(pixel - x) < HOLE)[None, :] & (abs(pixel - y) < HOLE)[:, None] for x, y in places])
    given = {
        "image": images / 2 + 0.5,
        "mask_image": torch.from_numpy(holes)[:, None].float(),
        "strength": 1.0,
    }
    scenes = None if asked.scenes is None else [_another(scene) for scene in asked.scenes]
    captions = asked.captions if scenes is None else [scene.caption for scene in scenes]
    return replace(asked, captions=captions, scenes=scenes, kept=~holes, given=given)


def _another(scene: Scene) -> Scene:
    """Of the next colour and shape."""
    colours, shapes = list(COLOURS), list(SHAPES)
    return scene._replace(
        colour=colours[(colours.index(scene.colour) + 1) % len(colours)],
        shape=shapes[(shapes.index(scene.shape) + 1) % len(shapes)],
    )


# ---------------------------------------------------------------------- what is measured of images

Measure = Callable[[np.ndarray, AskedImages], np.ndarray]
"""(B, H, W, 3) uint8 and what was asked for to (B,)."""


def _measures(own: AdapterKind, data: Dataset, says: Says, *, is_filled: bool) -> dict[str, Measure]:
    """By name. Raises InputError where nothing is known to measure by."""
    found: dict[str, Measure] = {}
    if isinstance(own, ByEdges):
        for off in (0, 1):
            found[f"edge F1, {off} px off"] = partial(_edge_f1, own, off)
    if isinstance(own, InpaintingSettings):
        found["PSNR outside"] = _psnr_outside
    if says == "nothing":
        return {f"{name}, {UNTOLD}": measure for name, measure in found.items()}
    if data.name != "scenes":
        if not found:
            raise InputError(
                f"adapter: {own.name} is read by the renderer of scenes; its data are {data.name}"
            )
        return found
    if isinstance(own, StyleSettings):
        found[STYLE_SAYS] = lambda images, asked: np.array(
            [one.is_filled == is_filled for one in _read(images, asked)], float
        )
    found[CAPTION_SAYS] = _as_captioned
    return found


def _edge_f1(own: ByEdges, tolerance_px: int, images: np.ndarray, asked: AskedImages) -> np.ndarray:
    edges, wanted = (canny(each, own.low, own.high) for each in (images, asked.images))
    return edge_f1(edges, wanted, tolerance_px)


def _psnr_outside(images: np.ndarray, asked: AskedImages) -> np.ndarray:
    assert asked.kept is not None
    return psnr_where(images, asked.images, asked.kept)


def _as_captioned(images: np.ndarray, asked: AskedImages) -> np.ndarray:
    """Whether size, colour and shape are the caption's."""
    scenes = asked.scenes or []
    return np.array(
        [one.scene == scene for one, scene in zip(_read(images, asked), scenes, strict=True)], float
    )


def _read(images: np.ndarray, asked: AskedImages) -> list[SceneReading]:
    assert asked.scenes is not None  # measures that read are of scenes alone
    return read_scenes(images, asked.scenes)
