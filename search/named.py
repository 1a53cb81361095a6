"""A network by the name that a setting gives it: a preset, a file, or what a run kept of one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from space.architecture import Architecture
from space.autoencoder import Autoencoder
from space.candidates import Candidate
from space.decoder_space import DecoderSpace
from space.search_space import AnySpace
from space.shared.plain import InputError, nearest
from space.shared.strict_yaml import read_yaml

_NO_TEXTS: Mapping[str, str] = MappingProxyType({})


def named_architecture(name: str, own: Mapping[str, str] = _NO_TEXTS) -> Architecture:
    """A preset of conf/arch by name, or a YAML file by path; `own` holds texts that stand for the user's."""
    if f"arch={name}" in own:
        return Architecture.from_yaml(own[f"arch={name}"], name)
    if is_file_name(name):
        return Architecture.load(name)
    # DiT has no levels
    return Architecture.from_yaml(_preset("arch", "architecture", name, "levels:"), name)


def named_candidate(space: AnySpace, name: str, own: Mapping[str, str] = _NO_TEXTS) -> Candidate:
    """The same for a space; in one of decoders a preset of conf/autoencoder or such a file, of which the
    decoder is taken. Raises InputError, of a decoder also where it does not fit the encoder that stays."""
    if not isinstance(space, DecoderSpace):
        return named_architecture(name, own)
    found = named_autoencoder(name, own)
    try:
        return space.with_decoder(found.decoder)
    except InputError as error:
        raise InputError(f"{name}: its decoder is not of the encoder that stays: {error}") from None


def named_autoencoder(name: str, own: Mapping[str, str] = _NO_TEXTS) -> Autoencoder:
    """A preset of conf/autoencoder by name, or a YAML file by path."""
    if is_file_name(name) and f"autoencoder={name}" not in own:
        return Autoencoder.load(name)
    text = own.get(f"autoencoder={name}") or _preset("autoencoder", "autoencoder", name, "decoder:")
    return Autoencoder.from_plain(_read(text, name), name)


def is_file_name(name: str) -> bool:
    """Whether a file is meant, and not a preset."""
    return name.endswith((".yaml", ".yml")) or "/" in name


def _read(text: str, name: str) -> Any:
    try:
        return read_yaml(text)
    except yaml.YAMLError as error:
        raise InputError(f"{name}: not YAML: {' '.join(str(error).split())}") from None


def _preset(group: str, noun: str, name: str, holds: str) -> str:
    """The text of a built-in one that holds this. Raises InputError for a name that none has."""
    presets: dict[str, str] = {}
    for entry in resources.files("conf").joinpath(group).iterdir():
        if entry.name.endswith(".yaml") and holds in (text := entry.read_text(encoding="utf-8")):
            presets[Path(entry.name).stem] = text
    if name not in presets:
        raise InputError(f"{noun} {name!r}: no such preset, nor a .yaml file; {nearest(name, presets)}")
    return presets[name]
