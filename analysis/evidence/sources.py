"""Which recorded runs say what: the table, repeats, pairs, longer training, searches, a bigger proxy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from analysis.replay.table import RecordedTable, table_of
from search.runs.bundle import Bundled, of_names
from search.runs.record import History, Trial

SPACE_FILLING = ("sobol", "random", "grid")


@dataclass(frozen=True)
class Roles:
    """Patterns of names of runs: those of the table, all of one protocol; the same networks trained longer;
    whole searches; the same networks under a bigger proxy; networks of the paper's own search; whole
    searches of its space; sound networks under other proxies (`proxy-<name>-seed-<n>[-<any>]`), and under
    the longer and larger training that these are held against."""

    table: tuple[str, ...]
    long: tuple[str, ...]
    searches: tuple[str, ...]
    bigger: tuple[str, ...]
    paper: tuple[str, ...] = ()
    paper_searches: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecordedEvidence:
    """What was recorded, by role; None or empty where nothing of full length was.

    `spread` are the networks of the table that a space-filling sampler proposed: not enqueued, not made for a
    pair, not favoured by any score.
    """

    runs: tuple[Bundled, ...]
    histories: Mapping[str, History]
    roles: Roles
    table: RecordedTable | None
    long: RecordedTable | None
    bigger: RecordedTable | None
    paper: RecordedTable | None
    proxies: Mapping[str, RecordedTable]
    reference: RecordedTable | None
    searches: Mapping[str, History]
    spread: frozenset[str]

    def of_role(self, patterns: Sequence[str]) -> dict[str, History]:
        return of_names(self.histories, patterns)

    @property
    def others(self) -> list[str]:
        """Runs that have no role."""
        patterns = [
            *self.roles.table,
            *self.roles.long,
            *self.roles.searches,
            *self.roles.bigger,
            *self.roles.paper,
            *self.roles.paper_searches,
            *self.roles.proxies,
            *self.roles.reference,
        ]
        known = of_names(self.histories, patterns)
        return [name for name in self.histories if name not in known]


def evidence_of(runs: Iterable[Bundled], roles: Roles) -> RecordedEvidence:
    """Raises InputError where runs of one role were measured differently."""
    runs = tuple(runs)
    histories = {run.name: run.history for run in runs}
    of_table = of_names(histories, roles.table)
    table = complete_table(of_table)
    spread = {
        trial.architecture.id for history in of_table.values() for trial in space_filling_trials(history)
    }
    return RecordedEvidence(
        runs,
        histories,
        roles,
        table,
        complete_table(of_names(histories, roles.long)),
        complete_table(of_names(histories, roles.bigger)),
        complete_table(of_names(histories, roles.paper)),
        _tables_of(by_proxy(of_names(histories, roles.proxies))),
        complete_table(of_names(histories, roles.reference)),
        of_names(histories, roles.searches),
        frozenset(spread & table.runs.keys()) if table else frozenset(),
    )


def space_filling_trials(history: History) -> list[Trial]:
    """Trials that the sampler proposed, where it favours no region."""
    if history.header.get("sampler", {}).get("name") not in SPACE_FILLING:
        return []
    return [trial for trial in history.trials if trial.source != "enqueued"]


def worker_seconds(histories: Iterable[History]) -> float:
    """What workers spent: training and evaluation, finished or not."""
    return sum(trial.seconds for trial in all_trials(histories))


def mean_run_seconds(table: RecordedTable) -> float:
    """Of a worker, for a run of full length."""
    seconds = [run.seconds for runs in table.runs.values() for run in runs]
    return sum(seconds) / len(seconds)


def all_trials(histories: Iterable[History]) -> Iterator[Trial]:
    for history in histories:
        yield from [*history.trials, *history.confirmations]


def times(history: History) -> tuple[float, float]:
    """When the first run began and the last ended, as far as it is recorded: seconds since 1970."""
    trials = list(all_trials([history]))
    begun = min((trial.started for trial in trials), default=inf)
    return begun, max((max(trial.started, trial.ended) for trial in trials), default=begun)


def proxy_name(run: str) -> str:
    """`tokens` of proxy-tokens-seed-0, and of proxy-tokens-seed-0-more, with further networks."""
    return re.sub(r"-seed-\d+(-.*)?$", "", run).removeprefix("proxy-")


def by_proxy(histories: Mapping[str, History]) -> dict[str, dict[str, History]]:
    """The runs of each proxy, by its name."""
    groups: dict[str, dict[str, History]] = {}
    for name, history in histories.items():
        groups.setdefault(proxy_name(name), {})[name] = history
    return groups


def _tables_of(groups: Mapping[str, Mapping[str, History]]) -> dict[str, RecordedTable]:
    """Of those of which something was trained to its end."""
    tables = {name: complete_table(histories) for name, histories in groups.items()}
    return {name: table for name, table in tables.items() if table is not None}


def complete_table(histories: Mapping[str, History]) -> RecordedTable | None:
    """Of the runs of which something was trained to its end; None where nothing was. Raises InputError where
    they were measured differently."""
    used = {
        name: history
        for name, history in histories.items()
        if any(trial.state == "complete" for trial in all_trials([history]))
    }
    return table_of(used) if used else None
