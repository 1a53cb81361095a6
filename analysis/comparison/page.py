"""The page that lays runs side by side: one file, as report.html is, made from their records alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.comparison import sections
from analysis.comparison.runs import Run
from analysis.report.html import Section, body, html_page
from space.shared.files import write_whole

SECTIONS = (
    Section("sections/headline.html", sections.comparison_headline),
    Section("ledgers.html", sections.ledgers_section),
    Section("settings.html", sections.settings_section),
    Section("fronts.html", sections.fronts_section),
    Section("winners.html", sections.winners_section),
    Section("splits.html", sections.splits_section),
    Section("progress.html", sections.progress_section),
    Section("verdicts.html", sections.verdicts_by_run_section),
)


def write_comparison(runs: Sequence[Run], path: Path) -> Path:
    """Write the page about runs of one protocol, whole or not at all; returns its path."""
    title = f"{', '.join(run.name for run in runs)}: searches compared"
    content = body(SECTIONS, runs, package="analysis.comparison")
    return write_whole(path, html_page(title, content, "the runs' records"))
