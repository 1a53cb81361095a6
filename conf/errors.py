"""What went wrong with an override, in one line: Hydra's errors as `InputError`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from conf.composition import MISSING, choices, composed
from conf.files import PACKAGE, built_in, folder_of, is_path, names_preset
from conf.own import Chosen
from conf.repeated import KIND
from conf.words import SAME, first_line
from space.shared.plain import InputError, nearest

_WHOLE = ("experiment", *(folder for names in SAME.values() for folder in names.values()))  # configurations
Presets = Mapping[str, Mapping[str, str]]


def refuse_outside(override: Any) -> None:
    """What Hydra would take but means nothing here: its own settings, and several values at once."""
    if override.is_hydra_override():
        raise InputError(f"{override.key_or_group}: no such key; Hydra's own settings have no effect here")
    if override.is_sweep_override():
        raise InputError(f"{override.input_line}: several values run one after another only with -m")


def check_preset(override: Any, presets: Mapping[str, str]) -> None:
    preset = str(override.value())
    if not override.is_delete() and preset not in presets and not is_path(preset):
        _refuse_of_another(override.key_or_group, preset)
        raise InputError(
            f"{override.key_or_group}: no preset {preset!r}; {nearest(preset, presets)}, or a .yaml file"
        )


def _refuse_of_another(group: str, preset: str) -> None:
    """Raises InputError for a complete configuration that another command has under this name."""
    for command, names in SAME.items():
        for name, folder in names.items():
            if folder != group and group in _WHOLE and preset in built_in(PACKAGE)[folder]:
                raise InputError(
                    f"{group}: {preset!r} is of another command; write mdsearch {command} {name}={preset}"
                )


def check_chosen_here(override: Any, usual: Mapping[str, str]) -> None:
    """Raises InputError for a group that a command does not choose from."""
    name = override.get_key_element().lstrip("+~")
    if name not in usual and not override.is_add():
        raise InputError(f"{name}: not chosen from here; {nearest(name, usual)}")


def check_kinds(fields: Iterable[tuple[str, Any]], usual: Mapping[str, str], folders: Presets) -> None:
    """Raises InputError for `sampler.name=random`: of another preset the fields are others, too.

    Args:
        usual: the preset of each group that no word chooses.
    """
    for name, value in fields:
        group, _, field = name.rpartition(".")
        if field == KIND and group in usual and value != usual[group] and value in folders[folder_of(group)]:
            raise InputError(
                f"{name}: {value!r} has other fields than {usual[group]!r}; write {group}={value}"
            )


def explain(
    error: Exception,
    main: str,
    parsed: list[Any],
    own: Chosen,
    package: str,
    folders: Presets,
) -> NoReturn:
    """Raise the InputError that says what Hydra's `error` meant; a bug of the YAML itself goes on."""
    from hydra.errors import HydraException
    from omegaconf.errors import ConfigKeyError, MissingMandatoryValue

    chosen = [override for override in parsed if names_preset(override, folders)]
    usual = choices(main, package)
    for override in chosen:
        check_chosen_here(override, usual)
    words = [override.input_line for override in chosen]
    try:
        for group, preset in choices(main, package, own.only(words)).items():
            if preset == MISSING:
                raise InputError(f"{group}: a preset must be named; {nearest('', folders[folder_of(group)])}")
        config = composed(main, own.only(words), package)
    except HydraException as cause:
        if not chosen:  # the YAML itself is wrong
            raise
        raise InputError(f"{', '.join(words)}: {first_line(cause)}") from None
    for override in parsed:
        if override not in chosen and not (override.is_add() or override.is_force_add()):
            _check_key(override.key_or_group, config, folders)
    key = getattr(error, "full_key", None) or getattr(error.__cause__, "full_key", None)
    if isinstance(error, MissingMandatoryValue):
        raise InputError(f"{key}: missing (required); write {key}=value")
    if isinstance(error.__cause__, ConfigKeyError):  # a key inside a mapping given as a value
        _check_key(str(key), config, folders)
    if not parsed:
        raise error
    raise InputError(f"{key}: {first_line(error)}" if key else first_line(error)) from None


def _check_key(key: str, config: Any, folders: Mapping[str, Any]) -> None:
    """The key of a plain field exists in what the groups composed to."""
    from omegaconf import OmegaConf

    tree = OmegaConf.to_container(config, resolve=False)
    names = dict(_dotted(tree))
    if key in names:
        return
    parent = key.rpartition(".")[0]
    while parent and parent not in names:
        parent = parent.rpartition(".")[0]
    siblings = names[parent] if parent else tree
    if not isinstance(siblings, dict):
        raise InputError(f"{key}: no such key; {parent} holds the value {siblings!r}, not a mapping")
    close = _close(key, [name for name in (*names, *folders) if not key.startswith(f"{name}.")])
    hint = f"did you mean {close!r}? " if close else ""
    inside = f"Valid in {parent}" if parent else "Valid"
    adding = f"; to add a new one write +{key}=value" if not siblings else ""
    listed = ", ".join(sorted(map(str, siblings))) or "(none yet)"
    raise InputError(f"{key}: no such key; {hint}{inside}: {listed}{adding}")


def _close(key: str, names: list[str]) -> str | None:
    """The dotted name most like `key`, or else the one whose last part is."""
    whole = difflib.get_close_matches(key, names, n=1, cutoff=0.75)
    if whole:
        return whole[0]
    last = {name.rpartition(".")[2]: name for name in reversed(names)}
    part = difflib.get_close_matches(key.rpartition(".")[2], last, n=1, cutoff=0.75)
    return last[part[0]] if part else None


def _dotted(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        yield f"{prefix}{key}", value
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")
