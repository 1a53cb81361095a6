"""`mdsearch search`: one search, or one for each combination of a sweep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from conf.words import expand
from mdsearch.api import any_settings_of, run_search
from space.shared.command_lines import command_line, setting_word, typed_line
from space.shared.console import command_console
from space.shared.plain import InputError

if TYPE_CHECKING:
    from search.run import RunResult
    from search.subjects import AnySearchSettings


def main(words: list[str]) -> int:
    if any(word in ("-m", "--multirun") for word in words):
        return _sweep([word for word in words if word not in ("-m", "--multirun")])
    return search_or_plan(*any_settings_of(words))


def search_or_plan(settings: AnySearchSettings, overrides: list[str]) -> int:
    """One search, or its plan."""
    if settings.dry_run:
        return _print_plan(settings)
    return _finish(run_search(settings, overrides))


def _sweep(words: list[str]) -> int:
    """One search for each combination of a sweep; all are checked before the first starts."""
    from analysis.comparison.runs import protocol_differences, read_runs
    from analysis.comparison.table import comparison_table
    from search.backends.connection import RayConnection
    from search.subjects import subject_of

    combinations = expand(words)
    planned = [any_settings_of(overrides)[0] for overrides in combinations]
    for settings in planned:
        if settings.resume is not None:
            raise InputError("resume: one run at a time; leave out -m")
        if not settings.dry_run:
            subject_of(settings).check()
    if any(settings.dry_run for settings in planned):
        status = 0
        for settings, overrides in zip(planned, combinations, strict=True):
            if settings.format == "text":
                print(f"\n=== {typed_line('search', overrides)}", flush=True)
            status = max(status, _print_plan(settings))
        return status
    searches = [any_settings_of(overrides) for overrides in _named(combinations, planned)]
    folders, status = [], 0
    with RayConnection() as ray:
        for settings, overrides in searches:
            print(f"\n=== {typed_line('search', overrides)}", flush=True)
            result = run_search(settings, overrides, ray)
            folders.append(result.folder)
            status = max(status, _finish(result))
            if result.interrupted:
                break
    runs = read_runs(folders)
    command_console().print(comparison_table(runs))
    if len(runs) > 1 and not protocol_differences(runs):
        print(f"\nas a page: {command_line('compare', *folders)}")
    return status


def _print_plan(settings: AnySearchSettings) -> int:
    """1 where the search would not begin."""
    from mdsearch.plans import print_plan
    from search.decoders.plan import decoder_plan
    from search.plan import search_plan
    from search.settings import SearchSettings

    plan = search_plan(settings) if isinstance(settings, SearchSettings) else decoder_plan(settings)
    return print_plan(plan, settings.format)


def _named(combinations: list[list[str]], planned: list[AnySearchSettings]) -> Iterator[list[str]]:
    """The words of each search, with a name of its own."""
    from search.runs.folder import new_folder

    stamp = None
    for number, (words, settings) in enumerate(zip(combinations, planned, strict=True), 1):
        if settings.name is None and stamp is None:
            stamp = new_folder(Path(settings.runs_folder), f"-{number}").name.removesuffix(f"-{number}")
        name = setting_word("name", f"{settings.name or stamp}-{number}")
        yield [*(word for word in words if not word.startswith("name=")), name]


def _finish(result: RunResult) -> int:
    from analysis.findings import reruns
    from analysis.tables import result_table
    from search.runs.commands import count_stops_command, longer_command
    from search.runs.files import BEST_NAME
    from search.runs.header import searches_decoders

    command_console().print(result_table(result.history))
    print(f"\nreport: {result.report}")
    if result.best is not None:
        best = result.folder / BEST_NAME
        print(f"winner: {best}")
        print(f"train it for longer: {longer_command(result.folder, result.history)}")
    stopped = any(trial.state == "halted" for trial in result.history.trials)
    if stopped and not reruns(result.history) and not searches_decoders(result.history.header):
        print(f"count how many were stopped wrongly: {count_stops_command(result.folder)}")
    if result.interrupted:
        return 130
    return 0 if result.best is not None else 1
