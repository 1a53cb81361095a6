"""Plain data (what YAML and JSON hold) to frozen dataclasses and back, strictly.

Every setting of the platform is a plain dataclass. Reading one names the field, the value, what is
allowed and the nearest valid choice, so that a typing error never ends deep inside torch or Optuna.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from os.path import expanduser
from typing import Annotated, Any, Literal, TypeVar, Union

from space.shared.renamed import note_renamed

T = TypeVar("T")
V = TypeVar("V")
NAMED_AT_MOST = 5  # files in a message


class InputError(ValueError):
    """Something that the user wrote cannot be used. The message is one or two lines meant for them."""


def check_utf8(text: str, where: str) -> str:
    """The text, if it is UTF-8: other bytes are lone surrogates to Python, which no file of ours can hold.

    Raises:
        InputError: it is not, with `where` it stands.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        locale = sys.getfilesystemencoding()
        hint = (
            "" if locale == "utf-8" else f" (the locale has {locale}; with PYTHONUTF8=1 it is read as UTF-8)"
        )
        raise InputError(f"{where}: {text!r} is not UTF-8{hint}; allowed: UTF-8") from None
    return text


def nearest(name: str, valid: Iterable[str]) -> str:
    """A clause that points at the nearest valid name, and lists all of them.

    >>> nearest("swosh", ["swish", "gelu"])
    "did you mean 'swish'? Valid: gelu, swish"
    """
    names = sorted(map(str, valid))
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Valid: {', '.join(names) or '(none)'}"


def entry_of(table: Mapping[str, V], name: str, where: str) -> V:
    """What stands under a name. Raises InputError, naming the field (`where`) and the nearest valid name."""
    try:
        return table[name]
    except (KeyError, TypeError):
        raise InputError(f"{where}: {name!r} is not a choice here; {nearest(name, table)}") from None


def check_choices(settings: Any) -> None:
    """Raises InputError where a field of a dataclass holds something that its `Literal` does not list."""
    for name, allowed in _choices(typing.cast(Any, type(settings))):
        value = getattr(settings, name)
        if value not in allowed:
            raise InputError(f"{name}: {value!r} is not a choice here; {nearest(value, map(str, allowed))}")


@cache
def _choices(cls: type) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    kinds = ((name, kind) for name, (kind, _) in _fields(cls).items())
    return tuple((name, typing.get_args(kind)) for name, kind in kinds if typing.get_origin(kind) is Literal)


def first_few(names: Sequence[str]) -> str:
    """The first of many names and how many more there are, for a message."""
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


@cache
def _fields(cls: type) -> dict[str, tuple[Any, bool]]:
    """Name -> (type, required) of each field of a dataclass."""
    hints = typing.get_type_hints(cls, include_extras=True)
    missing = dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(cls)
        if field.init
    }


