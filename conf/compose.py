"""The door: words of a command line to one plain, resolved dictionary.

Hydra composes the YAML of this package and stays here: what goes inward is a dictionary, which the rooms
read into their own dataclasses. Whatever is wrong with an override becomes one `InputError`. Hydra is
imported inside the functions, since a command that only prints its help must not wait for it.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, NoReturn

from conf.renamed import current
from space.shared.plain import InputError, nearest

PACKAGE = "conf"
MISSING = "???"
COMPLETE = "# @package _global_"  # begins a preset that sets fields of the whole, not of its group


def compose(main: str, overrides: Iterable[str], *, package: str = PACKAGE) -> dict[str, Any]:
    """The settings of one run: `<package>/<main>.yaml` with its groups and `overrides`, all resolved.

    Raises:
        InputError: an override that cannot be parsed or applied, or a value that is still missing.
    """
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    words = [current(word) for word in overrides]
    parsed = [_parse(word) for word in words]
    folders = _presets(package)
    for override in parsed:
        _refuse_outside(override)
        if _names_preset(override, folders):
            _check_preset(override, folders[override.key_or_group])
    try:
        config = _composed(main, words, package)
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        _explain(error, main, parsed, package, folders)
    if not isinstance(plain, dict):
        raise TypeError(f"{main}.yaml must hold a mapping")
    return {str(key): value for key, value in plain.items()}


def divided(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """What a command line names (`runs/a`), and what it sets (`out=b`), each in its order."""
    words = list(words)
    return [word for word in words if "=" not in word], [word for word in words if "=" in word]


def expand(overrides: Iterable[str]) -> list[list[str]]:
    """Every combination that a sweep asks for, the first override varying slowest.

    >>> expand(["budget=md,md_lite", "trials=3"])
    [['budget=md', 'trials=3'], ['budget=md_lite', 'trials=3']]

    Raises:
        InputError: an override that cannot be parsed, or a sweep without an end (`interval`).
    """
    return [list(words) for words in itertools.product(*map(_alternatives, overrides))]


def as_text(words: Iterable[str], names: Iterable[str]) -> list[str]:
    """The words with the values of `names` quoted: text as it stands, so that nobody quotes twice in a shell.

    >>> as_text(["prompt=a red, round {thing}", "out=null", "steps=3"], ["prompt", "out"])
    ['prompt="a red, round {thing}"', 'out=null', 'steps=3']
    """
    texts = set(names)
    return [_quoted(word) if word.partition("=")[0] in texts else word for word in words]


def as_entries(words: Iterable[str], mapping: str) -> list[str]:
    """The words with those inside `mapping`, which is empty at first, as entries that join it, their values
    text as it stands.

    >>> as_entries(["weights.files.vit-b-32=a b.pt", "steps=3"], "weights.files")
    ['++weights.files.vit-b-32="a b.pt"', 'steps=3']
    """
    inside = f"{mapping}."
    return [f"++{_quoted(word)}" if word.startswith(inside) else word for word in words]


def _quoted(word: str) -> str:
    name, _, text = word.partition("=")
    if text == "null":
        return word
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'{name}="{escaped}"'


def groups(main: str, *, package: str = PACKAGE) -> dict[str, dict[str, str]]:
    """The groups that `main` chooses from: group -> preset -> the first comment line of its file."""
    folders = _presets(package)
    return {
        name: {preset: _description(text) for preset, text in folders[_folder(name)].items()}
        for name in _choices(main, package)
        if _folder(name) in folders
    }


# ---------------------------------------------------------------------- help


def help_text(main: str, intro: str, examples: Iterable[str], *, package: str = PACKAGE) -> str:
    """What `--help` prints: how to write overrides, the groups and presets, the fields, examples."""
    chosen = _choices(main, package)
    lines = [intro.strip(), "", "Write any of what follows as name=value, in any order:", ""]
    for group, presets in groups(main, package=package).items():
        lines.append(f"{group}=... (default {chosen[group]})")
        lines += _columns((f"  {preset}", text) for preset, text in presets.items())
        lines.append("")
    lines += ["Fields, with their defaults:"]
    lines += _columns((f"  {name}={value}", comment) for name, value, comment in _fields(main, package))
    lines += ["", "Examples:", *(f"  {example}" for example in examples)]
    return "\n".join(lines)


def _columns(rows: Iterable[tuple[str, str]], widest: int = 44) -> list[str]:
    rows = list(rows)
    width = min(widest, max((len(left) for left, _ in rows), default=0))
    return [f"{left:<{width}}  {right}".rstrip() for left, right in rows]


def _fields(main: str, package: str) -> Iterator[tuple[str, str, str]]:
    """(dotted name, default as written, comment beside it) of `main` and of its default presets."""
    import yaml

    sources = [("", (resources.files(package) / f"{main}.yaml").read_text("utf-8"))]
    folders = _presets(package)
    for name, preset in _choices(main, package).items():
        text = _preset(folders, name, preset)
        prefix = "" if text.startswith(COMPLETE) else name.split("@")[-1].replace("/", ".")
        sources.append((prefix, text))
    for prefix, text in sources:
        root = yaml.compose(text)
        if isinstance(root, yaml.MappingNode):
            yield from _leaves(root, prefix, text.splitlines())


def _leaves(mapping: Any, prefix: str, lines: list[str]) -> Iterator[tuple[str, str, str]]:
    import yaml

    for key, value in mapping.value:
        if not prefix and key.value in ("defaults", "hydra"):
            continue
        name = f"{prefix}.{key.value}" if prefix else key.value
        if isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
            yield from _leaves(value, name, lines)
            continue
        line = lines[key.start_mark.line]
        end = value.end_mark.column if value.end_mark.line == key.start_mark.line else key.end_mark.column
        comment = line[end:].partition("#")[2].strip()
        yield name, _as_written(value, lines), comment


def _as_written(value: Any, lines: list[str]) -> str:
    start, end = value.start_mark, value.end_mark
    if start.line == end.line:
        return lines[start.line][start.column : end.column]
    return "[...]"


# ---------------------------------------------------------------------- the package's files


def _presets(package: str) -> dict[str, dict[str, str]]:
    """Group -> preset -> the text of its file. A group is a folder of the package that holds YAML."""
    found: dict[str, dict[str, str]] = {}

    def walk(folder: Traversable, group: str) -> None:
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if entry.is_dir():
                walk(entry, f"{group}/{entry.name}" if group else entry.name)
            elif group and entry.name.endswith(".yaml"):
                preset = entry.name.removesuffix(".yaml")
                found.setdefault(group, {})[preset] = entry.read_text("utf-8")

    walk(resources.files(package), "")
    return found


def _preset(folders: Mapping[str, Mapping[str, str]], group: str, preset: str) -> str:
    return folders.get(_folder(group), {}).get(preset, "")


def _description(text: str) -> str:
    lines = text.removeprefix(COMPLETE).splitlines()
    first = next((line for line in lines if line.startswith("#")), "")
    return first.removeprefix("#").strip()


def _folder(group: str) -> str:
    """The folder of a group that may be placed elsewhere: `arch@reference` is read from `arch`."""
    return group.partition("@")[0]


# ---------------------------------------------------------------------- Hydra


def _composed(main: str, words: list[str], package: str) -> Any:
    import hydra

    with hydra.initialize_config_module(package, version_base="1.3"):
        return hydra.compose(main, overrides=words)


def _choices(main: str, package: str, words: Iterable[str] = ()) -> dict[str, str]:
    """Group -> the preset chosen, of the groups that the defaults lists name (nested ones too)."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    with hydra.initialize_config_module(package, version_base="1.3"):
        # MULTIRUN lets a group without a default pass, as `???`.
        loader = GlobalHydra.instance().config_loader()
        defaults = loader.compute_defaults_list(main, list(words), RunMode.MULTIRUN)
    choices = reversed(defaults.overrides.known_choices.items())  # as the defaults list has them
    found = {name: str(preset) for name, preset in choices if not name.startswith("hydra/")}
    folders = _presets(package)
    whole = [name for name, preset in found.items() if _preset(folders, name, preset).startswith(COMPLETE)]
    return {name: found[name] for name in [*whole, *found]}


