"""Ray Tune's workers, on this machine or an existing cluster, driven by a strategy.

Tune starts trials, moves them off dead workers and keeps actors alive between them; which trial, when to
stop and what is recorded is the strategy's. Tune's own experiment state is scratch: the record is the
truth, and a resumed search starts a fresh Tuner for what is left.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import RayError, RayTaskError
from ray.train._internal import storage
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.backends.cluster import ClusterSettings
from search.backends.deaths import WorkerDeaths
from search.backends.ray_memory import know_memory_kills
from search.backends.ray_places import Places, placement, trials_that_fit
from search.backends.ray_workers import RayPeers, word_of_peer
from search.formats import run_name
from search.runs.record import State
from search.strategy import Job, Strategy
from search.trial_log import saved_step
from search.trial_words import Said, StartsAgain, WorkerWord
from search.worker import RungWorker, WorkerSettings
from space.shared.retries import StorageAway, Waiting, once, patiently, storage_error, timed_out
from training.distributed.launch import word_of_error
from training.failures import why_failed


class WorkerLost(Exception):
    """Another worker of the trial is gone; Tune starts all of them again."""


class Stuck(Exception):
    """A worker cannot work where it is: storage is away, or what it needs cannot be read there."""


class TrialActor(tune.Trainable):
    """A worker as Tune knows it: a step is a rung. One process serves many trials (`reuse_actors`); Ray
    names the process after this class."""

    _worker: RungWorker | None = None
    _peers: RayPeers | None = None  # where a trial has several workers
    _reports: Iterator[WorkerWord] | None = None

    def setup(self, config: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(config["threads"])
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        if self._reports is None:
            self._reports = self._work(self._config["settings"], self._config["job"])
        try:
            report = next(self._reports)
        except Exception as error:
            is_from_here = self._peers is not None or not isinstance(error, RayError)
            is_away = isinstance(error, StorageAway) or storage_error(error)
            if self._worker is None or is_away or not is_from_here:
                raise Stuck(why_failed(error)) from None  # no fault of the trial: Tune starts another worker
            return {"failed": why_failed(error)} if self._peers is None else self._without_peers(error)
        if isinstance(report, Waiting):
            return {"waiting": report.reason}
        if isinstance(report, StartsAgain):
            return {"starts_again": report.reason}
        if isinstance(report, Said):
            return {"said": report.text}
        return {"report": report}

    def _work(self, settings: Any, job: Job) -> Iterator[WorkerWord]:
        if self._worker is None:
            self._worker = yield from patiently(settings.worker)
        if self._config["workers"] > 1 and self._peers is None:
            self._peers = RayPeers(settings, size=self._config["workers"], **self._config["peers"])
            self._worker.peers, self._worker.ranks = self._peers, self._peers.ranks
        yield from self._worker.run(job)

    def _without_peers(self, error: Exception) -> dict[str, Any]:
        """What became of the trial when one of its workers raised an error, or noticed that another is gone.
        The next trial has new ones."""
        assert self._peers is not None and self._worker is not None
        number, word = 0, word_of_error(error)
        if isinstance(error, RayTaskError):
            word = word_of_peer(error)
        elif word.kind == "left alone" or isinstance(error, RayError):
            number, word = self._peers.how_one_ended()
        who = f"worker {number} of {self._peers.size}"
        if word.kind in ("killed", "left alone"):
            raise WorkerLost(f"{who}: {word.text}") from None
        if word.name == StorageAway.__name__:
            raise Stuck(f"{who}: {word.text}") from None
        self._peers.end()
        self._peers = self._reports = None
        if word.kind == "memory" and self._worker.micro_batch is None:
            self._worker.micro_batch = word.micro_batch
            return {
                "said": f"out of memory on {who} ({word.text}): all begin again from the last state, with "
                f"micro-batches of {word.micro_batch} images; batches stay as they are"
            }
        is_own = number == 0 and not isinstance(error, RayError)
        return {"failed": why_failed(error) if is_own else f"{word.name}: {word.text}"}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Nothing for Tune to keep: the worker leaves its state in the run folder at each rung."""
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing either: a job goes on from the state in the run folder, on whatever node."""

    def _begin(self, config: dict[str, Any]) -> None:
        self._config = config
        self._reports = None
        if self._worker is not None:
            self._worker.micro_batch = None
        if self._peers is not None and self._peers.size != config["workers"]:
            self._peers.end()
            self._peers = None


class _NotPickled:
    """Tune pickles searcher and scheduler into its scratch folder; ours are remade from the record."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _StrategySearcher(_NotPickled, Searcher):
    """Hands the strategy's jobs to Tune."""

    def __init__(
        self, strategy: Strategy, common: dict[str, Any], deaths: WorkerDeaths, places: Places
    ) -> None:
        super().__init__(metric="report", mode="max")
        self.strategy, self.common, self.deaths = strategy, common, deaths
        self.jobs: dict[str, Job] = {}
        self.again: deque[Job] = deque()  # their workers died
        self.ended: set[str] = set()
        self.trouble: Exception | None = None  # ours, to be raised again: Tune makes a text of it
        self.places = places

    @contextmanager
    def ours(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.trouble = error
            raise

    def suggest(self, trial_id: str) -> Any:
        if self.again and not self.places.are_known:
            return None
        with self.ours():
            job = self.again.popleft() if self.again else self.strategy.propose()
            if job is None:
                return Searcher.FINISHED if self.strategy.finished else None
            self.jobs[trial_id] = job
            self.ended.discard(job.key)  # of a training that goes on in another job
            return self.common | {"job": job, "workers": self.places.take(trial_id, run_name(job))}

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """With an error at each death of a trial's worker: the job goes on as another trial of Tune's, whose
        own way of recovering counts all deaths together."""
        self.places.give_back(trial_id)
        if not error:
            return
        with self.ours():
            job, settings = self.jobs[trial_id], self.common["settings"]
            if job.key in self.ended:
                return
            if not self.deaths.too_many(job.key):
                self.again.append(job)
                self.places.lost_one()
                return
            if stuck := self.deaths.stuck(job.key):
                raise timed_out(run_name(job), stuck, settings.run_folder)
            self.end(job, "failed", self.deaths.reason(job.key))

    def end(self, job: Job, state: State, reason: str) -> None:
        self.ended.add(job.key)
        self.strategy.take_result(job.key, state, reason)

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a resumed search reads the record."""


class _StrategyScheduler(_NotPickled, FIFOScheduler):
    """Brings reports to the strategy, and its decisions to Tune."""

    def __init__(self, searcher: _StrategySearcher, announce: Callable[[str], None]) -> None:
        super().__init__()
        self.searcher, self.strategy, self.say = searcher, searcher.strategy, announce
        self.say_once = once(announce)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        with self.searcher.ours():
            return str(self._answer(self.searcher.jobs[trial.trial_id], result))

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Called at each death of a trial's worker, before `on_trial_complete`."""
        job = self.searcher.jobs[trial.trial_id]
        told = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
        deaths, run_folder = self.searcher.deaths, Path(self.searcher.common["settings"].run_folder)
        deaths.reached(job.key, saved_step(run_folder, job.key))
        self.say(f"{run_name(job)}: {deaths.add(job.key, told)}")

    def _answer(self, job: Job, result: dict[str, Any]) -> Any:
        if "waiting" in result:
            self.say_once(f"{run_name(job)}: waits: {result['waiting']}")
            return TrialScheduler.CONTINUE
        if "said" in result:
            self.say(f"{run_name(job)}: {result['said']}")
            return TrialScheduler.CONTINUE
        if "starts_again" in result:
            self.say(f"{run_name(job)}: trains again from step 0: {result['starts_again']}")
            return TrialScheduler.CONTINUE
        if "failed" in result:
            self.searcher.end(job, "failed", result["failed"])
            return TrialScheduler.STOP
        decision = self.strategy.judge(job.key, result["report"])
        self.searcher.deaths.reached(job.key, result["report"].step)
        if decision.word == "continue":
            return TrialScheduler.CONTINUE
        self.searcher.end(job, "halted" if decision.word == "halt" else "complete", decision.reason)
        return TrialScheduler.STOP


def run_on_ray(
    strategy: Strategy, settings: WorkerSettings, cluster: ClusterSettings, announce: Callable[[str], None]
) -> None:
    """Drive the strategy until it has finished, by the cluster that `connect` was called for.

    Ctrl-C returns early; what was running stays recorded as running.

    Raises:
        StorageAway: no worker could work, wherever it was started; its job is left as running.
    """
    takes = {"cpu": cluster.cpus_per_worker, "gpu": cluster.gpus_per_worker}
    peers = {"threads": cluster.threads_per_worker, "parallel": cluster.parallel, "resources": takes}
    common = {
        "settings": settings,
        "threads": cluster.threads_per_worker,
        "peers": peers | {"is_local": cluster.address is None},
    }
    fit = trials_that_fit(cluster, announce)
    places = Places(cluster, announce)
    searcher = _StrategySearcher(strategy, common, WorkerDeaths(cluster.max_worker_deaths), places)
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)  # it lists trials whose workers died
    know_memory_kills()
    scratch = Path(tempfile.mkdtemp(prefix="mdsearch-tune-"))
    # by ray:// this machine is no node, and has no session of Ray's, where Tune would keep files
    storage._get_ray_train_session_dir = lambda: str(scratch)
    try:
        tune.run(
            tune.with_resources(TrialActor, lambda config: placement([takes] * config["workers"])),
            search_alg=searcher,
            scheduler=_StrategyScheduler(searcher, announce),
            num_samples=-1,
            max_concurrent_trials=fit,
            reuse_actors=True,
            name="tune",
            storage_path=str(scratch),
            verbose=0,
            max_failures=0,
            raise_on_failed_trial=False,
            # a worker that died while Tune saved a trial that had ended would have it run all over again
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            _remote=False,  # also by ray://: strategy, record and display are here
        )
    except Exception:
        if searcher.trouble is not None:
            raise searcher.trouble from None
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