def from_plain(kind: Any, value: Any, where: str = "") -> Any:
    """`value`, checked and converted to `kind`: a dataclass, or a type that a field of one may have.

    Raises:
        InputError: naming the field (`where`), the value and what is allowed there.
    """
    if dataclasses.is_dataclass(kind):
        return _dataclass_from_plain(typing.cast("type[Any]", kind), value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        by_name = next((extra for extra in arguments[1:] if isinstance(extra, ByName)), None)
        return from_plain(arguments[0], value, where) if by_name is None else by_name.read(value, where)
    if origin is Literal:
        if value in arguments and any(type(value) is type(allowed) for allowed in arguments):
            return value
        raise InputError(f"{where}: {value!r} is not a choice here; {nearest(value, map(str, arguments))}")
    if origin in (Union, types.UnionType):
        return _any_of(arguments, value, where)
    if origin in (tuple, list):
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            hint = f"; a list of one: [{value}]" if _is_one(arguments[0], value) else ""
            raise InputError(f"{where}: expected a list, got {value!r}{hint}")
        items = [from_plain(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
        return origin(items)
    if origin is dict or origin is Mapping:
        if not isinstance(value, Mapping):
            raise InputError(f"{where}: expected a mapping, got {value!r}")
        return {str(key): from_plain(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is Any:
        return value
    return _scalar(kind, value, where)


def _any_of(kinds: Sequence[Any], value: Any, where: str) -> Any:
    """Of a union: the first kind that takes the value. Raises InputError with what one finds wrong inside
    the value, or with all that is allowed."""
    if value is None and type(None) in kinds:
        return None
    begin, end, hint = f"{where}: expected ", f", got {value!r}", ""
    expected: list[str] = []
    inside = None
    for kind in kinds:
        if kind is not type(None):
            try:
                return from_plain(kind, value, where)
            except InputError as error:
                problem, found, more = str(error).partition(end)
                if problem.startswith(begin) and found:
                    expected.append(problem.removeprefix(begin))
                    hint += more
                else:
                    inside = error
    if inside is not None:
        raise inside
    words = dict.fromkeys([*expected, *(["null"] if type(None) in kinds else [])])
    raise InputError(f"{begin}{' or '.join(words)}{end}{hint}")


def _is_one(kind: Any, value: Any) -> bool:
    """Whether it is an item of a list of them."""
    try:
        from_plain(kind, value)
    except InputError:
        return False
    return isinstance(value, (str, int, float))


@dataclasses.dataclass(frozen=True)
class ByName:
    """Of a field that may hold any of several dataclasses, told apart by their field `name`:
    `Annotated[SamplerSettings, ByName({"tpe": "search.samplers.tpe:TpeSettings", ...})]`. The module of a
    class is imported when it is chosen, so that a choice costs nothing of what the others need. `renamed`
    names are understood still, and that is said.
    """

    kinds: Mapping[str, str]
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def kind(self, name: str) -> type[Any]:
        module, _, found = self.kinds[name].partition(":")
        kind: type[Any] = getattr(import_module(module), found)
        return kind

    def read(self, value: Any, where: str) -> Any:
        """Raises InputError for a name that is none of them, or fields that the named one does not have."""
        if dataclasses.is_dataclass(value) and type(value) in (self.kind(name) for name in self.kinds):
            return value
        if not isinstance(value, Mapping):
            raise InputError(f"{where}: expected a mapping of fields with a name, got {value!r}")
        if "name" not in value:
            raise InputError(f"{where}.name: missing (required)")
        name = value["name"]
        if isinstance(name, str) and name in self.renamed:
            note_renamed(f"{where}.name={name}", f"{where}.name={self.renamed[name]}")
            name = self.renamed[name]
        entry_of(self.kinds, name, f"{where}.name")
        return from_plain(self.kind(name), {**value, "name": name}, where)


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of everything inside nested mappings."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def at_home(value: Any) -> Any:
    """Plain data in which a path from a home directory (`~/photos`) is a path from the root: no shell has
    expanded it inside `name=value`."""
    if isinstance(value, Mapping):
        return {name: at_home(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [at_home(item) for item in value]
    return expanduser(value) if isinstance(value, str) else value


def _scalar(kind: type, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, str):  # YAML 1.1 reads 1e-3, without a dot, as text
        try:
            return float(value)
        except ValueError:
            pass
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) is kind:
        if isinstance(value, str):
            check_utf8(value, where)
        return value
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    raise InputError(f"{where}: expected {names.get(kind, kind.__name__)}, got {value!r}")


def _dataclass_from_plain(cls: type[T], value: Any, where: str) -> T:
    if isinstance(value, cls):
        return value
    if not isinstance(value, Mapping):
        raise InputError(f"{where or cls.__name__}: expected a mapping of fields, got {value!r}")
    fields, prefix = _fields(typing.cast("type", cls)), f"{where}." if where else ""
    for key in value:
        if key not in fields:
            raise InputError(f"{prefix}{key}: no such field; {nearest(str(key), fields)}")
    missing = [name for name, (_, required) in fields.items() if required and name not in value]
    if missing:
        raise InputError(f"{prefix}{missing[0]}: missing (required)")
    arguments = {key: from_plain(fields[key][0], item, f"{prefix}{key}") for key, item in value.items()}
    try:
        return cls(**arguments)
    except InputError as error:
        raise InputError(f"{prefix}{error}") from None


UNLESS = "stored unless default"


def unless(default: V) -> V:
    """A field that is stored only where it holds something else: what was stored before there was one
    stays as it is, digests among it."""
    field: V = dataclasses.field(default=default, metadata={UNLESS: True})
    return field


def to_plain(value: Any, *, omit_defaults: bool = False, all_fields: bool = False) -> Any:
    """Dataclasses to dictionaries, tuples to lists: what YAML and JSON hold.

    With `omit_defaults`, fields that hold their default are left out, so that what is written does not
    change when a field with a default joins the dataclass; with `all_fields`, not even those of `unless`.
    """

    def plain(item: Any) -> Any:
        return to_plain(item, omit_defaults=omit_defaults, all_fields=all_fields)

    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {}
        for field in dataclasses.fields(value):
            item = getattr(value, field.name) if field.init else None
            left_out = omit_defaults or (field.metadata.get(UNLESS) and not all_fields)
            if field.init and not (left_out and item == field.default):
                fields[field.name] = plain(item)
        return fields
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value
