"""One process, one job after the other; imports neither Ray nor Optuna nor Hydra."""

from __future__ import annotations

from collections.abc import Callable

from search.formats import run_name
from search.strategy import Job, Strategy
from search.trial_words import Said, StartsAgain
from search.worker import RungWorker, WorkerSettings
from space.shared.retries import StorageAway, Waiting, once, reason_of, resume_hint, storage_error, timed_out
from training.failures import why_failed


def run_inline(strategy: Strategy, settings: WorkerSettings, announce: Callable[[str], None] = print) -> None:
    """Drive the strategy until it has finished. Ctrl-C leaves the running job as running, to be gone on
    with by a resumed search.

    Raises:
        StorageAway: storage did not come back while a job waited for it; the job is left as running.
    """
    worker = settings.worker()
    say = once(announce)
    while (job := strategy.propose()) is not None:
        _run(worker, job, strategy, say)


def _run(worker: RungWorker, job: Job, strategy: Strategy, say: Callable[[str], None]) -> None:
    reports = worker.run(job)
    while True:
        try:
            report = next(reports, None)
        except Exception as error:  # a trial that fails is recorded, and the search goes on
            if trouble := storage_error(error):
                raise timed_out(run_name(job), reason_of(trouble), worker.run_folder) from None
            if isinstance(error, StorageAway):  # of the data, which has been waited for
                hint = resume_hint(worker.run_folder)
                raise StorageAway(f"{run_name(job)}: {error}; {hint}") from None
            strategy.take_result(job.key, "failed", why_failed(error))
            return
        if report is None:
            strategy.take_result(job.key, "complete")
            return
        if isinstance(report, Waiting):
            say(f"{run_name(job)}: waits: {report.reason}")
            continue
        if isinstance(report, StartsAgain):
            say(f"{run_name(job)}: trains again from step 0: {report.reason}")
            continue
        if isinstance(report, Said):
            say(f"{run_name(job)}: {report.text}")
            continue
        decision = strategy.judge(job.key, report)
        if decision.word == "halt":
            strategy.take_result(job.key, "halted", decision.reason)
            return
