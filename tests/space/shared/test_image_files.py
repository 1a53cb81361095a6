"""Which files of a folder are images, and which are passed over, by kind and name."""

from __future__ import annotations

import os
from pathlib import Path

from space.shared.image_files import PassedOver, by_normal_form, files_under, printable

COMPOSED, DECOMPOSED = "\u00fc.png", "u\u0308.png"  # the same letter in two forms


def test_all_that_is_passed_over_is_counted_and_named(tmp_path: Path) -> None:
    names = ("a.png", "b.heic", "c.HEIC", "d/e.jpg", "d/notes.md", "README", ".hidden.png", "._a.png")
    for name in (*names, "captions.jsonl", "manifest.json", ".git/f.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = files_under(tmp_path)
    assert sorted(found.images) == ["a.png", "d/e.jpg"]
    assert found.passed_over.first == {
        "hidden": [".hidden.png"],
        ".heic": ["b.heic", "c.HEIC"],
        "without a suffix": ["README"],
        ".md": ["d/notes.md"],
    }
    _, _, told = str(found.passed_over).partition(": ")
    assert told.split("; ") == [
        "1 hidden (.hidden.png)", "1 without a suffix (README)", "2 .heic (b.heic, c.HEIC)",
        "1 .md (d/notes.md)",
    ]  # fmt: skip
    assert str(PassedOver()) == ""
    for index in range(1002):
        found.passed_over.add(".cls", f"{index}.cls")
    assert str(found.passed_over).endswith("; 1,002 .cls (0.cls, 1.cls, 2.cls, 3.cls, 4.cls and 997 more)")


def test_a_name_that_is_not_utf8_is_shown_in_hex(tmp_path: Path) -> None:
    os.close(os.open(os.fsencode(tmp_path) + b"/a\xff.png", os.O_CREAT))
    (name,) = files_under(tmp_path).images
    assert (tmp_path / name).is_file() and printable(name) == "a\\xff.png"


def test_forms_of_the_same_letters_meet_where_that_is_no_guess() -> None:
    assert by_normal_form([DECOMPOSED, "b.png"]) == {COMPOSED: DECOMPOSED, "b.png": "b.png"}
    assert by_normal_form([DECOMPOSED, COMPOSED]) == {}
