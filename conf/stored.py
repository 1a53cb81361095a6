"""What a run that goes on is made of: its own settings, and of its new words what they change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from conf.repeated import KIND


def changed_by_words(
    stored: Mapping[str, Any], then: Mapping[str, Any], now: Mapping[str, Any], words: Iterable[str] = ()
) -> dict[str, Any]:
    """The `stored` fields with what differs between `then`, which the run's first words make today, and
    `now`, which they make with the new ones. So a default that has changed since does not replace what was
    stored; but a field that one of the new `words` gives is what it says, today's default or not.

    >>> changed_by_words({"a": 1, "b": {"c": 2}}, {"a": 5, "b": {"c": 3}}, {"a": 5, "b": {"c": 4}})
    {'a': 1, 'b': {'c': 4}}
    """
    fields = dict(stored)
    for name, value in now.items():
        before, own = then.get(name), fields.get(name)
        if name in then and value == before:
            continue
        fields[name] = _merged(own, before, value)
    for word in words:
        name, _, value = word.lstrip("+").partition("=")
        if value and not value.startswith("{"):
            _take(fields, now, name.split("."))
    return fields


def _take(fields: dict[str, Any], now: Mapping[str, Any], path: Sequence[str]) -> None:
    """One field of `now`, unless it is a mapping (of a preset, which differs where it is another)."""
    name, *rest = path
    if name not in now:
        return
    if not rest and not isinstance(now[name], Mapping):
        fields[name] = now[name]
    elif rest and isinstance(now[name], Mapping) and isinstance(fields.get(name), Mapping):
        fields[name] = dict(fields[name])
        _take(fields[name], now[name], rest)


def _merged(own: Any, before: Any, value: Any) -> Any:
    """`value` whole where new words chose another, and only its changed fields otherwise."""
    if not (isinstance(own, Mapping) and isinstance(before, Mapping) and isinstance(value, Mapping)):
        return value
    if value.get(KIND) != before.get(KIND) or (KIND in value) != (KIND in own):
        return value
    return changed_by_words(own, before, value)
