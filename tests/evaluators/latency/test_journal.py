"""A measurement goes on where it was killed, and only the same one."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluators.latency.journal import Journal
from space.shared.plain import InputError

ABOUT = {"device": "made", "threads": 2}


def test_what_was_measured_is_there_again(tmp_path: Path) -> None:
    file = tmp_path / "list.json.begun"
    journal = Journal(file, ABOUT)
    journal.add("a", mean_ms=1.5)
    journal.add("b", mean_ms=2.5)
    with file.open("a") as half:
        half.write('{"of": "c", "mean')
    again = Journal(file, ABOUT)
    assert {name: line["mean_ms"] for name, line in again.results.items()} == {"a": 1.5, "b": 2.5}
    again.add("c", mean_ms=3.5)
    assert list(Journal(file, ABOUT).results) == ["a", "b", "c"]


def test_another_measurement_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "begun", ABOUT)
    with pytest.raises(InputError, match=r"another measurement \(threads 2 there, 1 here\)"):
        Journal(tmp_path / "begun", ABOUT | {"threads": 1})
    with pytest.raises(InputError, match=r"\(versions not kept there, \{\"torch\": \"2\"\} here\)"):
        Journal(tmp_path / "begun", ABOUT | {"versions": {"torch": "2"}})  # begun before they were kept


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "begun").write_text("notes\n")
    with pytest.raises(InputError, match="cannot be read as begun measurements"):
        Journal(tmp_path / "begun", ABOUT)


def test_a_place_that_cannot_be_written_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/begun: cannot be written: .*; allowed: a folder that can be"):
        Journal(tmp_path / "file" / "begun", ABOUT)
