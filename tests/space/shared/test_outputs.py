"""A folder or file that a command writes is there whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.evidence.network_files import NetworkFile, write_networks
from analysis.rendering import write_text
from space.shared.outputs import free_folder, refuse_used_file, save_image, writing_file, writing_folder
from space.shared.plain import InputError
from tests.search.histories import MD, MD_LITE
from training.data.sheet import save_sheet


def test_a_folder_comes_with_all_that_is_in_it(tmp_path: Path) -> None:
    out = tmp_path / "above" / "out"
    with writing_folder(out) as own:
        (own / "a").write_text("1")
        assert not out.exists()
    assert (out / "a").read_text() == "1" and os.listdir(out.parent) == ["out"]


def test_what_is_there_is_no_place_for_what_was_measured(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("1")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    for used in ("kept", "link", "."):
        with pytest.raises(InputError, match=r"out: '.*' is there already; allowed: a new file"):
            refuse_used_file(str(tmp_path / used))
    for none in (str(tmp_path / "kept" / "x"), "a" * 300, "~nobody-of-this-name/x"):
        with pytest.raises(InputError, match=r"out: .* cannot be written: "):
            refuse_used_file(none)
    refuse_used_file(str(tmp_path / "new" / "file"))
    assert sorted(os.listdir(tmp_path)) == ["kept", "link"]
    refuse_used_file("/dev/stdout")


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError])
def test_of_one_that_failed_nothing_is_left(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), writing_folder(tmp_path / "out") as own:
        (own / "a").write_text("1")
        raise error
    assert os.listdir(tmp_path) == []
    with (
        pytest.raises(InputError, match=r"out: '.*/out' cannot be written: "),
        writing_folder(tmp_path / "out"),
    ):
        raise OSError("No space left on device")


def test_what_is_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    monkeypatch.chdir(tmp_path / "empty")
    assert free_folder(str(tmp_path / "new")) == tmp_path / "new"
    for there in (tmp_path, tmp_path / "file", tmp_path / "link", Path()):
        with pytest.raises(InputError, match=r"^out: .* is there already; allowed: a new folder"):
            free_folder(str(there))
    monkeypatch.chdir(tmp_path)
    with writing_folder(free_folder("empty")) as own:
        (own / "a").touch()
    assert os.listdir("empty") == ["a"] and (tmp_path / "file").read_text() == "mine"


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    file, link = tmp_path / "a.yaml", tmp_path / "link"
    write_text("old", str(file))
    link.symlink_to(file)
    with pytest.raises(KeyboardInterrupt), writing_file(link) as own:
        own.write_text("ha")
        raise KeyboardInterrupt
    assert file.read_text() == "old" and sorted(os.listdir(tmp_path)) == ["a.yaml", "link"]
    write_text("new", str(link))
    assert file.read_text() == "new" and link.is_symlink()


def test_what_is_no_plain_file_is_written_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text("said", str(pipe))
    assert os.read(end, 9) == b"said" and pipe.is_fifo()
    os.close(end)
    read, write = os.pipe()
    write_text("here, too", f"/dev/fd/{write}")  # as /dev/stdout is one, in front of a pipe
    assert os.read(read, 9) == b"here, too"
    os.close(read), os.close(write)
    with (tmp_path / "kept").open("w") as file:  # or behind `> kept`: a rename would lose what is printed
        write_text("said", f"/dev/fd/{file.fileno()}")
        assert os.fstat(file.fileno()).st_ino == (tmp_path / "kept").stat().st_ino
    assert (tmp_path / "kept").read_text() == "said"


def test_images_keep_their_format(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    save_sheet([(pixels, "a caption")], tmp_path / "above" / "sheet.jpg")
    save_image(Image.fromarray(pixels), tmp_path / "one.png")
    kinds = [Image.open(tmp_path / name).format for name in ("above/sheet.jpg", "one.png")]
    assert kinds == ["JPEG", "PNG"]
    with pytest.raises(InputError, match=r"sheet: .* cannot be written: unknown file extension: \.what"):
        save_sheet([(pixels, "a caption")], tmp_path / "sheet.what")
    assert sorted(os.listdir(tmp_path)) == ["above", "one.png"]


def test_networks_to_enqueue_are_all_there_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = [NetworkFile(name, a, "") for name, a in (("md", MD), ("lite", MD_LITE))]
    with monkeypatch.context() as failing:
        failing.setattr(type(MD), "to_yaml", lambda a: {MD.id: "text"}[a.id])
        with pytest.raises(KeyError):
            write_networks(networks, str(tmp_path))
    assert os.listdir(tmp_path) == []
    names = write_networks(networks, str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == names == ["000-md.yaml", "001-lite.yaml"]
