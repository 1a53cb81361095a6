"""What is written while a search runs: soon, seldom enough, and never at the search's expense."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest

from analysis.live import STANDARD
from search.runs import live
from search.runs.live import Rewriter, remove_torn
from search.runs.record import History
from search.runs.results import Results
from space.shared.files import write_whole
from space.shared.plain import to_plain
from tests.search.worlds import NOISE, drive, make_search


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Rewriter]]:
    monkeypatch.setattr(live, "LEAST_SECONDS", 0.02)
    made: list[Rewriter] = []

    def make(write: Callable[[], object], announce: Callable[[str], None] = print) -> Rewriter:
        made.append(Rewriter(write, announce))
        return made[-1]

    yield make
    for rewriter in made:
        rewriter.stop()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_many_touches_are_one_writing_and_none_is_lost(quickly: Callable[..., Rewriter]) -> None:
    recorded, written = 0, []

    rewriter = quickly(lambda: written.append(recorded))
    for _ in range(1000):
        recorded += 1
        rewriter.touch()
    until(lambda: written[-1:] == [1000])
    assert len(written) < 20


def test_a_touch_returns_while_a_slow_writing_goes_on(quickly: Callable[..., Rewriter]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def write() -> None:
        begun.set()
        assert go_on.wait(280)

    rewriter = quickly(write)
    rewriter.touch()
    assert begun.wait(280)
    before = time.perf_counter()
    rewriter.touch()
    assert time.perf_counter() - before < 0.1
    go_on.set()


def test_writing_takes_no_more_than_its_share(quickly: Callable[..., Rewriter]) -> None:
    """A writing that works for 10 ms is followed by 333 ms without one."""
    starts: list[float] = []

    def write() -> None:
        starts.append(time.monotonic())
        began = time.thread_time()
        while time.thread_time() - began < 0.01:
            pass
        rewriter.touch()

    rewriter = quickly(write)
    rewriter.touch()
    until(lambda: len(starts) == 3)
    assert starts[2] - starts[0] > 2 * 0.01 / live.MOST_SHARE * 0.95


def test_it_writes_now_and_then_without_a_touch(
    quickly: Callable[..., Rewriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "QUIET_SECONDS", 0.05)
    written: list[int] = []
    quickly(lambda: written.append(1))
    until(lambda: len(written) >= 2)


def test_what_goes_wrong_is_said_once_and_tried_again(quickly: Callable[..., Rewriter]) -> None:
    said: list[str] = []
    outcomes = iter([OSError("disk\nfull"), OSError("disk\nfull"), None, OSError("disk\nfull")])
    tried = 0

    def write() -> None:
        nonlocal tried
        tried += 1
        error = next(outcomes, None)
        if error is not None:
            raise error

    rewriter = quickly(write, said.append)
    for times in range(1, 6):
        rewriter.touch()
        until(lambda times=times: tried >= times)  # type: ignore[misc]
    assert len(said) == 2 and said[0] == said[1] and ": disk full; " in said[0]


def test_stopping_waits_for_what_is_being_written_and_ends_it(quickly: Callable[..., Rewriter]) -> None:
    done: list[int] = []

    def write() -> None:
        time.sleep(0.1)
        done.append(1)

    rewriter = quickly(write)
    rewriter.touch()
    time.sleep(0.05)
    rewriter.stop()
    assert done == [1]
    rewriter.touch()
    rewriter.stop()
    time.sleep(0.05)
    assert done == [1]


def test_a_run_folder_follows_its_search_and_is_whole_at_the_end(
    monkeypatch: pytest.MonkeyPatch, quickly: Callable[..., Rewriter], tmp_path: Path
) -> None:
    monkeypatch.setattr(live, "MOST_SHARE", 10.0)
    search = make_search(tmp_path, trials=3)
    results = Results(tmp_path, search.record, STANDARD)
    search.record.listeners.append(results.event)
    report = tmp_path / "report.html"
    until(lambda: report.is_file() and 'class="live"' in report.read_text(encoding="utf-8"))
    drive(search, most_rungs=5)
    until(lambda: "searching: 1 of 3 trials have ended" in report.read_text(encoding="utf-8"))
    drive(make_search(tmp_path, record=search.record, trials=3))
    assert results.write() == report
    search.record.close()
    assert "Running" not in report.read_text(encoding="utf-8").split("</style>")[1].split("<script>")[0]
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 4
    for number, trial in enumerate(search.history.trials):
        curve = (tmp_path / "trials" / str(number) / "curve.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in curve] == [rung.step for rung in trial.rungs]
    study = optuna.load_study(study_name="test", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert len(study.trials) == 3


def test_listeners_make_what_they_like_of_the_record_and_the_search_keeps_best_and_curves(
    tmp_path: Path,
) -> None:
    heard: list[tuple[int, bool]] = []

    def listener(folder: Path, history: History, *, running: bool) -> None:
        assert folder == tmp_path
        heard.append((len(history.trials), running))

    search = make_search(tmp_path, trials=2)
    search.history.header["noise"] = to_plain(NOISE)  # without it nobody leads
    results = Results(tmp_path, search.record, [listener])
    search.record.listeners.append(results.event)
    drive(search)
    assert results.write() is None  # nobody wrote a report
    search.record.close()
    assert heard[-1] == (2, False) and all(running for _, running in heard[:-1])
    assert (tmp_path / "best.yaml").is_file() and (tmp_path / "trials/1/curve.jsonl").is_file()
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".csv", ".html", ".db")]


def test_what_a_listener_cannot_write_is_said_with_how_to_make_it_again(tmp_path: Path) -> None:
    said: list[str] = []

    def listener(folder: Path, history: History, *, running: bool) -> None:
        if not running:
            raise OSError(28, "No space left on device", "page")

    search = make_search(tmp_path, trials=1)
    results = Results(tmp_path, search.record, [listener], said.append)
    drive(search)
    assert results.write() is None
    search.record.close()
    assert len(said) == 1 and said[0].startswith("page: No space left on device; to make it again: ")
    assert said[0].endswith(f"resume={tmp_path}")


def test_a_listener_that_fails_takes_its_turn_from_no_other_and_does_not_end_the_search(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    heard: list[bool] = []

    def broken(folder: Path, history: History, *, running: bool) -> None:
        raise KeyError("a bug\nof its own")

    def listener(folder: Path, history: History, *, running: bool) -> None:
        heard.append(running)
        write_whole(folder / "report.html", "page")

    search = make_search(tmp_path, trials=1)
    results = Results(tmp_path, search.record, [broken, listener], said.append)
    drive(search)
    assert results.write() == tmp_path / "report.html"
    search.record.close()
    assert heard[-1] is False
    assert "KeyError" in said[-1] and said[-1].endswith(f"resume={tmp_path}") and "\n" not in said[-1]


def test_what_a_killed_driver_left_half_written_is_removed(tmp_path: Path) -> None:
    write_whole(tmp_path / "report.html", "whole")
    (tmp_path / ".report.html.x1y2").write_text("ha")
    (tmp_path / ".driver").write_text("another's")
    remove_torn(tmp_path, ("report.html", "trials.csv"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".driver", "report.html"]
