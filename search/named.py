"""An architecture by the name that a setting gives it: a preset, a file, or what a run kept of one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

from space.architecture import Architecture
from space.shared.plain import InputError, nearest


def named_architecture(name: str, own: Mapping[str, str] = MappingProxyType({})) -> Architecture:
    """A preset of conf/arch by name, or a YAML file by path; `own` holds texts that stand for the user's."""
    if f"arch={name}" in own:
        return Architecture.from_yaml(own[f"arch={name}"], name)
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Architecture.load(name)
    presets = {
        entry.name.removesuffix(".yaml"): entry
        for entry in resources.files("conf").joinpath("arch").iterdir()
        if entry.name.endswith(".yaml") and "levels:" in entry.read_text(encoding="utf-8")  # DiT has none
    }
    if name not in presets:
        raise InputError(f"architecture {name!r}: no such preset, nor a .yaml file; {nearest(name, presets)}")
    return Architecture.from_yaml(presets[name].read_text(encoding="utf-8"), name)
