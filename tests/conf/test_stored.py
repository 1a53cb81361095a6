"""A run that goes on: its own settings, changed by what its new words change."""

from __future__ import annotations

from typing import Any

import pytest

from conf.stored import changed_by_words

STORED = {"rule": {"name": "paper", "deviations": 1}, "trials": 8, "data": {"folder": "moved", "size": 24}}
THEN = {"rule": {"name": "leaders", "share": 0.1}, "trials": 8, "data": {"folder": "old", "size": 24}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"trials": 9}, {"trials": 9}),
        ({"data": {"folder": "old", "size": 32}}, {"data": {"folder": "moved", "size": 32}}),
        ({"rule": {"name": "none"}}, {"rule": {"name": "none"}}),
        ({"data": "scenes"}, {"data": "scenes"}),
        ({"added": 3}, {"added": 3}),
    ],
)
def test_only_what_new_words_change_differs_from_what_was_stored(
    changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert changed_by_words(STORED, THEN, THEN | changes) == STORED | expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("trials=12", {"trials": 12}),
        ("data.size=24", {"data": {"folder": "moved", "size": 24}}),
        ("data={size: 24}", {}),  # a mapping leaves its other fields as they are
        ("rule=leaders", {}),
        ("nobody=1", {}),
    ],
)
def test_a_word_that_says_todays_default_is_taken(word: str, expected: dict[str, Any]) -> None:
    stored = STORED | {"data": {"folder": "moved", "size": 48}}
    then = THEN | {"trials": 12}
    assert changed_by_words(stored, then, then, [word]) == stored | expected


def test_a_field_of_a_kind_that_is_another_default_now_stays_with_the_stored_kind() -> None:
    now = THEN | {"rule": {"name": "leaders", "share": 0.2}}
    assert changed_by_words(STORED, THEN, now)["rule"] == {"name": "paper", "deviations": 1, "share": 0.2}
