"""What a record does when its storage fails, or a driver dies: nothing is lost, a clear word is said, and it
goes on when it can. Errors are injected below it, or come from a small file system that is really full."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from search.runs import appending
from search.runs.appending import AppendedLines
from search.runs.record import Record, read_history
from space.shared.files import write_whole
from space.shared.plain import InputError
from space.shared.retries import StorageAway
from tests.search.disks import fill, small_disk
from tests.search.test_strategy import decisions
from tests.search.worlds import drive, make_search

STORAGE_ERRORS = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EROFS]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody waits; how long they would have."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


def go_on(folder: Path) -> None:
    search = make_search(folder, trials=6, stopping="paper", sampler="tpe")
    drive(search)
    search.record.close()


class FailingFile(io.FileIO):
    """Fails at chosen writes, after half of what was to be written: as a disk that fills up does."""

    failures: Mapping[int, int] = MappingProxyType({})  # the number of a write, from now on -> the error
    writes = 0

    def fail(self, failures: Mapping[int, int]) -> None:
        self.failures, self.writes = failures, 0

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        self.writes += 1
        number = self.failures.get(self.writes)
        if number is None:
            return super().write(view)
        super().write(view[: len(view) // 2])
        raise OSError(number, os.strerror(number))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[FailingFile]:
    """Every file that a record was opened as; none fails before it is told to."""
    files: list[FailingFile] = []

    def opening(path: Path, mode: str, buffering: int) -> FailingFile:
        assert (mode, buffering) == ("a+b", 0)
        files.append(FailingFile(path, "a+"))
        return files[-1]

    monkeypatch.setattr(appending, "open", opening, raising=False)
    return files


# ---------------------------------------------------------------------- torn records


def test_a_record_cut_at_any_byte_opens_at_its_last_whole_line(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appending, "write_whole", lambda path, text: None)  # who holds it: some 2,000 times
    content = (whole / "record.jsonl").read_bytes()
    start = len(b"".join(content.splitlines(keepends=True)[:-5]))
    for size in range(start, len(content)):
        (tmp_path / "record.jsonl").write_bytes(content[:size])
        AppendedLines(tmp_path / "record.jsonl", print).close()
        kept = (tmp_path / "record.jsonl").read_bytes()
        assert kept == content[: content.rfind(b"\n", 0, size) + 1]


def test_from_any_line_on_the_same_is_decided(whole: Path, tmp_path: Path) -> None:
    """With the test above: whatever byte a driver died at."""
    lines = (whole / "record.jsonl").read_bytes().splitlines(keepends=True)
    for count in range(2, len(lines)):
        (tmp_path / "record.jsonl").write_bytes(b"".join(lines[:count]) + lines[count][:7])
        go_on(tmp_path)
        assert decisions(tmp_path) == decisions(whole), f"cut in line {count + 1}"


# ---------------------------------------------------------------------- the record's storage


@pytest.mark.parametrize("number", STORAGE_ERRORS)
def test_a_write_that_fails_half_way_is_cut_back_and_done_again(
    number: int, whole: Path, tmp_path: Path, pauses: list[float], opened: list[FailingFile]
) -> None:
    search = make_search(tmp_path, trials=6, stopping="paper", sampler="tpe")
    said: list[str] = []
    search.record.announce = said.append
    opened[0].fail({3: number, 4: number, 5: number, 9: number})
    drive(search)
    assert decisions(tmp_path) == decisions(whole)
    assert len(read_history(tmp_path).trials) == 6
    path, why = str(search.record.path), os.strerror(number)
    assert len(said) == 4 and all(line.startswith(f"{path}: ") for line in said)
    for failed, again in (said[:2], said[2:]):
        assert f": {why}; trying again" in failed and "20 minutes" in failed
        assert "written again" in again
    assert pauses == [1, 2, 4, 1]


def test_a_line_that_reached_the_file_but_not_the_disk_is_not_there_twice(
    whole: Path, tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    search = make_search(tmp_path, trials=6, stopping="paper", sampler="tpe")
    synced = iter([None, OSError(errno.EIO, "Input/output error")] * 3)

    def fsync(handle: int) -> None:
        if error := next(synced, None):
            raise error

    monkeypatch.setattr(os, "fsync", fsync)
    drive(search)
    assert decisions(tmp_path) == decisions(whole) and pauses == [1, 1, 1]


def test_the_waiting_ends_with_how_to_go_on_and_then_it_does(
    whole: Path, tmp_path: Path, pauses: list[float], opened: list[FailingFile]
) -> None:
    search = make_search(tmp_path, trials=6, stopping="paper", sampler="tpe")
    opened[0].fail(dict.fromkeys(range(20, 200), errno.ENOSPC))
    with pytest.raises(StorageAway) as caught:
        drive(search)
    search.record.close()
    assert 20 * 60 <= sum(pauses) <= 21 * 60 and max(pauses) == 60
    refusal = str(caught.value)
    assert refusal.startswith(f"{search.record.path}: ") and ": No space left on device; " in refusal
    assert "20 minutes" in refusal and refusal.endswith(f": mdsearch search resume={tmp_path}")
    go_on(tmp_path)
    assert decisions(tmp_path) == decisions(whole)


def test_storage_that_was_mounted_anew_is_opened_anew(
    whole: Path, tmp_path: Path, pauses: list[float], opened: list[FailingFile]
) -> None:
    search = make_search(tmp_path, trials=6, stopping="paper", sampler="tpe")
    path = search.record.path
    lost = opened[0]
    lost.fail(dict.fromkeys(range(7, 99), errno.ESTALE))

    def mount_anew(event: dict[str, object], history: object) -> None:
        if lost.writes == 6 and len(opened) == 1:  # the open file stays with what is not the record any more
            path.with_name("before").hardlink_to(path)
            shutil.copy(path, path.with_name("server"))
            path.with_name("server").replace(path)

    search.record.listeners.append(mount_anew)
    drive(search)
    assert decisions(tmp_path) == decisions(whole) and lost.closed
    assert (len(opened), lost.writes, pauses) == (2, 7, [1])


def test_a_record_that_another_went_on_with_meanwhile_is_left_alone(
    tmp_path: Path, pauses: list[float], opened: list[FailingFile]
) -> None:
    record = Record(tmp_path)
    record.append("run", name="first")
    opened[0].fail({1: errno.ESTALE})
    content = (tmp_path / "record.jsonl").read_bytes()
    write_whole(tmp_path / "record.jsonl", content.decode() + '{"event":"session","time":1}\n')
    taken = (tmp_path / "record.jsonl").read_bytes()
    with pytest.raises(StorageAway, match=r"record\.jsonl: .* another .*resume="):
        record.append("session")
    assert (tmp_path / "record.jsonl").read_bytes() == taken


def test_a_deleted_record_is_noticed(tmp_path: Path, pauses: list[float]) -> None:
    record = Record(tmp_path)
    record.append("run", name="first")
    (tmp_path / "record.jsonl").unlink()
    with pytest.raises(StorageAway, match=r"record\.jsonl: No such file or directory; nothing"):
        record.append("session")


def test_storage_without_locks_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(file: object, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(appending.fcntl, "flock", no_locks)
    with pytest.raises(InputError, match=r"cannot be locked .*: No locks available.* runs_folder="):
        Record(tmp_path)


def test_a_record_that_was_refused_is_not_held(tmp_path: Path) -> None:
    """A notebook keeps the error, and all that it hangs on."""
    (tmp_path / "record.jsonl").write_text("no event\n")
    with pytest.raises(InputError, match="line 1 is not an event") as caught:
        Record(tmp_path)
    (tmp_path / "record.jsonl").write_text("")
    Record(tmp_path).close()
    assert caught.value.__traceback__ is not None


def test_a_second_driver_is_told_who_the_first_is(tmp_path: Path) -> None:
    first = Record(tmp_path)
    with pytest.raises(InputError) as caught:
        Record(tmp_path)
    refusal = str(caught.value)
    assert refusal.startswith(f"{tmp_path}: ") and "\n" not in refusal
    assert refusal.endswith(f": process {os.getpid()} on {os.uname().nodename}")
    first.append("run", name="unharmed")
    assert read_history(tmp_path).header["name"] == "unharmed"


# ---------------------------------------------------------------------- a small disk, really full


def test_a_search_on_a_disk_that_fills_up_goes_on_when_there_is_room(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        run = disk / "run"
        run.mkdir()
        search = make_search(run, trials=6, stopping="paper", sampler="tpe")
        ballast: list[Path] = []

        def fill_after(event: dict[str, object], history: object) -> None:
            if event["event"] == "rung" and not ballast:
                ballast.append(fill(disk))

        search.record.listeners.append(fill_after)
        monkeypatch.setattr("time.sleep", lambda seconds: ballast[0].unlink(missing_ok=True))
        said: list[str] = []
        search.record.announce = said.append
        drive(search)
        search.record.close()
        assert decisions(run) == decisions(whole)
        assert len(said) == 2 and "No space left on device; trying again" in said[0]


def test_a_read_only_run_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        Record(disk).close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(InputError, match=r"record\.jsonl: cannot be written: Read-only file system$"):
            Record(disk)
