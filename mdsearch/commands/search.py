"""`mdsearch search`: one search, or one for each combination of a sweep."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from rich.console import Console

from conf.words import expand
from mdsearch.api import run_search, settings_of
from space.shared.plain import InputError

if TYPE_CHECKING:
    from search.run import RunResult


def main(words: list[str]) -> int:
    if any(word in ("-m", "--multirun") for word in words):
        return _sweep([word for word in words if word not in ("-m", "--multirun")])
    from search.plan import plan_text

    settings, overrides = settings_of(words)
    if settings.dry_run:
        print(plan_text(settings))
        return 0
    return _finish(run_search(settings, overrides))


def _sweep(words: list[str]) -> int:
    """One search for each combination of a sweep; all are checked before the first starts."""
    from analysis.comparison.runs import protocol_differences, read_runs
    from analysis.comparison.table import comparison_table
    from search.backends.connection import RayConnection
    from search.plan import check, plan_text

    combinations = expand(words)
    stamp = time.strftime("search-%Y%m%d-%H%M%S")
    searches = []
    for number, overrides in enumerate(combinations, 1):
        settings, _ = settings_of(overrides)
        if settings.resume is not None:
            raise InputError("resume: one run at a time; leave out -m")
        name = f"name={settings.name or stamp}-{number}"
        searches.append(settings_of([*(word for word in overrides if not word.startswith("name=")), name]))
        check(searches[-1][0])
    if any(settings.dry_run for settings, _ in searches):
        for settings, overrides in searches:
            print(f"\n=== {' '.join(overrides)}\n{plan_text(settings)}", flush=True)
        return 0
    folders, status = [], 0
    with RayConnection() as ray:
        for settings, overrides in searches:
            print(f"\n=== {' '.join(overrides)}", flush=True)
            result = run_search(settings, overrides, ray)
            folders.append(result.folder)
            status = max(status, _finish(result))
            if result.interrupted:
                break
    runs = read_runs(folders)
    Console().print(comparison_table(runs))
    if len(runs) > 1 and not protocol_differences(runs):
        print(f"\nas a page: {shlex.join(['mdsearch', 'compare', *map(str, folders)])}")
    return status


def _finish(result: RunResult) -> int:
    from analysis.tables import result_table

    Console().print(result_table(result.history))
    print(f"\nreport: {result.report}")
    if result.best is not None:
        best = result.folder / "best.yaml"
        print(f"winner: {best}")
        print(f"train it for longer: {shlex.join(['mdsearch', 'train', f'arch_file={best}'])}")
    if result.interrupted:
        return 130
    return 0 if result.best is not None else 1
