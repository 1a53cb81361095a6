"""A backend of one process and no training, for strategies with a shared network."""

from __future__ import annotations

from collections.abc import Callable

from search.strategy import Job, Report, Strategy


def drive(
    strategy: Strategy, report_of: Callable[[Job, int], Report], most_reports: int | None = None
) -> list[Job]:
    """All jobs that were proposed; stops dead after so many reports, and elsewhere at the end."""
    jobs, reported = [], 0
    while (job := strategy.propose()) is not None:
        jobs.append(job)
        for step in job.rungs:
            if reported == most_reports:
                return jobs
            reported += 1
            if strategy.judge(job.key, report_of(job, step)).word == "end":
                strategy.take_result(job.key, "complete")
    assert strategy.finished
    return jobs
