"""A name given twice on one command line: the last would win, unseen, so it is refused.

A shell makes several words of one: `images={000..002}.tar` becomes three, of which Hydra would take the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from conf.files import names_preset
from space.shared.plain import InputError
from space.shared.strict_yaml import RepeatedKey, read_yaml

KIND = "name"  # the field by which a preset says what it is one of


def refuse_repeated(parsed: Iterable[Any]) -> None:
    """Every name once, of words as Hydra's Overrides, also where mappings hold it.

    Raises:
        InputError: a name given twice, with both words.
    """
    words: dict[str, list[str]] = {}
    for override in parsed:
        for name in _names(override):
            words.setdefault(name, []).append(override.input_line)
        _refuse_within(override.input_line)
    for name, given in words.items():
        if len(given) > 1:
            _refuse(name, given)


def refuse_opposed(parsed: Sequence[Any], folders: Mapping[str, Mapping[str, str]]) -> None:
    """What two words say of one thing under different names: `sampler=tpe sampler.name=random`, or
    `reference=null reference.width=3`.

    Raises:
        InputError: with both words.
    """
    for one in parsed:
        names = list(_names(one))
        for other in parsed:
            if names_preset(one, folders):
                kind = dict(fields_of(other)).get(f"{one.key_or_group}.{KIND}")
                if str(kind) in folders[one.key_or_group] and str(kind) != str(one.value()):
                    _refuse(one.key_or_group, [one.input_line, other.input_line])
            elif any(inner.startswith(f"{name}.") for name in names for inner in _names(other)):
                _refuse(names[0], [one.input_line, other.input_line])


def refuse_beside(words: Iterable[str], taken: str, unused: Iterable[str], why: str) -> None:
    """What stands on a command line without effect, since another word takes its place.

    Args:
        unused: names, each also of all fields inside.

    Raises:
        InputError: `taken` is given, and one of `unused` too.
    """
    parted = (word.lstrip("+~").partition("=") for word in words)
    given = [name for name, _, value in parted if value != "null"]
    beside = {name for name in given for one in unused if name == one or name.startswith(f"{one}.")}
    if taken in given and beside:
        raise InputError(
            f"{min(beside, key=given.index)}: has no effect beside {taken}=, {why}; leave out one of them"
        )


def without(words: Iterable[str], replaced_by: Iterable[str]) -> list[str]:
    """The words of an earlier command line, but for those whose name a later one gives."""
    later = {word.partition("=")[0] for word in replaced_by if not _sets_some(word)}
    return [word for word in words if _sets_some(word) or word.partition("=")[0] not in later]


def _sets_some(word: str) -> bool:
    """`budget={gmacs: 200}` leaves the budget's other fields as they are."""
    return word.partition("=")[2].startswith("{")


def _names(override: Any) -> Iterator[str]:
    """Dotted names of all that a word sets."""
    return (name for name, _ in fields_of(override))


def fields_of(override: Any) -> Iterator[tuple[str, Any]]:
    """The same with what they are set to."""
    package = "" if override.package is None else f"@{override.package}"
    yield from _leaves(f"{override.key_or_group}{package}", override.value())


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield name, value
        return
    for key, inner in value.items():
        yield from _leaves(f"{name}.{key}", inner)


def _refuse_within(word: str) -> None:
    """A key that a mapping within the word gives twice."""
    try:
        read_yaml(word.partition("=")[2])
    except RepeatedKey as error:
        raise InputError(f"{word}: {str(error).partition(',')[0]}; leave out one of them") from None
    except Exception:  # much that Hydra reads is no YAML, and no mapping then
        return


def _refuse(name: str, words: Sequence[str]) -> NoReturn:
    first, last = _typed(words[0]), _typed(words[-1])
    times = "twice" if len(words) == 2 else f"{len(words)} times"
    values = [word.partition("=")[2] for word in words]
    braces = "; of {1..3} a shell makes several words, unless it stands in quotes"
    hint = braces if all("." in value or "/" in value for value in values) else ""
    raise InputError(f"{name}: given {times}, as {first!r} and {last!r}; leave out one of them{hint}")


def _typed(word: str) -> str:
    """Without the signs and quotes that commands put around what is text as it stands."""
    return re.sub(r'="([^"\\]*)"$', r"=\1", word.removeprefix("++"))
