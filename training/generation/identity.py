"""Which model a folder holds, and a digest of all that it generates with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from space.interchange.checkpoints import PIPELINE_FILE
from space.shared.plain import InputError
from training.files import MODEL_NAME
from training.frozen_folders import digest_of_parts, folder_parts, frozen_parts, unchanged_digest


def model_identity(folder: str | Path) -> dict[str, str]:
    """What a model is called and a digest of all that it generates with, the same wherever its folder lies.

    Raises:
        InputError: a folder of neither kind, or one that cannot be read.
    """
    folder = Path(folder)
    kind = model_kind(folder)
    try:
        plain: Any = json.loads((folder / kind).read_text(encoding="utf-8"))
        if kind == MODEL_NAME:
            return {"kind": "mdsearch", "digest": digest_of_parts(_own_parts(folder, plain))}
        return {"kind": str(plain["_class_name"]), "digest": digest_of_parts(_pipeline_parts(folder, plain))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"model: {str(folder / kind)!r} cannot be read: {error}") from None


def model_kind(folder: str | Path) -> str:
    """MODEL_NAME or PIPELINE_FILE. Raises InputError for a folder of neither."""
    for kind in (MODEL_NAME, PIPELINE_FILE):
        if (Path(folder) / kind).is_file():
            return kind
    if not Path(folder).is_dir():
        raise InputError(f"model: {str(folder)!r} is no folder")
    raise InputError(
        f"model: {str(folder)!r} has no {MODEL_NAME} (a trained model of ours) and no {PIPELINE_FILE} (a "
        "diffusers pipeline)"
    )


def _own_parts(folder: Path, plain: dict[str, Any]) -> Iterable[tuple[str, bytes]]:
    """Settings, weights, and the frozen autoencoder and text tower that the settings name by a folder."""
    for name in ("latents", "text"):
        frozen = plain["settings"][name].pop("folder", None)
        if frozen is not None:
            yield from frozen_parts(name, frozen)
    yield MODEL_NAME, json.dumps(plain, sort_keys=True).encode()
    yield from ((file.name, unchanged_digest(file)) for file in sorted(folder.glob("*.safetensors")))


def _pipeline_parts(folder: Path, plain: dict[str, Any]) -> Iterable[tuple[str, bytes]]:
    """Every component that the index names, but for the safety checker, which is not asked."""
    components = {name: value for name, value in plain.items() if not name.startswith("_")}
    for name in ("safety_checker", "requires_safety_checker"):
        components.pop(name, None)
    yield PIPELINE_FILE, json.dumps([plain["_class_name"], components], sort_keys=True).encode()
    for name in sorted(components):
        if (folder / name).is_dir():
            yield from folder_parts(folder / name, name)
