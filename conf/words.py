"""The words of a command line, before anything is composed of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from conf.files import PACKAGE, built_in, folder_of, is_path
from conf.repeated import refuse_repeated
from space.shared.plain import InputError, check_text
from space.shared.renamed import note_renamed

# Presets by their older names, which run folders hold and users type for one release more.
RENAMED = {f"{group}=own": f"{group}=custom" for group in ("sampler", "stopping")}


def in_words_of_today(word: str) -> str:
    """The word, with a preset's older name replaced and that said."""
    if word in RENAMED:
        note_renamed(word, RENAMED[word])
    return RENAMED.get(word, word)


def divided(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """What a command line names (`runs/a`), and what it sets (`out=b`), each in its order."""
    words = [check_text(word, "word") for word in words]
    return [word for word in words if "=" not in word], [word for word in words if "=" in word]


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
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'{name}="{escaped}"'


def expand(overrides: Iterable[str]) -> list[list[str]]:
    """Every combination that a sweep asks for, the first override varying slowest.

    >>> expand(["budget=md,md_lite", "trials=3"])
    [['budget=md', 'trials=3'], ['budget=md_lite', 'trials=3']]

    Raises:
        InputError: an override that cannot be parsed, a name or a value given twice, or a sweep without an
            end (`interval`).
    """
    overrides = list(overrides)
    refuse_repeated(map(parsed_word, overrides))
    return [list(words) for words in itertools.product(*map(_alternatives, overrides))]


def _alternatives(word: str) -> list[str]:
    from hydra.errors import HydraException

    if files := _files(word):
        return files
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
    return [f"{override.get_key_element()}={value}" for value in values]


def _files(word: str) -> list[str]:
    """The presets that a word lists, if some have the user's own names, which are text as it stands."""
    name, _, value = word.partition("=")
    presets = value.split(",")
    if not (any(map(is_path, presets)) or not value.isascii()) or value[:1] in tuple("[{$"):
        return []
    return [f"{name}={each}" for each in presets] if folder_of(name.lstrip("+")) in built_in(PACKAGE) else []


def parsed_word(word: str) -> Any:
    """A word as Hydra's Override."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    check_text(word, "word")
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
        quoted = _quoted(word) if _files(word) and value[:1] not in tuple("'\"") else word
        return OverridesParser.create().parse_overrides([quoted])[0]
    except HydraException as error:
        raise InputError(
            f"{word!r} cannot be read as name=value ({first_line(error)}); text with blanks, commas, "
            f"brackets or signs needs quotes inside, as in 'name=\"a b, c\"'"
        ) from None


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
