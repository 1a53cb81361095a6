"""What is said of a worker that died, and what of one that could not work where it was."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.backends.deaths import WorkerDeaths
from search.strategy import Report
from search.trial import StartsAgain
from space.shared.retries import Waiting

# In the words of Ray 2.60, as Tune writes them into a trial's error.txt.
GONE = """Failure # 1 (occurred at 2026-11-21_01-10-33)
The actor died unexpectedly before finishing this task.
	class_name: with_resources.<locals>.ResourceTrainable
	pid: 22941
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: \
Worker unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the \
process was killed by the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the \
worker crashed unexpectedly due to SIGSEGV or another unexpected error.
"""
MONITOR = """Failure # 2 (occurred at 2026-11-21_01-11-28)
1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 192.0.2.2) \
was 3.41GB used / 23.54GB limit (0.145005)
- objects errored: 0
"""
NODE = """Failure # 3 (occurred at 2026-11-21_01-12-00)
The actor died unexpectedly before finishing this task.
The actor died because its node has died. Node Id: 149f79
	the actor's node was terminated unexpectedly: health check failed due to missing too many heartbeats
"""
STUCK = """Failure # 2 (occurred at 2026-11-21_01-12-30)
ray::ResourceTrainable.train() (pid=23361, ip=192.0.2.2)
    raise Stuck(why_failed(error)) from None
search.backends.ray_tune.Stuck: OSError: [Errno 5] Input/output error: 'state.pt'
"""


def vmstat(path: Path, kills: int) -> Path:
    path.write_text(f"pgfault 7\noom_kill {kills}\nnuma_hit 1\n")
    return path


def test_each_death_is_told_by_what_is_known_of_it(tmp_path: Path) -> None:
    deaths = WorkerDeaths(vmstat(tmp_path / "vmstat", 4))
    unknown = "its worker died: killed by a signal, perhaps for want of memory, or crashed"
    assert deaths.add("0", GONE) == unknown
    memory = "Ray killed it, since its node ran out of memory (3.41GB used / 23.54GB limit)"
    assert deaths.add("0", GONE + MONITOR) == f"its worker died: {memory}"
    assert deaths.reason("0") == f"its worker died 2 times, the last time: {memory}"
    assert deaths.add("0", GONE + MONITOR + NODE) == "its worker died: its node died"
    assert deaths.reason("0") == "its worker died 3 times, the last time: its node died"


def test_the_kernels_own_count_tells_a_kill_for_memory_from_others(tmp_path: Path) -> None:
    deaths = WorkerDeaths(vmstat(tmp_path / "vmstat", 4))
    vmstat(tmp_path / "vmstat", 5)
    assert "killed a process for want of memory" in deaths.add("0", GONE)
    assert "perhaps for want of memory" in deaths.add("0", GONE)
    assert "perhaps" in WorkerDeaths(tmp_path / "no such file").add("0", GONE)


def test_a_worker_that_timed_out_is_no_death(tmp_path: Path) -> None:
    deaths = WorkerDeaths(vmstat(tmp_path / "vmstat", 0))
    deaths.add("0", GONE)
    assert deaths.stuck("0") is None
    said = "OSError: [Errno 5] Input/output error: 'state.pt'"
    assert deaths.add("0", GONE + STUCK) == f"its worker gave up: {said}"
    assert deaths.stuck("0") == said


class ScriptedWorker:
    """The outcome of each step: a report, a word that it waits, or an error."""

    outcomes: tuple[object, ...] = ()

    def __init__(self, settings: object) -> None:
        if settings == "away":
            raise FileNotFoundError(errno.ENOENT, "not mounted here", "evaluator")

    def run(self, job: object) -> Iterator[object]:
        for outcome in self.outcomes:
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome


def test_a_worker_says_failed_for_its_trials_faults_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from search.backends import ray_tune

    report = Report(2, {"fid": 1.0}, {})
    full = OSError(errno.ENOSPC, "No space left on device", "state.pt")
    monkeypatch.setattr(ray_tune, "TrialWorker", ScriptedWorker)
    monkeypatch.setattr(
        ScriptedWorker, "outcomes", (Waiting("full"), StartsAgain("torn"), report, ValueError("a bug"))
    )
    actor = ray_tune._TrialActor({"threads": 1, "settings": "here", "job": "0"})
    assert [actor.step() for _ in range(4)] == [
        {"waiting": "full"},
        {"starts_again": "torn"},
        {"report": report},
        {"failed": "ValueError: a bug"},
    ]
    monkeypatch.setattr(ScriptedWorker, "outcomes", (full,))
    actor.reset_config({"settings": "here", "job": "1"})
    with pytest.raises(ray_tune.Stuck, match="No space left on device"):
        actor.step()
    with pytest.raises(ray_tune.Stuck, match="not mounted here"):
        ray_tune._TrialActor({"threads": 1, "settings": "away", "job": "0"}).step()
