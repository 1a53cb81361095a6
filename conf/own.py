"""Presets of the user's own that words choose: a file (`space=./phone.yaml`), or a name in their folder.

Each becomes a preset of Hydra's under a name of its own, with the presets that its defaults list names, from
where the file stands. Their texts are what a run keeps, so that it can be composed again when they are gone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from unicodedata import normalize

from conf.files import built_in, folder_of, is_path, package_of, text_of_file, unquoted
from conf.folders import ENDINGS, own_files
from space.shared.plain import InputError, nearest

_WORD = re.compile(r"(\+{0,2})([^=~]+)=(.+)", re.DOTALL)
_LITERAL = ("{", "[", "${")  # fields, a list, an interpolation: no preset


@dataclass(frozen=True)
class OwnPreset:
    """`name` as it was said. Files that its defaults list names stand in `text` by their whole paths."""

    group: str
    name: str
    text: str
    file: Path

    @property
    def key(self) -> str:
        return f"{self.group}={self.name}"


@dataclass
class Chosen:
    """Words in which presets of the user's own stand by their `aliases`, and those presets."""

    words: list[str] = field(default_factory=list)
    aliases: dict[str, OwnPreset] = field(default_factory=dict)
    named: dict[str, dict[tuple[str, str], str]] = field(
        default_factory=dict
    )  # by each: (group, name) -> alias

    @property
    def texts(self) -> dict[str, str]:
        """What a run keeps: `group=name` -> text."""
        return {preset.key: preset.text for preset in self.aliases.values()}

    def only(self, words: Iterable[str]) -> Chosen:
        """The same with some of the words."""
        return replace(self, words=list(words))

    def shown(self, text: str) -> str:
        """The text with names as they were said."""
        for alias, preset in self.aliases.items():
            text = text.replace(alias, preset.name)
        return text


@dataclass(frozen=True)
class Kept:
    """What a run keeps of the words that it was started with: `count` of them, and the texts of the presets
    of the user's own that they chose, which stand for their files."""

    count: int
    texts: Mapping[str, str]


def chosen(words: Sequence[str], package: str, kept: Kept | None = None) -> Chosen:
    """The user's own presets that words choose, the first of which may be those that a run keeps.

    Raises:
        InputError: a file that is not there, or is no mapping in YAML.
    """
    finder = _Finder(package)
    for place, word in enumerate(words):
        finder.kept = kept.texts if kept and place < kept.count else {}
        finder.found.words.append(finder.word(word))
    return finder.found


@contextmanager
def registered(found: Chosen) -> Iterator[None]:
    """Within the block Hydra finds the presets by their aliases."""
    if not found.aliases:
        yield
        return
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    before = {group: dict(store.repo.get(group, {})) for group in {p.group for p in found.aliases.values()}}
    try:
        for alias, preset in found.aliases.items():
            node = mapping_of(preset)
            if "defaults" in node:
                node.defaults = _renamed(node.defaults, preset.group, found.named[alias])
            store.store(alias, node, group=preset.group, package=package_of(preset.text))
        yield
    finally:
        store.repo.update(before)


