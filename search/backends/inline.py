"""One process, one job after the other; imports neither Ray nor Optuna nor Hydra."""

from __future__ import annotations

from search.strategy import Job, Strategy
from search.trial import TrialSettings, TrialWorker, why_failed


def run_inline(strategy: Strategy, settings: TrialSettings) -> None:
    """Drive the strategy until it has finished. Ctrl-C leaves the running job as running, to be gone on
    with by a resumed search."""
    worker = TrialWorker(settings)
    while (job := strategy.propose()) is not None:
        _run(worker, job, strategy)


def _run(worker: TrialWorker, job: Job, strategy: Strategy) -> None:
    try:
        for report in worker.run(job):
            decision = strategy.judge(job.key, report)
            if decision.word == "halt":
                strategy.take_result(job.key, "halted", decision.reason)
                return
    except Exception as error:  # a trial that fails is recorded, and the search goes on
        strategy.take_result(job.key, "failed", why_failed(error))
        return
    strategy.take_result(job.key, "complete")
