"""Where what can be made again is kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from space.shared.caches import cache_folder, can_be_written, own_temporary


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


def test_a_cache_goes_where_it_was_said_or_under_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("~/mine") == tmp_path / "mine"
    assert cache_folder(None, "weights") == tmp_path / ".cache" / "mdsearch" / "weights"


def test_where_the_home_cannot_be_written_it_is_temporary(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert not can_be_written(tmp_path / "file" / "folder")
    assert cache_folder(None, "weights") == temporary / f"mdsearch-cache-{os.getuid()}" / "weights"


def test_another_users_folder_of_that_name_is_not_taken(temporary: Path) -> None:
    own = own_temporary("cache")
    assert own == own_temporary("cache") and own.stat().st_mode & 0o777 == 0o700
    own.rmdir()
    own.symlink_to(temporary)
    other = own_temporary("cache")
    assert other != own and other.is_dir() and other.parent == temporary