def mapping_of(preset: OwnPreset) -> Any:
    """The preset as OmegaConf's mapping. Raises InputError, naming group, file and line, if it is none."""
    import yaml
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        node = OmegaConf.load(io.StringIO(preset.text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        raise InputError(f"{preset.group}: {preset.file}: {line}{reason}") from None
    except (OSError, OmegaConfBaseException) as error:
        raise InputError(f"{preset.group}: {preset.file}: {' '.join(str(error).split())}") from None
    if not isinstance(node, DictConfig) or isinstance(yaml.compose(preset.text), yaml.ScalarNode):
        raise InputError(f"{preset.group}: {preset.file}: holds no fields; allowed: a mapping, name: value")
    _check_defaults(preset, OmegaConf.to_container(node).get("defaults", []))  # type: ignore[union-attr]
    return node


def _check_defaults(preset: OwnPreset, defaults: Any) -> None:
    """What Hydra would end on."""
    for item in defaults if isinstance(defaults, list) else [defaults]:
        named = next(iter(item.values())) if isinstance(item, dict) and len(item) == 1 else item
        names = named if isinstance(named, list) else [named]
        if not isinstance(defaults, list) or not all(name is None or isinstance(name, str) for name in names):
            raise InputError(
                f"{preset.group}: {preset.file}: defaults: {item!r} names no preset; allowed: a list, as in "
                "[md, /noise: mine, _self_]"
            )


class _Finder:
    def __init__(self, package: str) -> None:
        self.found = Chosen()
        self.kept: Mapping[str, str] = {}
        self.built_in = built_in(package)
        self.own = own_files(self.built_in)
        self.open: list[OwnPreset] = []

    def word(self, word: str) -> str:
        """The word, with an alias in place of a preset of the user's own."""
        match = _WORD.fullmatch(word)
        if match is None or folder_of(match[2]) not in self.built_in:
            return word
        plus, group, name = match.groups()
        if name.startswith(_LITERAL):
            return word
        name = unquoted(name)
        if "," in name and is_path(name) and not Path(name).expanduser().exists():
            raise InputError(f"{word}: several values run one after another only with -m")
        alias = self.alias(folder_of(group), name)
        return word if alias is None else f"{plus}{group}={alias}"

    def alias(self, group: str, name: str) -> str | None:
        """The name that Hydra knows the preset by; None for one that is not the user's."""
        preset = self._read(group, name)
        if preset is None:
            return None
        if preset in self.open:
            raise InputError(f"{group}: {preset.file}: its defaults list leads back to itself")
        known = next((alias for alias, other in self.found.aliases.items() if other == preset), None)
        if known is not None:
            return known
        alias = f"own_{len(self.found.aliases)}_" + re.sub(r"\W", "_", Path(name).stem, flags=re.ASCII)
        self.found.aliases[alias] = preset
        self.open.append(preset)
        named = {place: self.alias(*place) for place in _named_in(mapping_of(preset).get("defaults"), group)}
        self.open.pop()
        self.found.named[alias] = {place: own for place, own in named.items() if own is not None}
        return alias

    def _read(self, group: str, name: str) -> OwnPreset | None:
        """From what is kept, else from the file."""
        if group not in self.built_in:
            return None
        file = self._file(group, name)
        if text := self.kept.get(f"{group}={name}"):
            return OwnPreset(group, name, text, file or Path(name))
        if file is None:
            return None
        if not file.is_file():
            raise InputError(f"{group}: no file {name!r} (from {Path.cwd()}); {self._hint(group, file)}")
        return _with_whole_paths(OwnPreset(group, name, text_of_file(file, group), file))

    def _file(self, group: str, name: str) -> Path | None:
        if is_path(name):
            return Path.cwd() / Path(name).expanduser()
        return self.own.get(group, {}).get(normalize("NFC", name))

    def _hint(self, group: str, file: Path) -> str:
        there = [p.name for p in file.parent.glob("*") if p.suffix in ENDINGS] if file.parent.is_dir() else []
        if close := get_close_matches(file.name, there, 1, 0.6):
            return f"did you mean {close[0]!r}?"
        return nearest(file.stem, [*self.built_in[group], *self.own.get(group, {})])


def _named_in(defaults: Any, group: str) -> Iterator[tuple[str, str]]:
    """(group, preset) of what a defaults list in a preset of `group` names."""
    for item in defaults or ():
        if isinstance(item, str):
            if item != "_self_":
                yield _place(item, group)
            continue
        for key, value in item.items():
            values = value if _is_list(value) else [value]
            yield from ((_group_of(key, group), str(name)) for name in values if name is not None)


def _renamed(defaults: Any, group: str, names: Mapping[tuple[str, str], str]) -> list[Any]:
    """The defaults list of a preset in `group` with other names for some: (group, name) -> the new one."""
    renamed: list[Any] = []
    for item in defaults:
        if isinstance(item, str):
            place = _place(item, group)
            new = names.get(place)
            at = item[len(item.partition("@")[0]) :]
            whole = item if new is None else f"{new if is_path(new) else f'/{place[0]}/{new}'}{at}"
            renamed.append(whole)
            continue
        for key, value in item.items():
            own = _group_of(key, group)
            if _is_list(value):
                value = [names.get((own, str(name)), name) for name in value]
            elif value is not None:
                value = names.get((own, str(value)), value)
            renamed.append({key: value})
    return renamed


def _with_whole_paths(preset: OwnPreset) -> OwnPreset:
    """Its text as it stands, unless its defaults list names files from where it stands."""
    node = mapping_of(preset)
    paths = {
        place: str(preset.file.parent / Path(place[1]).expanduser())
        for place in _named_in(node.get("defaults"), preset.group)
        if is_path(place[1])
    }
    if not paths:
        return preset
    from omegaconf import OmegaConf

    node.defaults = _renamed(node.defaults, preset.group, paths)
    package = package_of(preset.text)
    head = f"# @package {package}\n" if package else ""
    return replace(preset, text=head + OmegaConf.to_yaml(node))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _place(item: str, group: str) -> tuple[str, str]:
    """Where a defaults list's plain entry is: `md` and `./other.yaml` in the same group, `/space/md` in its
    own."""
    name = item.partition("@")[0]
    if name.endswith(ENDINGS) or not name.startswith("/"):
        return group, name
    folder, _, preset = name[1:].rpartition("/")
    return folder, preset


def _group_of(key: str, group: str) -> str:
    """`/noise`, `override /noise@x` -> noise; a relative one lies inside the preset's own group."""
    name = folder_of(str(key).split(" ")[-1])
    return name[1:] if name.startswith("/") else f"{group}/{name}"


def naming_file(error: InputError, found: Iterable[Chosen]) -> InputError:
    """The error with the file that its field stands in, if that is a preset of the user's own."""
    name = re.match(r"[\w.]+", str(error))
    if name is None:
        return error
    for each in found:
        if any(word.lstrip("+").partition("=")[0] == name[0] for word in each.words):
            continue  # said on the command line itself
        for preset in each.aliases.values():
            if str(preset.file) not in str(error) and _holds(preset, name[0]):
                return InputError(f"{error} ({preset.file})")
    return error


def _holds(preset: OwnPreset, name: str) -> bool:
    place = package_of(preset.text) or preset.group
    if place == "_global_":
        return name.partition(".")[0] in mapping_of(preset)
    return name == place or name.startswith(f"{place}.")
