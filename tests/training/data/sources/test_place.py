"""Folders, files and patterns at any address; one that is away is waited for."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from space.shared.plain import InputError
from training.data.sources.place import Range, open_place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/0.tar", "b/1.tar", "b/.hidden", "c[1].tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_a_pattern_over_folders_names_files_from_the_one_they_are_in(folder: Path) -> None:
    place = open_place(f"{folder}/{{a/0,b/1}}.tar")
    assert place.named == ("a/0.tar", "b/1.tar") and place.root == str(folder)
    assert place.read([Range(place.path(name)) for name in place.named]) == [b"a/0.tar", b"b/1.tar"]
    assert open_place(f"{folder}/*/*.tar").named == ("a/0.tar", "b/1.tar")
    assert open_place(str(folder / "c[1].tar")).named == ("c[1].tar",)  # a name as it stands


def test_parts_sizes_and_folders_are_those_of_the_files(folder: Path) -> None:
    place = open_place(str(folder))
    assert place.read([Range(place.path("a/0.tar"), 2, 3)]) == [b"0.t"]
    assert place.sizes(["a/0.tar", "a/1.tar"]) == [7, None]
    assert list(place.walk()) == [("", ["c[1].tar"]), ("a", ["0.tar"]), ("b", ["1.tar"])]
    assert place.read([Range(place.path("a/1.tar"))], may_lack=True) == [None]
    with pytest.raises(InputError, match=r"cannot be read: FileNotFoundError.*gave up after 0 s"):
        place.read([Range(place.path("a/1.tar"))])


def test_an_address_in_memory_is_as_a_folder() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/test_place/a/0.tar": b"zero", "/test_place/1.tar": b"one"})
    try:
        place = open_place("memory://test_place")
        assert list(place.walk()) == [("", ["1.tar"]), ("a", ["0.tar"])]
        assert place.sizes(["1.tar", "2.tar"]) == [3, None]
        assert open_place("memory://test_place/{1,a/0}.tar").named == ("1.tar", "a/0.tar")
        assert place.version("1.tar") != place.version("a/0.tar")
    finally:
        memory.rm("/test_place", recursive=True)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("{folder}/d", r"is neither a folder nor a file; beside it, .*Valid: a, b, c\[1\]\.tar"),
        ("{folder}/d/e", r"nor is '.*d' a folder"),
        ("{folder}/[xy].tar", r"'.*\[xy\]\.tar' does not exist"),
        ("memory://nowhere", r"'memory://nowhere' is neither"),
        ("s4://a", r"'s4'; did you mean 's3'"),
        ("abfs://a", r"needs a package|unknown protocol"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(address: str, message: str, folder: Path) -> None:
    with pytest.raises(InputError, match=rf"data\.source: .*{message}"):
        open_place(address.format(folder=folder))


def test_a_place_that_is_away_is_said_once_and_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place, pauses = open_place(str(folder), patience_seconds=10), list[float]()
    failing = iter([OSError("away"), OSError("away"), ConnectionError("reset")])

    def read() -> str:
        for error in failing:
            raise error
        return "read"

    monkeypatch.setattr("time.sleep", pauses.append)
    assert place.patiently(read) == "read" and pauses == [1, 2, 4]
    told = capsys.readouterr().err.splitlines()
    assert told == [f"waiting for {folder}: OSError: away", f"waiting for {folder}: ConnectionError: reset"]
