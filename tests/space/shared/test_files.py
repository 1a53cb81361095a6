"""Files are there whole or not at all."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from evaluators.files import save_arrays
from space.shared.files import making_folder, remove_unfinished, replacing, replacing_files, write_whole


def test_text_and_bytes_take_the_place_of_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("old")
    assert write_whole(file, "né\r\n") == file
    assert file.read_bytes() == "né\r\n".encode()
    write_whole(file, b"\x00\xff", durable=True)
    assert file.read_bytes() == b"\x00\xff"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_write_that_breaks_off_leaves_the_old_file_alone(
    tmp_path: Path, error: type[BaseException]
) -> None:
    file = tmp_path / "report.html"
    file.write_text("old")
    with pytest.raises(error), replacing(file) as own:
        own.write_text("half of")
        raise error
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_the_old_file_stands_until_the_block_is_done(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("old")
    with replacing(file) as own:
        own.write_text("new")
        assert file.read_text() == "old"
        assert own.name.startswith(".report.html.")  # by which what a killed process leaves is found
    assert file.read_text() == "new"


def test_two_writers_at_once_do_not_meet(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    with replacing(file) as one, replacing(file) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert file.read_text() == "one"  # whose block ended last


@pytest.mark.parametrize("durable", [True, False])
def test_the_disk_is_waited_for_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    write_whole(tmp_path / "part.json", "{}", durable=durable)
    assert len(synced) == durable


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "gone" / "report.html", "new")
    assert list(tmp_path.iterdir()) == []


def test_files_are_for_whom_the_umask_says_whatever_wrote_them(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save_arrays({"a": np.zeros(1)}, tmp_path / "arrays.safetensors", {})  # for its owner alone at first
        write_whole(tmp_path / "text", "a")
    finally:
        os.umask(before)
    assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {
        "arrays.safetensors": 0o640,
        "text": 0o640,
    }


def test_a_set_of_files_takes_its_places_with_the_named_one_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("old")
    placed: list[str] = []
    whole = os.replace
    monkeypatch.setattr(os, "replace", lambda source, to: (placed.append(to.name), whole(source, to)))
    with replacing_files(tmp_path, last="a") as own:
        for name in "abc":
            (own / name).write_text("new")
        assert (tmp_path / "a").read_text() == "old"
    assert placed[-1] == "a" and sorted(placed) == ["a", "b", "c"]
    with pytest.raises(OSError), replacing_files(tmp_path, last="a") as own:
        (own / "a").write_text("half of")
        raise OSError
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == dict.fromkeys("abc", "new")
    (tmp_path / ".writing-killed").mkdir()
    remove_unfinished(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b", "c"]


def test_a_folder_is_there_whole_or_not_at_all_and_the_first_stays(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    with pytest.raises(KeyboardInterrupt), making_folder(folder) as own:
        own.mkdir()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    for text, expected in (("first", None), ("second", OSError)):
        with pytest.raises(expected) if expected else nullcontext(), making_folder(folder) as own:
            own.mkdir()
            (own / "about").write_text(text)
    assert (folder / "about").read_text() == "first"
    assert list(tmp_path.iterdir()) == [folder]
