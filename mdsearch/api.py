"""What a notebook does with searches: start them with the words of a command line, and read what they said.

What takes seconds to import is imported where it is needed: words that cannot be used are refused before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf.compose import compose
from conf.words import as_entries, as_text, as_typed, path_of

if TYPE_CHECKING:
    from search.backends.connection import RayConnection
    from search.run import RunResult
    from search.settings import SearchSettings

SEARCH_TEXTS = ("name", "runs_folder", "cache_folder", "data.folder", "data.captions")


def search(*overrides: str) -> RunResult:
    """Run one search, as `mdsearch search <overrides>` does; returns where it is and what it says.

    For example `search("budget=md_lite", "trials=6", "name=lite").best`.

    Raises:
        InputError: for overrides that cannot be used, before anything starts.
    """
    return run_search(*settings_of(overrides))


def settings(*overrides: str) -> SearchSettings:
    """The settings of a search, resolved from the words of a command line.

    Raises:
        InputError: an override that cannot be used.
    """
    return settings_of(overrides)[0]


def run_search(
    settings: SearchSettings, overrides: Sequence[str] = (), ray: RayConnection | None = None
) -> RunResult:
    """Search, confirm, report: the run folder holds all that `mdsearch search` leaves there. `overrides` are
    the words that the settings were made of; `mdsearch search resume=...` starts from them. `ray` is that of
    several searches in turn.

    Raises:
        InputError: for settings that cannot work, before anything starts.
    """
    from analysis.live import STANDARD
    from search import run

    return run.run_search(settings, list(overrides), STANDARD, ray)


def settings_of(overrides: Sequence[str]) -> tuple[SearchSettings, list[str]]:
    """Settings, and the words that they are made of: a resumed search starts from its own first words."""
    words = list(overrides)
    resume = path_of(words, "resume")
    if resume is not None:
        from search.runs.folder import stored_overrides

        before = stored_overrides(resume)
        plain, words = _composed(words, before), [*before, *words]
    else:
        plain = _composed(words)
    from search.settings import settings_from_plain

    return settings_from_plain(plain), words


def read_run(folder: str | Path) -> RunResult:
    """What a run folder says, as the search that made it returned it; interrupted while any of its trials has
    not ended.

    Raises:
        InputError: it is no run folder.
    """
    from search.run import RunResult
    from search.runs.files import REPORT_NAME
    from search.runs.record import read_history

    folder = Path(folder)
    history, report = read_history(folder), folder / REPORT_NAME
    unfinished = any(trial.state == "running" for trial in history.by_key.values())
    return RunResult(folder, history, report if report.is_file() else None, unfinished)


def _composed(words: Sequence[str], before: Sequence[str] = ()) -> dict[str, Any]:
    return compose("search", _as_meant(words), before=_as_meant(before))


def _as_meant(words: Sequence[str]) -> list[str]:
    return as_entries(as_typed(as_text(words, ["resume"]), SEARCH_TEXTS), "weights.files")
