"""Names of files: patterns, order, and the folder that several are in."""

from __future__ import annotations

import doctest

import pytest

from space.shared import file_names
from space.shared.file_names import braces, common_folder, natural_order


def test_the_examples_of_the_docs_hold() -> None:
    assert doctest.testmod(file_names).failed == 0


@pytest.mark.parametrize(
    ("files", "folder"),
    [
        (["/a/b/0.tar"], "/a/b"),
        (["/a/b/0.tar", "/a/bc/1.tar"], "/a"),
        (["/0.tar", "/b/1.tar"], ""),
        (["bucket/a/0.tar", "bucket/1.tar"], "bucket"),
        (["https://host/0.tar", "https://host/a/1.tar"], "https://host"),
    ],
)
def test_the_folder_that_all_are_in(files: list[str], folder: str) -> None:
    assert common_folder(files) == folder


def test_patterns_name_numbers_with_their_zeros_and_words() -> None:
    assert list(braces("a-{08..10}-{x,y}.tar")) == [
        f"a-{n}-{w}.tar" for n in ("08", "09", "10") for w in "xy"
    ]
    assert natural_order(["10.tar", "9.tar", "a2", "a10"]) == ["9.tar", "10.tar", "a2", "a10"]
