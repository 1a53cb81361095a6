"""`python -m search.confirm [runs/a]`: more seeds and more steps for the winners of a run that has ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.live import STANDARD
from analysis.tables import result_table
from conf.compose import compose, divided, help_text
from search.confirmation.confirmation import ConfirmationSettings
from search.run import run_search
from search.runs.folder import latest_run, stored_overrides, stored_settings
from search.runs.record import read_history
from search.settings import SearchSettings
from space.shared.plain import InputError, from_plain

INTRO = """
Race the best of a finished run again, with new seeds beside MD and MD-Lite: seeds go to the comparisons that
they should decide, until all is clear or the time is over; then say better, worse, mixed, equivalent or
undecided. Runs that were done already count, and are not repeated.
"""
EXAMPLES = (
    "python -m search.confirm                            the latest run, ten minutes",
    "python -m search.confirm best=3 minutes=30          three finalists, half an hour",
    "python -m search.confirm runs/lite steps=1600       four times as long: a race of its own",
    "python -m search.confirm runs=40 minutes=null       until 40 runs are recorded",
    "python -m search.confirm best=0 references=[] halted=99 minutes=null   count wrong stops",
)


def main(words: list[str]) -> int:
    if any(word in ("-h", "--help") for word in words):
        print(help_text("confirm", INTRO, EXAMPLES))
        return 0
    runs, chosen = divided(words)
    plain: dict[str, Any] = compose("confirm", chosen)
    runs_folder, run = plain.pop("runs_folder"), plain.pop("run")
    named = [run] * (run is not None) + runs
    if len(named) > 1:
        raise InputError(f"run: {', '.join(named)}: allowed: one run at a time")
    folder = Path(named[0]) if named else latest_run(Path(runs_folder).expanduser())
    confirmation = from_plain(ConfirmationSettings, plain)
    stored = stored_settings(folder)
    trials = read_history(folder).trials
    unfinished = [trial.number for trial in trials if trial.state == "running"]
    if not trials:
        raise InputError(f"{folder}: has no trial to confirm; first: python -m search resume={folder}")
    if unfinished:
        raise InputError(
            f"{folder}: trials {unfinished} have not ended; first: python -m search resume={folder}"
        )
    settings: SearchSettings = replace(
        stored, confirmation=confirmation, resume=str(folder), trials=len(trials)
    )
    result = run_search(settings, stored_overrides(folder), STANDARD)
    Console().print(result_table(result.history))
    print(f"\nreport: {result.report}")
    return 130 if result.interrupted else 0
