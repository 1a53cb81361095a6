"""What a search does when its storage fails: nothing recorded is lost, a clear word is said, and it goes on
when it can. Errors are injected below the record, or come from a small file system that is really full."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from analysis.live import STANDARD
from analysis.study import sync_study
from conf.compose import compose
from search.backends.connection import RayConnection
from search.display import PlainDisplay
from search.runs import appending
from search.runs.appending import AppendedLines
from search.runs.folder import begin_record, claim_folder, stored_overrides, stored_settings
from search.runs.record import Record, read_history
from search.runs.results import Results
from search.settings import settings_from_plain
from search.strategy import Report
from space.shared import retries as patience
from space.shared.files import write_whole
from space.shared.plain import InputError
from space.shared.retries import StorageAway, Waiting, patiently, storage_error
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


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of six trials, with refusals and stopped trials, that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    search = make_search(folder, trials=6, stopping="paper", sampler="tpe")
    drive(search)
    search.record.close()
    assert {event["event"] for event in decisions(folder)} == {"proposed", "rejected", "rung", "ended"}
    return folder


def go_on(folder: Path) -> None:
    search = make_search(folder, trials=6, stopping="paper", sampler="tpe")
    drive(search)
    search.record.close()


class FailingFile(io.FileIO):
    """Fails at chosen writes, after half of what was to be written: as a disk that fills up does."""

    failures: dict[int, int]  # the number of a write -> the error
    writes = 0

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        self.writes += 1
        number = self.failures.get(self.writes)
        if number is None:
            return super().write(view)
        super().write(view[: len(view) // 2])
        raise OSError(number, os.strerror(number))


def break_file(lines: AppendedLines, failures: dict[int, int]) -> FailingFile:
    """Let the open file of a record fail at those writes."""
    file = FailingFile(os.dup(lines._file.fileno()), "a+")  # a dup shares the lock
    file.failures = failures
    lines._file.close()
    lines._file = file
    return file


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


# ---------------------------------------------------------------------- killed before anything was recorded


def begun(folder: Path, *words: str) -> None:
    """A search up to the point where its first line is recorded."""
    settings = settings_from_plain(compose("search", [f"runs_folder={folder}", "name=run", *words]))
    run = claim_folder(settings)
    record = Record(run)
    begin_record(settings, run, record, {"name": "run", "overrides": list(words)})
    record.close()


LEFT = {
    "an empty folder": {},
    "settings half written": {".config.yaml.x1": "space:\n  lev"},
    "settings alone": {"config.yaml": "seed: 7\n", ".driver": "process 1 on host"},
    "an empty record": {"config.yaml": "seed: 7\n", "record.jsonl": ""},
    "a torn first line": {"config.yaml": "seed: 7\n", "record.jsonl": '{"event":"run","na'},
}


@pytest.mark.parametrize("left", LEFT)
def test_a_search_killed_before_its_first_line_starts_again_by_the_same_words(
    left: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name, content in LEFT[left].items():
        (run / name).write_text(content)
    if "record.jsonl" in LEFT[left]:
        with pytest.raises(InputError, match="interrupted before anything was recorded; start it again"):
            stored_overrides(run)
    begun(tmp_path, "seed=3")
    assert stored_settings(run).seed == 3 and stored_overrides(run) == ["seed=3"]
    with pytest.raises(InputError, match="holds a run already"):
        begun(tmp_path)


def test_settings_are_there_before_the_record_says_that_there_is_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("search.runs.folder.write_whole", die)
    with pytest.raises(KeyboardInterrupt):
        begun(tmp_path)
    assert read_history(tmp_path / "run").header == {}


# ---------------------------------------------------------------------- the record's storage


@pytest.mark.parametrize("number", STORAGE_ERRORS)
def test_a_write_that_fails_half_way_is_cut_back_and_done_again(
    number: int, whole: Path, tmp_path: Path, pauses: list[float]
) -> None:
    search = make_search(tmp_path, trials=6, stopping="paper", sampler="tpe")
    said: list[str] = []
    search.record.announce = said.append
    break_file(search.record._lines, {3: number, 4: number, 5: number, 9: number})
    drive(search)
    assert decisions(tmp_path) == decisions(whole)
    assert len(read_history(tmp_path).trials) == 6
    path, why = search.record.path, os.strerror(number)
    failed = f"{path}: cannot be written: {why}; trying again for 20 minutes"
    assert said == [failed, f"{path}: is written again; the search goes on"] * 2
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
    whole: Path, tmp_path: Path, pauses: list[float]
) -> None:
    search = make_search(tmp_path, trials=6, stopping="paper", sampler="tpe")
    break_file(search.record._lines, dict.fromkeys(range(20, 200), errno.ENOSPC))
    with pytest.raises(StorageAway) as caught:
        drive(search)
    search.record.close()
    assert 20 * 60 <= sum(pauses) <= 21 * 60 and max(pauses) == 60
    assert str(caught.value) == (
        f"{search.record.path}: cannot be written: gave up after 20 minutes: No space left on device; "
        f"nothing that was recorded is lost; go on with: mdsearch search resume={tmp_path}"
    )
    go_on(tmp_path)
    assert decisions(tmp_path) == decisions(whole)


def test_storage_that_was_mounted_anew_is_opened_anew(
    whole: Path, tmp_path: Path, pauses: list[float]
) -> None:
    search = make_search(tmp_path, trials=6, stopping="paper", sampler="tpe")
    path = search.record.path
    lost = break_file(search.record._lines, dict.fromkeys(range(7, 99), errno.ESTALE))

    def mount_anew(event: dict[str, object], history: object) -> None:
        if lost.writes == 6:  # the open file stays with what is not the record any more
            shutil.copy(path, path.with_name("server"))
            path.with_name("server").replace(path)

    search.record.listeners.append(mount_anew)
    drive(search)
    assert decisions(tmp_path) == decisions(whole) and lost.closed


def test_a_record_that_another_went_on_with_meanwhile_is_left_alone(
    tmp_path: Path, pauses: list[float]
) -> None:
    record = Record(tmp_path)
    record.append("run", name="first")
    break_file(record._lines, {1: errno.ESTALE})
    content = (tmp_path / "record.jsonl").read_bytes()
    write_whole(tmp_path / "record.jsonl", content.decode() + '{"event":"session","time":1}\n')
    taken = (tmp_path / "record.jsonl").read_bytes()
    with pytest.raises(StorageAway, match="is not as this search left it; another may have gone on with it"):
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
    with pytest.raises(InputError, match="cannot be locked against a second search: No locks available"):
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
    assert str(caught.value) == (
        f"{tmp_path}: another search is writing to this run folder: process {os.getpid()} on "
        f"{os.uname().nodename}"
    )
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


# ---------------------------------------------------------------------- files made from the record


def results_of(folder: Path, said: Callable[[str], None]) -> tuple[Results, object]:
    search = make_search(folder, trials=6, stopping="paper", sampler="tpe")
    results = Results(folder, search.record, STANDARD, said)
    results.stop()  # the thread: here everything is written when the test says so
    search.record.listeners.append(results.event)
    return results, search


def test_curves_that_cannot_be_written_do_not_stop_the_search_and_are_written_later(
    whole: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    _, search = results_of(tmp_path, said.append)
    (tmp_path / "trials").write_text("a file where a folder should be")
    rungs = [0]

    def mend(event: dict[str, object], history: object) -> None:
        rungs[0] += event["event"] == "rung"
        if rungs[0] == 5 and (tmp_path / "trials").is_file():
            (tmp_path / "trials").unlink()

    search.record.listeners.append(mend)
    drive(search)
    assert len(said) == 1 and said[0].startswith("curves cannot be written: ")
    assert decisions(tmp_path) == decisions(whole)
    assert {path.parent.name for path in tmp_path.glob("trials/*/curve.jsonl")} == set("012345")
    curve = (tmp_path / "trials" / "0" / "curve.jsonl").read_text().splitlines()
    assert len(curve) == len(search.history.trials[0].rungs)


@pytest.fixture
def quick_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.study.SECONDS_TO_WAIT", 0.05)


def test_a_locked_study_is_left_out_and_made_good_later(tmp_path: Path, quick_locks: None) -> None:
    said: list[str] = []
    results, search = results_of(tmp_path, said.append)
    drive(search, most_rungs=4)
    results.write()
    study = tmp_path / "study.db"
    other = sqlite3.connect(study, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    drive(search)
    report = results.write()
    assert report is not None and "6 trials" in report.read_text()
    assert len(said) == 1 and said[0].startswith(f"{study}: ") and "database is locked; to make" in said[0]
    other.close()
    results.write()
    assert count_trials(study) == sum(trial.state != "running" for trial in search.history.trials) == 5


def test_a_broken_study_is_made_anew(tmp_path: Path) -> None:
    _, search = results_of(tmp_path, print)
    drive(search)
    (tmp_path / "study.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)
    sync_study(tmp_path, search.history, search.space, search.objectives)
    assert count_trials(tmp_path / "study.db") == 6


def count_trials(study: Path) -> int:
    connection = sqlite3.connect(study)
    (count,) = connection.execute("SELECT count(*) FROM trials").fetchone()
    connection.close()
    return int(count)


def test_where_nothing_is_left_to_do_ray_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search.run import _drive
    from search.strategies.phases import Phases

    search = make_search(tmp_path, trials=1)
    drive(search)
    done = Phases(search, lambda: make_search(tmp_path, record=search.record, trials=1))
    monkeypatch.setitem(sys.modules, "search.backends.ray_cluster", None)  # an import fails
    settings, display = settings_from_plain(compose("search", [])), PlainDisplay(search.objectives)
    ray = RayConnection()
    _drive(done, settings, None, search.record, display, ray)  # type: ignore[arg-type]
    more = Phases(search, lambda: make_search(tmp_path, record=search.record, trials=2))
    with pytest.raises(ImportError):
        _drive(more, settings, None, search.record, display, ray)  # type: ignore[arg-type]


def test_nothing_is_made_in_place_of_a_run_folder_that_is_away(tmp_path: Path) -> None:
    from search.runs.files import make_job_folder

    with pytest.raises(OSError, match="the run folder is away") as caught:
        make_job_folder(tmp_path / "run", "3")
    assert storage_error(caught.value) and not (tmp_path / "run").exists()


# ---------------------------------------------------------------------- workers


def test_work_that_storage_fails_is_done_again_and_other_errors_are_not(pauses: list[float]) -> None:
    outcomes = iter(
        [OSError(errno.ENOSPC, "No space left on device", "state.pt"), OSError(errno.EIO, "I/O"), 7]
    )

    def work() -> int:
        outcome = next(outcomes)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    def collect() -> Iterator[object]:
        yield (yield from patiently(work))

    assert list(collect()) == [Waiting("state.pt: No space left on device"), Waiting("I/O"), 7]
    outcomes = iter([OSError(errno.ENOENT, "No such file or directory")])
    with pytest.raises(FileNotFoundError):
        list(collect())
    assert pauses == [1, 2]


def raised_from(error: OSError) -> InputError:
    try:
        try:
            raise error
        except OSError:
            raise InputError("out: 'samples.png' cannot be written") from None
    except InputError as wrapped:
        return wrapped


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (raised_from(OSError(errno.EDQUOT, "Disk quota exceeded")), errno.EDQUOT),
        (
            RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
            errno.ENOSPC,
        ),
        (PermissionError(errno.EACCES, "Permission denied"), errno.EACCES),
        (OSError("image file is truncated"), None),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), None),
        (ValueError("a bug"), None),
    ],
)
def test_storage_is_told_from_everything_else(error: Exception, number: int | None) -> None:
    found = storage_error(error)
    assert (found and found.errno) == number


class FullDiskWorker:
    """Waits at its first rung; trial 1 waits in vain."""

    def __init__(self, settings: object) -> None:
        self.settings = settings

    def run(self, job: object) -> Iterator[Report | Waiting]:
        for step in job.rungs:  # type: ignore[attr-defined]
            yield Waiting("state.pt: No space left on device")
            if job.key == "1":  # type: ignore[attr-defined]
                raise OSError(errno.ENOSPC, "No space left on device", "state.pt")
            yield Report(step, {"fid_embedded_clip": 50.0, "clip_embedded": 0.1}, {"training": 1})


def test_a_trial_whose_storage_stays_away_is_not_failed_but_left_for_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search.backends import inline

    class Settings:
        run_folder = str(tmp_path)

    monkeypatch.setattr(inline, "TrialWorker", FullDiskWorker)
    search, said = make_search(tmp_path, trials=3), []
    with pytest.raises(StorageAway, match=r"trial 1: gave up after 20 minutes: state\.pt: No space left"):
        inline.run_inline(search, Settings(), said.append)  # type: ignore[arg-type]
    assert [trial.state for trial in search.history.trials] == ["complete", "running"]
    assert said == [f"trial {n}: waits: state.pt: No space left on device" for n in (0, 1)]


def test_the_patience_stated_is_the_patience_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 300.0)
    assert patience.waiting_time() == "5 minutes" and 300 <= sum(patience.pauses()) < 360
