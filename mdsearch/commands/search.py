"""`python -m search`, installed as `mdsearch`: the door of a search."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from conf.compose import as_entries, compose, expand, help_text
from space.shared.plain import InputError

if TYPE_CHECKING:
    from search.run import RunResult
    from search.settings import SearchSettings

INTRO = """
Search an architecture: a sampler proposes networks of a space within a hard budget, workers train them
for a short while under a proxy, slow ones are stopped early, the best are confirmed, and a report is
written. Without any word: the default search, some ten minutes on two CPU cores.

  python -m search [name=value ...]          one search
  python -m search -m name=value,value ...   one search for each combination, then a table that compares
  python -m search resume=runs/<name>        go on with an interrupted search
"""
EXAMPLES = (
    "python -m search budget=md_lite name=lite",
    "python -m search budget.gmacs=120 trials=24            your own budget",
    "python -m search space.levels.level_3.channels=[1024]  pin a choice",
    "python -m search enqueue=[md,mine.yaml]                try these first",
    "python -m search -m budget=md,md_lite sampler=tpe,random",
    "python -m search cluster=existing cluster.address=auto backend=ray",
    "python -m search evaluators=custom data=folder data.folder=photos    by Inception and CLIP ViT-B/32",
    "python -m search dry_run=true                          what would happen, and what it costs",
)


def main(words: list[str]) -> int:
    if any(word in ("-h", "--help") for word in words):
        print(help_text("search", INTRO, EXAMPLES))
        return 0
    if any(word in ("-m", "--multirun") for word in words):
        return _several([word for word in words if word not in ("-m", "--multirun")])
    from analysis.live import STANDARD
    from search.plan import plan_text
    from search.run import run_search

    settings, overrides = settings_of(words)
    if settings.dry_run:
        print(plan_text(settings))
        return 0
    return _finish(run_search(settings, overrides, STANDARD))


def settings_of(words: list[str]) -> tuple[SearchSettings, list[str]]:
    """Settings from the words of a command line; a resumed search starts from its own first words."""
    from search.runs.folder import stored_overrides
    from search.settings import settings_from_plain

    plain = _composed(words)
    if plain["resume"] is None:
        return settings_from_plain(plain), words
    overrides = [*stored_overrides(Path(str(plain["resume"]))), *words]
    return settings_from_plain(_composed(overrides)), overrides


def _composed(words: list[str]) -> dict[str, Any]:
    return compose("search", as_entries(words, "weights.files"))


def _several(words: list[str]) -> int:
    """One search for each combination of a sweep; all are checked before the first starts."""
    from analysis.comparison.runs import protocol_differences, read_runs
    from analysis.live import STANDARD
    from mdsearch.commands.compare import comparison_table
    from search.plan import check, plan_text
    from search.run import run_search

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
    for settings, overrides in searches:
        print(f"\n=== {' '.join(overrides)}", flush=True)
        result = run_search(settings, overrides, STANDARD)
        folders.append(result.folder)
        status = max(status, _finish(result))
        if result.interrupted:
            break
    runs = read_runs(folders)
    Console().print(comparison_table(runs))
    if len(runs) > 1 and not protocol_differences(runs):
        print(f"\nas a page: python -m search.compare {' '.join(map(str, folders))}")
    return status


def _finish(result: RunResult) -> int:
    from analysis.tables import result_table

    Console().print(result_table(result.history))
    print(f"\nreport: {result.report}")
    if result.best is not None:
        print(f"winner: {result.folder / 'best.yaml'}")
        print(f"train it for longer: python -m training arch_file={result.folder / 'best.yaml'}")
    if result.interrupted:
        return 130
    return 0 if result.best is not None else 1
