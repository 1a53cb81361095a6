"""Folders for sockets where the usual one has too long a path."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from space.shared.plain import InputError
from space.shared.sockets import socket_folder, temporary_files_in

INSIDE = "pymp-12345678/listener-12345678"


@pytest.fixture
def long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / ("x" * 80)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_a_folder_is_taken_up_to_the_longest_path_that_the_system_takes(monkeypatch, tmp_path) -> None:
    room = 107 - len(INSIDE) - 1
    fits, one_more = (tmp_path / ("x" * (length - len(f"{tmp_path}/"))) for length in (room, room + 1))
    fits.mkdir(), one_more.mkdir()
    monkeypatch.setenv("TMPDIR", str(fits))
    assert socket_folder(INSIDE) == fits
    (fits / "pymp-12345678").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(fits / INSIDE))
    monkeypatch.setenv("TMPDIR", str(one_more))
    assert socket_folder(INSIDE) != one_more


def test_one_that_is_absent_or_somebody_elses_is_not_taken(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    assert socket_folder(INSIDE) == Path("/tmp")
    (tmp_path / "ray").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    access = os.access
    not_ray = lambda path, mode: Path(path).name != "ray" and access(path, mode)  # noqa: E731
    monkeypatch.setattr(os, "access", not_ray)
    assert socket_folder("ray/a") != tmp_path and socket_folder("b/a") == tmp_path


def test_where_none_will_do_it_is_said_how_long_one_may_be(long: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(
        InputError, match=r"TMPDIR: '.*x' is too long .*; allowed: a folder of up to 75 bytes"
    ):
        socket_folder(INSIDE)


def test_temporary_files_are_elsewhere_for_a_while(long: Path, tmp_path: Path) -> None:
    before = tempfile.tempdir
    with temporary_files_in(tmp_path):
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(tmp_path)
    assert tempfile.tempdir == before and os.environ["TMPDIR"] == str(long)


def test_a_fork_server_starts_with_a_long_tmpdir(long: Path) -> None:
    code = (
        "from space.shared.workers import in_workers\n"
        "if __name__ == '__main__':\n"
        "    print(list(in_workers(abs, [-3], 1, prepare=hash, method='forkserver')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[3]\n", done.stderr