def _parse(word: str) -> Any:
    """A word as Hydra's Override."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    name, equals, value = word.lstrip("+-").partition("=")
    if not name or (not value and not word.startswith("~")):
        empty = f" ({name}='' for empty text)" if name and equals else ""
        what = "value" if name else "name"
        raise InputError(f"{word!r}: a {what} is missing; write {name or 'name'}=value{empty}")
    if word.startswith("-"):
        raise InputError(f"{word!r} is not an option; write {name}={value}")
    try:
        return OverridesParser.create().parse_overrides([word])[0]
    except HydraException as error:
        raise InputError(
            f"{word!r} cannot be read as name=value ({_first_line(error)}); text with blanks, commas, "
            f"brackets or signs needs quotes inside, as in 'name=\"a b, c\"'"
        ) from None


def _alternatives(word: str) -> list[str]:
    from hydra.errors import HydraException

    override = _parse(word)
    if not override.is_sweep_override():
        return [word]
    if not override.is_discrete_sweep():
        raise InputError(
            f"{word}: an interval has no end of values; list them, or use range(start,stop,step)"
        )
    try:
        return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
    except HydraException:
        raise InputError(f"{word}: glob() is not read here; list the values with commas") from None


def _refuse_outside(override: Any) -> None:
    """What Hydra would take but means nothing here: its own settings, and several values at once."""
    if override.is_hydra_override():
        raise InputError(f"{override.key_or_group}: no such key; Hydra's own settings have no effect here")
    if override.is_sweep_override():
        raise InputError(f"{override.input_line}: several values run one after another only with -m")


# ---------------------------------------------------------------------- what went wrong


def _explain(
    error: Exception, main: str, parsed: list[Any], package: str, folders: Mapping[str, Mapping[str, str]]
) -> NoReturn:
    """Raise the InputError that says what Hydra's `error` meant; a bug of the YAML itself goes on."""
    from hydra.errors import HydraException
    from omegaconf.errors import ConfigKeyError, MissingMandatoryValue

    chosen = [override for override in parsed if _names_preset(override, folders)]
    usual = _choices(main, package)
    for override in chosen:
        name = override.get_key_element().lstrip("+~")
        if name not in usual and not override.is_add():
            raise InputError(f"{name}: not chosen from here; {nearest(name, usual)}")
    words = [override.input_line for override in chosen]
    try:
        for group, preset in _choices(main, package, words).items():
            if preset == MISSING:
                raise InputError(f"{group}: a preset must be named; {nearest('', folders[_folder(group)])}")
        config = _composed(main, words, package)
    except HydraException as cause:
        if not chosen:  # the YAML itself is wrong
            raise
        raise InputError(f"{', '.join(words)}: {_first_line(cause)}") from None
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
    raise InputError(f"{key}: {_first_line(error)}" if key else _first_line(error)) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _names_preset(override: Any, folders: Mapping[str, Any]) -> bool:
    """Hydra's own reading: `budget=md` chooses a preset, `budget={gmacs: 200}` sets fields."""
    return override.key_or_group in folders and (
        override.is_delete() or not isinstance(override.value(), dict)
    )


def _check_preset(override: Any, presets: Mapping[str, str]) -> None:
    preset = str(override.value())
    if not override.is_delete() and preset not in presets:
        raise InputError(f"{override.key_or_group}: no preset {preset!r}; {nearest(preset, presets)}")


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
