"""What is made of a run's record while it goes on, and once more when it has ended: the table of its trials,
the report, and the study for Optuna's dashboard. Every command that searches attaches these."""

from __future__ import annotations

from pathlib import Path

from search.runs.record import History
from search.runs.results import Listener

# Imported inside, by the thread that writes: what they need takes a second, and the search need not wait.


def write_table(folder: Path, history: History, *, running: bool) -> None:
    """trials.csv and rungs.csv."""
    from analysis.tables import write_tables

    write_tables(folder, history)


def write_page(folder: Path, history: History, *, running: bool) -> None:
    """report.html, which loads itself again while the search runs."""
    import pandas  # noqa: F401  (whole: plotly takes it as it is, and another thread may be half way)

    from analysis.report import write_report

    write_report(folder, running=running, history=history)


def write_study(folder: Path, history: History, *, running: bool) -> None:
    """study.db."""
    from analysis.study import sync_study
    from search.runs.header import objectives_of, space_of

    sync_study(folder, history, space_of(history), objectives_of(history))


STANDARD: tuple[Listener, ...] = (write_table, write_page, write_study)
