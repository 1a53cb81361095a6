"""The words of a command line, before anything is composed of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from os.path import expanduser
from pathlib import Path
from typing import Any

from conf.files import PACKAGE, built_in, folder_of, is_path, preset_text, presets_of
from conf.repeated import refuse_repeated
from space.shared.command_lines import quoted, setting_word
from space.shared.plain import InputError, check_utf8
from space.shared.renamed import note_renamed

# Presets by their older names, which run folders hold and users type for one release more.
RENAMED = {f"{group}=own": f"{group}=custom" for group in ("sampler", "stopping")}
# Settings of a command, likewise.
RENAMED_SETTINGS = {
    "confirm": {"halted": "stopped"},
    "explore": {"draws": "samples", "picture": "plot"},
    "search": {"confirmation.halted": "confirmation.stopped"},
    "table1": {"picture": "plot"},
    "train": {"pictures": "images"},
    "walk": {"picture": "plot"},
}
# What a command calls otherwise than others do.
SAME = {"build": {"experiment": "system"}, "train": {"experiment": "recipe"}}
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_INTERPOLATION = re.compile(r"(?<!\\)\$\{")


def in_words_of_today(word: str, command: str) -> str:
    """The word, with the older name of a preset or of a command's setting replaced and that said."""
    name, equals, value = word.partition("=")
    if equals and name in SAME.get(command, {}):
        return f"{SAME[command][name]}={value}"
    new = RENAMED_SETTINGS.get(command, {}).get(name)
    if new is not None and equals:
        note_renamed(f"{name}=", f"{new}=")
        return f"{new}={value}"
    if word in RENAMED:
        note_renamed(word, RENAMED[word])
    return RENAMED.get(word, word)


def fields_of_today(plain: object, command: str) -> object:
    """What a command of an earlier version kept of its settings, by the names of now."""
    names = RENAMED_SETTINGS.get(command, {})
    return {names.get(key, key): value for key, value in plain.items()} if isinstance(plain, dict) else plain


