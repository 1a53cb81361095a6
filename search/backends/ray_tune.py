"""Ray Tune's workers, on this machine or an existing cluster, driven by a strategy.

Tune starts trials, moves them off dead workers and keeps actors alive between them; which trial, when to
stop and what is recorded is the strategy's. Tune's own experiment state is scratch: the record is the
truth, and a resumed search starts a fresh Tuner for what is left.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.job_config import JobConfig
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.util.metrics import Gauge

from search.backends.cluster import ClusterSettings
from search.backends.deaths import WorkerDeaths
from search.backends.import_path import importing_ours
from search.formats import run_name
from search.objectives import Objectives
from search.runs.record import History
from search.strategy import Job, Report, Strategy
from search.trial import StartsAgain, TrialSettings, TrialWorker, why_failed
from space.shared.plain import InputError
from space.shared.retries import Waiting, once, patiently, storage_error, timed_out


class Cluster:
    """A connection to Ray, for the time of a `with` block."""

    def __init__(self, settings: ClusterSettings, announce: Callable[[str], None]) -> None:
        self.settings, self.announce = settings, announce

    def __enter__(self) -> Cluster:
        if self.settings.address is None:
            self._start_local()
        else:
            self._connect(self.settings.address)
        return self

    def __exit__(self, *error: object) -> None:
        ray.shutdown()

    def _start_local(self) -> None:
        settings = self.settings
        context = ray.init(
            address="local",
            num_cpus=settings.workers and math.ceil(settings.workers * settings.cpus_per_worker),
            include_dashboard=settings.dashboard,
            dashboard_host="127.0.0.1",
            dashboard_port=settings.dashboard_port,
            object_store_memory=settings.object_store_mb * 2**20,
            configure_logging=True,
            logging_level=logging.ERROR,
            log_to_driver=False,
            job_config=importing_ours(JobConfig()),
        )
        if settings.dashboard and context.dashboard_url:
            token = os.environ.get("RAY_AUTH_TOKEN", "(none)")
            self.announce(f"Ray dashboard: http://{context.dashboard_url}  token: {token}")

    def _connect(self, address: str) -> None:
        try:
            context = ray.init(
                address=address,
                logging_level=logging.ERROR,
                log_to_driver=False,
                job_config=importing_ours(JobConfig()),
            )
        except Exception as error:
            raise InputError(f"cluster.address: no Ray cluster answers at {address!r}: {error}") from None
        self.announce(f"Ray cluster at {address}; dashboard: http://{context.dashboard_url or '(none)'}")


class Stuck(Exception):
    """A worker cannot work where it is: storage is away, or what it needs cannot be read there."""


class _TrialActor(tune.Trainable):
    """A worker as Tune knows it: a step is a rung. One process serves many trials (`reuse_actors`)."""

    _worker: TrialWorker | None = None
    _reports: Iterator[Report | Waiting | StartsAgain] | None = None

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
            if self._worker is None or storage_error(error):
                raise Stuck(why_failed(error)) from None  # no fault of the trial: Tune starts another worker
            return {"failed": why_failed(error)}
        if isinstance(report, Waiting):
            return {"waiting": report.reason}
        if isinstance(report, StartsAgain):
            return {"starts_again": report.reason}
        return {"report": report}

    def _work(self, settings: TrialSettings, job: Job) -> Iterator[Report | Waiting | StartsAgain]:
        if self._worker is None:
            self._worker = yield from patiently(lambda: TrialWorker(settings))
        yield from self._worker.run(job)

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Nothing for Tune to keep: the worker leaves its state in the run folder at each rung."""
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing either: a job goes on from the state in the run folder, on whatever node."""

    def _begin(self, config: dict[str, Any]) -> None:
        self._config = config
        self._reports = None


class _NotPickled:
    """Tune pickles searcher and scheduler into its scratch folder; ours are remade from the record."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _StrategySearcher(_NotPickled, Searcher):
    """Hands the strategy's jobs to Tune."""

    def __init__(self, strategy: Strategy, common: dict[str, Any], deaths: WorkerDeaths) -> None:
        super().__init__(metric="report", mode="max")
        self.strategy, self.common, self.deaths = strategy, common, deaths
        self.jobs: dict[str, Job] = {}
        self.trouble: Exception | None = None  # ours, to be raised again: Tune makes a text of it

    @contextmanager
    def ours(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.trouble = error
            raise

    def suggest(self, trial_id: str) -> Any:
        with self.ours():
            job = self.strategy.propose()
            if job is None:
                return Searcher.FINISHED if self.strategy.finished else None
            self.jobs[trial_id] = job
            return self.common | {"job": job}

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        if not error:
            return
        with self.ours():
            job, settings = self.jobs[trial_id], self.common["settings"]
            if stuck := self.deaths.stuck(job.key):
                raise timed_out(run_name(job), stuck, settings.run_folder)
            self.strategy.take_result(job.key, "failed", self.deaths.reason(job.key))

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
        """Called at each death of a trial's worker, before it is started anew or given up."""
        job = self.searcher.jobs[trial.trial_id]
        told = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
        self.say(f"{run_name(job)}: {self.searcher.deaths.add(job.key, told)}")

    def _answer(self, job: Job, result: dict[str, Any]) -> Any:
        if "waiting" in result:
            self.say_once(f"{run_name(job)}: waits: {result['waiting']}")
            return TrialScheduler.CONTINUE
        if "starts_again" in result:
            self.say(f"{run_name(job)}: trains again from step 0: {result['starts_again']}")
            return TrialScheduler.CONTINUE
        if "failed" in result:
            self.strategy.take_result(job.key, "failed", result["failed"])
            return TrialScheduler.STOP
        decision = self.strategy.judge(job.key, result["report"])
        if decision.word == "continue":
            return TrialScheduler.CONTINUE
        state = "halted" if decision.word == "halt" else "complete"
        self.strategy.take_result(job.key, state, decision.reason)  # type: ignore[arg-type]
        return TrialScheduler.STOP


def run_on_ray(
    strategy: Strategy, settings: TrialSettings, cluster: ClusterSettings, announce: Callable[[str], None]
) -> None:
    """Drive the strategy until it has finished, inside a `Cluster`.

    Ctrl-C returns early; what was running stays recorded as running.

    Raises:
        StorageAway: no worker could work, wherever it was started; its job is left as running.
    """
    common = {"settings": settings, "threads": cluster.threads_per_worker}
    searcher = _StrategySearcher(strategy, common, WorkerDeaths())
    scratch = Path(tempfile.mkdtemp(prefix="mdsearch-tune-"))
    resources = {"cpu": cluster.cpus_per_worker, "gpu": cluster.gpus_per_worker}
    tuner = tune.Tuner(
        tune.with_resources(_TrialActor, resources),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=_StrategyScheduler(searcher, announce),
            num_samples=-1,
            max_concurrent_trials=cluster.workers or _workers_that_fit(cluster),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=cluster.max_worker_deaths),
            # a worker that died while Tune saved a trial that had ended would have it run all over again
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    try:
        tuner.fit()
    except Exception:
        if searcher.trouble is not None:
            raise searcher.trouble from None
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _workers_that_fit(cluster: ClusterSettings) -> int:
    have = ray.cluster_resources()
    fit = int(have.get("CPU", 1) // cluster.cpus_per_worker)
    if cluster.gpus_per_worker:
        fit = min(fit, int(have.get("GPU", 0) // cluster.gpus_per_worker))
    if fit < 1:
        raise InputError(
            f"cluster: no worker fits: it has {have.get('CPU', 0):g} CPUs and {have.get('GPU', 0):g} GPUs, a "
            f"worker takes {cluster.cpus_per_worker:g} and {cluster.gpus_per_worker:g}"
        )
    return fit


class Gauges:
    """Progress as Ray metrics: `ray_mdsearch_*` at the node's metrics port and on the dashboard."""

    def __init__(self, objectives: Objectives) -> None:
        self.objectives = objectives
        self.trials = Gauge("mdsearch_trials", "Trials of the search by state", tag_keys=("state",))
        self.best = Gauge("mdsearch_best_score", "Best score of a complete trial", tag_keys=("score",))
        self.saved = Gauge("mdsearch_steps_saved", "Training steps saved by stopping trials early")

    def __call__(self, history: History) -> None:
        states = [trial.state for trial in history.trials]
        for state in ("running", "complete", "halted", "failed"):
            self.trials.set(states.count(state), tags={"state": state})
        complete = [trial for trial in history.trials if trial.state == "complete"]
        for objective in self.objectives:
            scores = [score for trial in complete if (score := trial.score(objective.name)) is not None]
            if scores:
                self.best.set(objective.best(scores), tags={"score": objective.name})
        stopped = [trial for trial in history.trials if trial.state == "halted"]
        self.saved.set(sum(trial.steps - trial.last_step for trial in stopped))
