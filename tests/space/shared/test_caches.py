"""Where things are kept for a user without a home folder, or with one that cannot be written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from space.shared import caches
from space.shared.caches import cache_folder, to_keep


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    caches._temporary.cache_clear(), caches._say_where.cache_clear()
    yield tmp_path / "tmp" / f"mdsearch-{os.getuid()}"
    caches._temporary.cache_clear(), caches._say_where.cache_clear()


def nobody() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_a_named_folder_and_the_usual_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("~/mine", "weights") == tmp_path / "mine"
    assert cache_folder(None, "weights") == tmp_path / ".cache" / "mdsearch" / "weights"
    assert to_keep(tmp_path / ".cache" / "deep" / "a.bin") == tmp_path / ".cache" / "deep" / "a.bin"


def test_a_user_whom_the_system_does_not_know(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    monkeypatch.setattr(Path, "home", nobody)
    assert cache_folder(None, "weights") == temporary / "weights"
    assert temporary.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("home", ["read-only", "absent", "a file"])
def test_a_home_that_cannot_be_written(
    home: str, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    folder = tmp_path / "home"
    if home == "a file":
        folder.write_text("")
    else:
        (folder.mkdir if home == "read-only" else lambda: None)()
        closed = {str(folder), str(tmp_path)}
        monkeypatch.setattr(os, "access", lambda path, mode: str(path) not in closed)
    for name in ("a.bin", "b.bin"):
        assert to_keep(folder / ".cache" / name) == temporary / name
    said = capsys.readouterr().err
    assert said == f"note: {folder / '.cache'} cannot be written; what belongs there is kept in {temporary}\n"


def test_what_a_read_only_home_holds_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights.bin").write_text("")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert to_keep(tmp_path / "weights.bin") == tmp_path / "weights.bin"


def test_the_place_of_somebody_else_is_left_alone(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", nobody)
    temporary.write_text("not a folder")
    assert cache_folder(None).parent == temporary.parent and cache_folder(None) != temporary
