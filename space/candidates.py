"""What a search may try: a UNet, or an autoencoder of which it chooses the decoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from space.architecture import Architecture
from space.autoencoder import Autoencoder
from space.difference import autoencoder_difference, difference
from space.shared.plain import InputError
from space.shared.strict_yaml import read_yaml

Candidate = Architecture | Autoencoder


def candidate_from_plain(plain: Any, where: str = "") -> Candidate:
    """From what records and YAML hold; autoencoders alone have a decoder. Raises InputError."""
    if isinstance(plain, Mapping) and "decoder" in plain:
        return Autoencoder.from_plain(plain, where)
    return Architecture.from_plain(plain, where)


def load_candidate(path: Path) -> Candidate:
    """From a YAML file. Raises InputError where the file is missing or wrong."""
    try:
        return candidate_from_plain(read_yaml(path.read_text(encoding="utf-8")), str(path))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as a network: {reason}") from None


def as_unet(candidate: Candidate) -> Architecture:
    """What speaks of UNets alone refuses others by this. Raises InputError."""
    if isinstance(candidate, Architecture):
        return candidate
    raise InputError(f"{candidate.id}: is an autoencoder, and this is of UNets")


def candidate_difference(before: Candidate, after: Candidate) -> list[str]:
    """What changes from one to another, a readable line for each; empty if they are equal."""
    if isinstance(before, Autoencoder) and isinstance(after, Autoencoder):
        return autoencoder_difference(before, after)
    return difference(as_unet(before), as_unet(after))
