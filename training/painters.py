"""Whatever draws pictures of captions, behind one interface: our networks, or a diffusers pipeline's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch

from space.shared.plain import InputError
from training.model import Model, load_model, read_description

OURS, PIPELINE = "model.json", "model_index.json"
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
WEIGHTS = (".safetensors", ".bin")  # in the order in which diffusers looks for them
DESCRIPTIONS = (".json", ".txt", ".model")  # configurations, vocabularies, merges


@dataclass(frozen=True)
class DrawSettings:
    """All that decides the samples, beside the model, the captions and the machine."""

    count: int
    image_size_px: int
    steps: int
    guidance: float  # 1 leaves the caption alone, more follows it closer
    # Of a pipeline any scheduler that it can have, such as EulerDiscrete; scheduler= on a command line, where
    # sampler= is a search's.
    sampler: str = "ddim"
    seed: int = 0
    batch_size: int = 64
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    threads: int = 1  # of a worker, on a CPU

    def __post_init__(self) -> None:
        for name in ("count", "image_size_px", "steps", "batch_size", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")
        if self.seed < 0:
            raise InputError(f"seed: {self.seed} is not possible; allowed: 0 or more")
        if not 1 <= self.guidance < float("inf"):
            raise InputError(f"guidance: {self.guidance:g} is not possible; allowed: 1 or more")


class Painter(Protocol):
    """A loaded model with settings to draw by."""

    def draw(self, captions: Sequence[str], indices: Sequence[int]) -> np.ndarray:
        """One batch, (B, size, size, 3) uint8; picture i starts from noise of (seed, i) alone.

        Raises:
            InputError: a picture that is not finite.
        """
        ...


def open_painter(folder: str | Path, settings: DrawSettings, device: torch.device) -> Painter:
    """Load the model of a folder, ours or a pipeline. Raises InputError where settings do not fit it."""
    if kind_of(folder) == PIPELINE:
        from training.pipelines import PipelinePainter  # diffusers' pipelines take seconds to import

        return PipelinePainter(Path(folder), settings, device)
    check_settings(folder, settings)
    return OwnPainter(load_model(folder, str(device)), settings)


def check_settings(folder: str | Path, settings: DrawSettings) -> None:
    """Raises InputError where settings do not fit a model, as far as that is known without loading it."""
    if kind_of(folder) == PIPELINE:
        return
    _, model = read_description(folder)
    if settings.image_size_px != model.image_size_px:
        raise InputError(
            f"image_size_px: {settings.image_size_px}, but this model draws {model.image_size_px} px alone"
        )
    if settings.sampler != "ddim":
        raise InputError(
            f"scheduler: {settings.sampler!r} is not possible; allowed: ddim, as our networks draw"
        )
    if settings.steps > model.diffusion.timesteps:
        raise InputError(
            f"steps: {settings.steps} is not possible; allowed: at most {model.diffusion.timesteps}, the "
            "model's timesteps"
        )


class OwnPainter:
    """A network of ours, with DDIM; half precision by autocast, as in training."""

    def __init__(self, model: Model, settings: DrawSettings) -> None:
        self.model, self.settings = model, settings

    def draw(self, captions: Sequence[str], indices: Sequence[int]) -> np.ndarray:
        dtype = PRECISIONS[self.settings.precision]
        with torch.autocast(self.model.device.type, dtype=dtype, enabled=dtype != torch.float32):
            return self.model.draw_batch(
                captions,
                indices,
                seed=self.settings.seed,
                steps=self.settings.steps,
                guidance=self.settings.guidance,
            )


# ---------------------------------------------------------------------- which model it is


def identity(folder: str | Path) -> dict[str, str]:
    """What a model is called and a digest of all that it draws with, the same wherever its folder lies.

    Raises:
        InputError: a folder of neither kind, or one that cannot be read.
    """
    folder = Path(folder)
    kind = kind_of(folder)
    try:
        plain: Any = json.loads((folder / kind).read_text(encoding="utf-8"))
        if kind == OURS:
            return {"kind": "mdsearch", "digest": _digest(_own_parts(folder, plain))}
        return {"kind": str(plain["_class_name"]), "digest": _digest(_pipeline_parts(folder, plain))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"model: {str(folder / kind)!r} cannot be read: {error}") from None


def kind_of(folder: str | Path) -> str:
    """OURS or PIPELINE. Raises InputError for a folder of neither."""
    for kind in (OURS, PIPELINE):
        if (Path(folder) / kind).is_file():
            return kind
    if not Path(folder).is_dir():
        raise InputError(f"model: {str(folder)!r} is no folder")
    raise InputError(
        f"model: {str(folder)!r} has no {OURS} (a trained model of ours) and no {PIPELINE} (a diffusers "
        "pipeline)"
    )


def _own_parts(folder: Path, plain: dict[str, Any]) -> Iterable[tuple[str, bytes]]:
    """Settings, weights, and the frozen autoencoder and text tower that the settings name by a folder."""
    for name in ("latents", "text"):
        frozen = plain["settings"][name].pop("folder", None)
        if frozen is not None:
            yield from _files(Path(frozen), name)
    yield OURS, json.dumps(plain, sort_keys=True).encode()
    yield from ((file.name, _sha(file)) for file in sorted(folder.glob("*.safetensors")))


def _pipeline_parts(folder: Path, plain: dict[str, Any]) -> Iterable[tuple[str, bytes]]:
    """Every component that the index names, but for the safety checker, which is not asked."""
    components = {name: value for name, value in plain.items() if not name.startswith("_")}
    for name in ("safety_checker", "requires_safety_checker"):
        components.pop(name, None)
    yield PIPELINE, json.dumps([plain["_class_name"], components], sort_keys=True).encode()
    for name in sorted(components):
        if (folder / name).is_dir():
            yield from _files(folder / name, name)


def _files(folder: Path, name: str) -> Iterable[tuple[str, bytes]]:
    files = sorted(folder.iterdir())
    weights = next((suffix for suffix in WEIGHTS if any(file.suffix == suffix for file in files)), None)
    for file in filter(Path.is_file, files):
        if file.suffix in DESCRIPTIONS or file.suffix == weights:
            yield f"{name}/{file.name}", _sha(file)


def _sha(file: Path) -> bytes:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _digest(parts: Iterable[tuple[str, bytes]]) -> str:
    """Sixteen hexadecimal digits."""
    sha = hashlib.sha256()
    for name, content in parts:
        sha.update(f"{name} {len(content)}\n".encode() + content)
    return sha.hexdigest()[:16]