def divided(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """What a command line names (`runs/a`, `runs/a=1` too), and what it sets (`out=b`), each in its order."""
    words = [check_utf8(word, "word") for word in words]
    sets = ["=" in word and "/" not in word.partition("=")[0] for word in words]
    named = [expanduser(word) for word, is_set in zip(words, sets, strict=True) if not is_set]
    return named, [word for word, is_set in zip(words, sets, strict=True) if is_set]


def as_text(words: Iterable[str], names: Iterable[str]) -> list[str]:
    """The words with the values of `names` quoted: text as it stands, so that nobody quotes twice in a shell.

    >>> as_text(["prompt=a red, round {thing}", "out=null", "steps=3"], ["prompt", "out"])
    ['prompt="a red, round {thing}"', 'out=null', 'steps=3']
    """
    texts = set(names)
    return [_quoted(word) if word.partition("=")[0] in texts else word for word in words]


def as_typed(words: Iterable[str], names: Iterable[str]) -> list[str]:
    """The words with values of `names` that would be read as numbers or as true or false as text.

    >>> as_typed(["name=1e3", "name=a", "trials=3"], ["name"])
    ['name="1e3"', 'name=a', 'trials=3']
    """
    texts = set(names)

    def is_other(word: str) -> bool:
        is_text = word.partition("=")[0] in texts
        return is_text and _is_read(word) and isinstance(parsed_word(word).value(), (int, float))

    return [_quoted(word) if is_other(word) else word for word in words]


def as_entries(words: Iterable[str], mapping: str) -> list[str]:
    """The words with those inside `mapping`, which is empty at first, as entries that join it, their values
    text as it stands.

    >>> as_entries(["weights.files.vit-b-32=a b.pt", "steps=3"], "weights.files")
    ['++weights.files.vit-b-32="a b.pt"', 'steps=3']
    """
    inside = f"{mapping}."
    return [f"++{_quoted(word)}" if word.startswith(inside) else word for word in words]


def as_lists(words: Iterable[str], names: Iterable[str]) -> list[str]:
    """The words with brackets around the values of `names` that are written without: to Hydra a sweep.

    >>> as_lists(["steps=1,2,4", "guidance=[3]", "seed=1,2"], ["steps", "guidance"])
    ['steps=[1,2,4]', 'guidance=[3]', 'seed=1,2']
    """
    listed = re.compile(rf"({'|'.join(names)})=(?!null$)([^\[\]]+)")
    return [listed.sub(r"\1=[\2]", word) if listed.fullmatch(word) else word for word in words]


def gathered_words(words: Iterable[str], name: str) -> list[str]:
    """The words with all that set `name`, each to a text, as one that sets a list of them.

    >>> gathered_words(["also=a=1 b=2", "seeds=3", "also=c=1"], "also")
    ['seeds=3', 'also=["a=1 b=2","c=1"]']
    """
    words = list(words)
    texts = [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]
    others = [word for word in words if not word.startswith(f"{name}=")]
    quoted = [_quoted(f"{name}={text}").partition("=")[2] for text in texts]
    return [*others, f"{name}=[{','.join(quoted)}]"] if texts else others


def _quoted(word: str) -> str:
    name, _, text = word.partition("=")
    if text == "null":
        return word
    if _QUOTED.fullmatch(text):
        return f"{name}={_INTERPOLATION.sub(lambda found: chr(92) + found[0], text)}"
    return f"{name}={quoted(text)}"


def readable(word: str) -> str:
    """The word; a value that the grammar has no reading for (`~/photos`, `Köln (2)`) as the text that it is,
    unless it looks like a list, a mapping, several values or quoted text with a mistake in it."""
    name, _, value = word.partition("=")
    if not value or value[0] in "[{'\"" or "," in value or "${" in value or _is_read(word):
        return word
    as_text = f"{name}={quoted(value)}"
    return as_text if _is_read(as_text) else word


def _is_read(word: str) -> bool:
    try:
        parsed_word(word)
    except InputError:
        return False
    return True


def path_of(words: Iterable[str], name: str) -> Path | None:
    """The path that the last of the words with this name gives; None for null, or without such a word.

    >>> str(path_of(["resume=runs/a b", "trials=3"], "resume"))
    'runs/a b'
    """
    from omegaconf import OmegaConf

    named = [word for word in as_text(words, [name]) if word.partition("=")[0] == name]
    value = parsed_word(named[-1]).value() if named else None
    return None if value is None else Path(OmegaConf.create({name: value})[name]).expanduser()


def expand(overrides: Iterable[str]) -> list[list[str]]:
    """Every combination that a sweep asks for, the first override varying slowest.

    >>> expand(["budget=md,md_lite", "trials=3"])
    [['budget=md', 'trials=3'], ['budget=md_lite', 'trials=3']]
    >>> expand(["sampler=custom,random", "sampler.use=a.py:A"])
    [['sampler=custom', 'sampler.use=a.py:A'], ['sampler=random']]

    Raises:
        InputError: an override that cannot be parsed, a name or a value given twice, or a sweep without an
            end (`interval`).
    """
    words = [readable(word) for word in overrides]
    refuse_repeated(map(parsed_word, words))
    alternatives = [_alternatives(word) for word in words]
    swept: dict[str, list[str]] = {}
    for each in alternatives:
        for word in each if len(each) > 1 else ():
            group, _, preset = word.partition("=")
            swept.setdefault(group, []).append(preset)
    found = [_of_chosen(each, swept) for each in itertools.product(*alternatives)]
    return [list(each) for each in dict.fromkeys(map(tuple, found))]


def _of_chosen(words: Iterable[str], swept: Mapping[str, Iterable[str]]) -> list[str]:
    """The words but for fields of a preset that is not chosen among them, and is in another combination."""
    words = list(words)
    chosen = dict(word.partition("=")[::2] for word in words)

    def belongs(word: str) -> bool:
        group, _, field = word.partition("=")[0].lstrip("+~").partition(".")
        others = [set_by_preset(group, preset) for preset in swept.get(group, ()) if field]
        top = field.partition(".")[0]
        return not any(top in each for each in others) or top in set_by_preset(group, chosen[group])

    return [word for word in words if belongs(word)]


def set_by_preset(group: str, preset: str) -> frozenset[str]:
    """The fields that a preset's file sets; empty where there is none."""
    import yaml

    preset = RENAMED.get(f"{group}={preset}", f"{group}={preset}").partition("=")[2].strip("'\"")
    plain = yaml.safe_load(preset_text(presets_of(PACKAGE), group, preset))
    if not isinstance(plain, dict):
        return frozenset()
    based_on = [name for name in plain.get("defaults", ()) if isinstance(name, str) and name != "_self_"]
    return frozenset(plain).union(*(set_by_preset(group, name) for name in based_on))


def _alternatives(word: str) -> list[str]:
    from hydra.errors import HydraException

    if files := _files(word):
        return files
    word = readable(word)
    override = parsed_word(word)
    if not override.is_sweep_override():
        return [word]
    if not override.is_discrete_sweep():
        raise InputError(
            f"{word}: an interval has no end of values; list them, or use range(start,stop,step)"
        )
    try:
        values = list(override.sweep_string_iterator())
    except HydraException:
        raise InputError(f"{word}: glob() is not read here; list the values with commas") from None
    if twice := [value for value in values if values.count(value) > 1]:
        raise InputError(f"{word}: lists {twice[0]} twice; leave out one of them")
    return [_unescaped(f"{override.get_key_element()}={value}") for value in values]


def _unescaped(word: str) -> str:
    """Hydra writes `a.py\\:A` where `a.py:A` is read as the same."""
    name, _, written = word.partition("=")
    value = parsed_word(word).value() if "\\" in written and "${" not in written else None
    return setting_word(name, value) if isinstance(value, str) else word


def _files(word: str) -> list[str]:
    """The presets that a word lists, if some have the user's own names, which are text as it stands."""
    name, _, value = word.partition("=")
    presets = value.split(",")
    if _QUOTED.fullmatch(value) or value[:1] in tuple("[{$") or not any(map(_is_own, presets)):
        return []
    return [f"{name}={each}" for each in presets] if folder_of(name.lstrip("+")) in built_in(PACKAGE) else []


def _is_own(preset: str) -> bool:
    """Whether no built-in preset can be called so."""
    return is_path(preset) or not preset.isascii()


def parsed_word(word: str) -> Any:
    """A word as Hydra's Override."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    check_utf8(word, "word")
    name, equals, value = word.lstrip("+-").partition("=")
    if not equals and not word.startswith(("~", "-")) and ("/" in name or Path(name).exists()):
        raise InputError(f"{word!r} has no name; write name={word} with one of the names in --help")
    if not name or (not value and not word.startswith("~")):
        empty = f" ({name}='' for empty text)" if name and equals else ""
        what = "value" if name else "name"
        raise InputError(f"{word!r}: a {what} is missing; write {name or 'name'}=value{empty}")
    if word.startswith("-"):
        raise InputError(f"{word!r} is not an option; write {name}={value}")
    try:
        return OverridesParser.create().parse_overrides([_quoted(word) if _files(word) else word])[0]
    except HydraException as error:
        raise InputError(
            f"{word!r} cannot be read as name=value ({first_line(error)}); text with blanks, commas, "
            f"brackets or signs needs quotes inside, as in 'name=\"a b, c\"'"
        ) from None


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
