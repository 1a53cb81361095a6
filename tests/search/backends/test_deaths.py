"""What is said of a worker that died, and what of one that could not work where it was."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from search.backends.cluster import ClusterSettings
from search.backends.deaths import WorkerDeaths
from search.runs.files import WORK_NAME, make_job_folder
from search.strategy import Report
from search.trial_log import saved_step
from search.trial_words import Said, StartsAgain
from space.shared.retries import StorageAway, Waiting
from tests.search.backends.tuned import asked_of_tune
from tests.search.worlds import RUNGS, made_by, make_search, scores_at
from training.distributed.launch import LastWord

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


ONE_NODE = [{"Resources": {"CPU": 1.0}, "Alive": True}]


def vmstat(path: Path, kills: int) -> Path:
    path.write_text(f"pgfault 7\noom_kill {kills}\nnuma_hit 1\n")
    return path


def test_each_death_is_told_by_what_is_known_of_it(tmp_path: Path) -> None:
    deaths = WorkerDeaths(2, vmstat(tmp_path / "vmstat", 4))
    unknown = deaths.add("0", GONE)
    assert "signal" in unknown and "perhaps" in unknown and "node" not in unknown
    _, _, memory = deaths.add("0", GONE + MONITOR).partition("died: ")
    assert memory.startswith("Ray killed it") and "memory (3.41GB used / 23.54GB limit)" in memory
    reason = deaths.reason("0")
    assert " 2 times " in reason and reason.endswith(f": {memory}")
    assert deaths.add("0", GONE + MONITOR + NODE).endswith("its node died")


def test_deaths_count_until_the_job_comes_further_and_those_of_nodes_do_not(tmp_path: Path) -> None:
    deaths = WorkerDeaths(1, vmstat(tmp_path / "vmstat", 0))
    deaths.add("0", GONE)
    assert not deaths.too_many("0")
    deaths.reached("0", 100)
    deaths.add("0", GONE)
    assert not deaths.too_many("0"), "the first since step 100"
    for _ in range(10):
        deaths.add("0", NODE)
    assert not deaths.too_many("0")
    deaths.reached("0", 100)  # again: no progress
    deaths.add("1", GONE)
    deaths.add("0", GONE)
    assert deaths.too_many("0") and not deaths.too_many("1")


def test_the_kernels_own_count_tells_a_kill_for_memory_from_others(tmp_path: Path) -> None:
    deaths = WorkerDeaths(2, vmstat(tmp_path / "vmstat", 4))
    vmstat(tmp_path / "vmstat", 5)
    assert "killed a process for want of memory" in deaths.add("0", GONE)
    assert "perhaps for want of memory" in deaths.add("0", GONE)
    assert "perhaps" in WorkerDeaths(2, tmp_path / "no such file").add("0", GONE)


def test_a_worker_that_timed_out_is_no_death(tmp_path: Path) -> None:
    deaths = WorkerDeaths(2, vmstat(tmp_path / "vmstat", 0))
    deaths.add("0", GONE)
    assert deaths.stuck("0") is None
    said = "OSError: [Errno 5] Input/output error: 'state.pt'"
    told = deaths.add("0", GONE + STUCK)
    assert told.endswith(f": {said}") and "died" not in told
    assert deaths.stuck("0") == said


class Tune:
    """As Tune drives searcher and scheduler: a trial of its own for each job that is suggested, which a death
    ends, whatever it was at."""

    def __init__(self, folder: Path, most_deaths: int, **changes: object) -> None:
        self.search, self.said = make_search(folder, **changes), list[str]()
        cluster = ClusterSettings(max_worker_deaths=most_deaths)
        asked = asked_of_tune(
            self.search, SimpleNamespace(run_folder=str(folder)), cluster, self.said.append, ONE_NODE
        )
        self.searcher, self.scheduler = asked.searcher, asked.scheduler
        self.error_file, self.numbers = folder / "error.txt", count()

    def suggest(self) -> SimpleNamespace:
        trial = SimpleNamespace(trial_id=str(next(self.numbers)), error_file=str(self.error_file))
        trial.job = self.searcher.suggest(trial.trial_id)["job"]
        return trial

    def report(self, trial: SimpleNamespace, step: int) -> str:
        point = scores_at(trial.job.architecture, step)
        scores = {"fid_embedded_clip": point.fid, "clip_embedded": point.clip}
        return self.scheduler.on_trial_result(
            None, trial, {"report": Report(step, scores, {"training": 1.0})}
        )

    def die(self, trial: SimpleNamespace, told: str = GONE) -> None:
        self.error_file.write_text(told)
        self.scheduler.on_trial_error(None, trial)
        self.searcher.on_trial_complete(trial.trial_id, error=True)


@pytest.mark.parametrize("seed", range(2))
def test_a_hundred_random_deaths_lose_no_trial(seed: int, tmp_path: Path) -> None:
    """On the way to each rung up to two deaths of workers, and any number of nodes."""
    chance, tune, killed, last = random.Random(seed), Tune(tmp_path, 2, trials=12), 0, RUNGS[-1]
    kept: dict[str, int] = {}  # the states that workers left
    while not tune.search.finished:
        trial = tune.suggest()
        for step in (step for step in trial.job.rungs if step > kept.get(trial.job.key, 0)):
            for _ in range(chance.randrange(1, 3)):
                tune.die(trial, GONE)
                killed += 1
                trial = tune.suggest()
            if chance.random() < 0.3:
                tune.die(trial, NODE)
                trial = tune.suggest()
            kept[trial.job.key] = step
            assert tune.report(trial, step) == ("STOP" if step == last else "CONTINUE")
    assert killed >= 36 and len(tune.said) > killed
    trials = tune.search.history.trials
    assert [trial.state for trial in trials] == ["complete"] * 12
    assert all([rung.step for rung in trial.rungs] == list(RUNGS) for trial in trials)


def test_a_trial_whose_workers_die_before_any_new_rung_has_failed(tmp_path: Path) -> None:
    tune = Tune(tmp_path, 2, trials=2)
    trial = tune.suggest()
    tune.report(trial, RUNGS[0])
    for _ in range(3):
        assert trial.job.key == "0"
        tune.die(trial)
        assert tune.search.history.trials[0].rungs[0].step == RUNGS[0]
        trial = tune.suggest()
    assert trial.job.key == "1"
    failed = tune.search.history.trials[0]
    assert failed.state == "failed" and failed.reason.startswith(
        "its worker died 3 times without coming further"
    )


def test_a_trial_whose_states_advance_between_deaths_goes_on_before_its_first_rung(tmp_path: Path) -> None:
    """Machines that are taken away faster than a rung takes: each worker leaves a later state."""
    tune = Tune(tmp_path, 2, trials=2)
    log = make_job_folder(tmp_path, "0") / WORK_NAME
    trial = tune.suggest()
    for number in range(1, 10):
        log.write_text(f'{{"from_step": 0, "to_step": {number}}}\n')
        tune.die(trial)
        trial = tune.suggest()
        assert trial.job.key == "0"
    for _ in range(2):  # the second and third that leave no later one
        tune.die(trial)
        trial = tune.suggest()
    assert trial.job.key == "1" and tune.search.history.trials[0].state == "failed"


def test_a_log_that_cannot_be_read_is_no_progress(tmp_path: Path) -> None:
    assert saved_step(tmp_path, "0") == 0
    log = make_job_folder(tmp_path, "0") / WORK_NAME
    for text in ("", "{", "[]", '{"to_step": "x"}', '{"from_step": 3}'):
        log.write_text(text)
        assert saved_step(tmp_path, "0") == 0
    log.write_text('{"to_step": 7}\n{"to_step": 3}\n')  # started again from step 0: no further than before
    assert saved_step(tmp_path, "0") == 7


def test_a_worker_that_can_work_nowhere_ends_the_search_and_its_trial_can_be_gone_on_with(
    tmp_path: Path,
) -> None:
    tune = Tune(tmp_path, 0, trials=1)
    with pytest.raises(StorageAway, match=r"'state\.pt'.*resume=.*\w"):
        tune.die(tune.suggest(), STUCK)
    assert isinstance(tune.searcher.trouble, StorageAway)
    assert tune.search.history.trials[0].state == "running"


class ScriptedWorker:
    """The outcome of each step: a report, a word that it waits, or an error."""

    outcomes: tuple[object, ...] = ()

    def run(self, job: object) -> Iterator[object]:
        for outcome in self.outcomes:
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome


def away_worker() -> object:
    raise FileNotFoundError(errno.ENOENT, "not mounted here", "evaluator")


def test_a_worker_says_failed_for_its_trials_faults_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from search.backends import ray_tune

    report = Report(2, {"fid": 1.0}, {})
    full = OSError(errno.ENOSPC, "No space left on device", "state.pt")
    actor_of = asked_of_tune(None, None, ClusterSettings(), print, ONE_NODE).actor
    monkeypatch.setattr(
        ScriptedWorker,
        "outcomes",
        (Waiting("full"), StartsAgain("torn"), Said("halved"), report, ValueError("a bug")),
    )
    actor = actor_of({"threads": 1, "settings": made_by(ScriptedWorker), "job": "0", "workers": 1})
    assert [actor.step() for _ in range(5)] == [
        {"waiting": "full"},
        {"starts_again": "torn"},
        {"said": "halved"},
        {"report": report},
        {"failed": "ValueError: a bug"},
    ]
    monkeypatch.setattr(ScriptedWorker, "outcomes", (full,))
    actor.reset_config({"settings": made_by(ScriptedWorker), "job": "1", "workers": 1})
    with pytest.raises(ray_tune.Stuck, match="No space left on device"):
        actor.step()
    with pytest.raises(ray_tune.Stuck, match="not mounted here"):
        actor_of({"threads": 1, "settings": made_by(away_worker), "job": "0"}).step()
    away = StorageAway("data.source: 's3://photos' cannot be read")
    monkeypatch.setattr(ScriptedWorker, "outcomes", (away,))
    actor.reset_config({"settings": made_by(ScriptedWorker), "job": "2", "workers": 1})
    with pytest.raises(ray_tune.Stuck, match="s3://photos"):
        actor.step()
    monkeypatch.setattr(ScriptedWorker, "outcomes", (RuntimeError("gloo: Connection closed by peer"),))
    monkeypatch.setattr(ray_tune, "RayPeers", AwayPeers)
    actor.reset_config({"settings": made_by(ScriptedWorker), "job": "3", "workers": 2, "peers": {}})
    with pytest.raises(ray_tune.Stuck, match=r"worker 1 of 2: data\.source: 's3://photos'"):
        actor.step()


class AwayPeers:
    """The other worker of two cannot read its data."""

    def __init__(self, settings: object, size: int) -> None:
        self.size, self.ranks = size, None

    def how_one_ended(self) -> tuple[int, LastWord]:
        return 1, LastWord("raised", StorageAway.__name__, "data.source: 's3://photos' cannot be read")
