"""`mdsearch compare`: several searches side by side, as a table and as a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analysis.comparison.runs import check_runs_comparable, read_runs, winners_verdicts
from analysis.comparison.table import comparison_table
from analysis.split import split_of_run, split_sentence
from conf.compose import compose
from conf.words import divided
from space.shared.console import command_console
from space.shared.plain import InputError, from_plain


@dataclass(frozen=True)
class CompareSettings:
    """Which runs, and the file that the page goes to."""

    runs: tuple[str, ...] = ()
    out: str = "compare.html"


def main(words: list[str]) -> int:
    named, chosen = divided(words)
    settings = from_plain(CompareSettings, compose("compare", chosen))
    folders = [*settings.runs, *named]
    runs = read_runs([Path(folder).expanduser() for folder in folders])
    check_runs_comparable(runs)
    out = Path(settings.out).expanduser()
    if not out.parent.is_dir():
        raise InputError(f"out: {out.parent} is no folder; name a file in one that is there")
    from analysis.comparison.page import write_comparison
    from analysis.comparison.sections import sentence

    command_console().print(comparison_table(runs))
    for verdict in winners_verdicts(runs):
        print(f"{sentence(verdict)}.")
    for run in runs:
        if (split := split_of_run(run.history)) is not None:
            print(f"{run.name}, best split: {split_sentence(split)}.")
    try:
        print(f"\ncomparison: {write_comparison(runs, out)}")
    except OSError as error:
        raise InputError(f"out: {out} cannot be written: {error.strerror}") from None
    return 0
