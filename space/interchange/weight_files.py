"""A network's folder on disk: `config.json`, and its tensors in safetensors or `.bin`, whole, sharded, or as
a variant (`fp16`), by the names that diffusers gives them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from space.shared.files import replacing, write_whole
from space.shared.plain import InputError, first_few

CONFIG_FILE = "config.json"
WEIGHTS_STEM = "diffusion_pytorch_model"
WEIGHTS_FILE = f"{WEIGHTS_STEM}.safetensors"
SUFFIXES = (".safetensors", ".bin")  # in the order in which diffusers looks for them


def write_network(folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Raises InputError where the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / CONFIG_FILE, json.dumps(config, indent=2) + "\n")
        tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
        with replacing(folder / WEIGHTS_FILE) as own:
            save_file(tensors, own, metadata={"format": "pt"})
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder}: cannot be written: {error}") from None


def read_plain(path: Path) -> dict[str, Any]:
    """A mapping from a JSON file. Raises InputError."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a model's config: {error}") from None
    if not isinstance(config, dict):
        raise InputError(f"{path}: expected a mapping of fields")
    return config


def read_weights(folder: Path, variant: str | None = None) -> dict[str, Tensor]:
    """All tensors of a folder, from one file or from the shards that an index names.

    Raises:
        InputError: no such files, broken ones, or shards without a tensor that the index names.
    """
    of_variant = f".{variant}" if variant else ""
    for suffix in SUFFIXES:
        index = folder / f"{WEIGHTS_STEM}{suffix}.index{of_variant}.json"
        if index.is_file():
            return _read_shards(index)
        file = folder / f"{WEIGHTS_STEM}{of_variant}{suffix}"
        if file.is_file():
            return read_tensors(file)
    there = sorted(path.name for path in folder.glob("*") if path.suffix in SUFFIXES)
    wanted = f"{WEIGHTS_STEM}{of_variant}.safetensors"
    hint = f"; there: {first_few(there)} (variant= chooses one such as .fp16.)" if there else ""
    raise InputError(f"{folder}: weights cannot be read (needed: {wanted}, or .bin){hint}")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of one file. Raises InputError."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each library raises its own on damaged files
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"{path}: weights cannot be read: {reason}") from None
    if not isinstance(held, dict) or not all(isinstance(item, Tensor) for item in held.values()):
        raise InputError(f"{path}: weights cannot be read: it holds no named tensors alone")
    return held


def _read_shards(index: Path) -> dict[str, Tensor]:
    names = read_plain(index).get("weight_map")
    if not isinstance(names, dict):
        raise InputError(f"{index}: weights cannot be read: it has no weight_map")
    weights: dict[str, Tensor] = {}
    for name in sorted(set(names.values())):
        weights |= read_tensors(index.parent / name)
    missing = sorted(set(names) - set(weights))
    if missing:
        raise InputError(f"{index}: names {first_few(missing)}, which its files do not hold")
    return weights
