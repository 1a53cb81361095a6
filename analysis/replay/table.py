"""Recorded training runs as a table: what a replay trains instead of networks."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from search.objectives import Objectives
from search.runs.bundle import histories_of
from search.runs.compatibility import protocol_difference
from search.runs.header import noise_here, objectives_of_header
from search.runs.record import History, Rung
from search.statistics.noise import Noise
from search.strategy import Job, Report
from space.architecture import Architecture
from space.budget import Budget
from space.candidates import as_unet
from space.choices import Space
from space.proxy import Proxy
from space.shared.plain import InputError, from_plain, nearest
from space.shared.seeds import numbered_seed


@dataclass(frozen=True)
class RecordedRun:
    """One training run of full length, evaluated at every rung."""

    architecture: Architecture
    seed: int
    rungs: tuple[Rung, ...]
    origin: str

    @property
    def seconds(self) -> float:
        return sum(sum(rung.seconds.values()) for rung in self.rungs)


@dataclass(frozen=True)
class RecordedTable:
    """Recorded runs of one protocol, by the architectures' ids; an architecture has one or more seeds.

    `stopped` are runs that ended early: recorded up to there, and of no use to a replay unless something
    fills the gap. `left_out` says what else of the sources could not be used.
    """

    header: dict[str, Any]
    start_scores: dict[str, float]
    runs: dict[str, tuple[RecordedRun, ...]]
    stopped: tuple[RecordedRun, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def rungs(self) -> tuple[int, ...]:
        return tuple(self.header["rungs"])

    @property
    def objectives(self) -> Objectives:
        return objectives_of_header(self.header)

    @cached_property
    def space(self) -> Space:
        space: Space = from_plain(Space, self.header["space"])
        return space

    @cached_property
    def budget(self) -> Budget:
        budget: Budget = from_plain(Budget, self.header["budget"])
        return budget

    @property
    def proxy(self) -> Proxy:
        proxy: Proxy = from_plain(Proxy, self.header["proxy"])
        return proxy

    @property
    def noise(self) -> Noise:
        """Of the protocol of the table."""
        return noise_here(self.header)

    @property
    def architectures(self) -> list[Architecture]:
        return [runs[0].architecture for runs in self.runs.values()]

    @cached_property
    def candidates(self) -> tuple[tuple[Architecture, dict[str, Any]], ...]:
        """The recorded architectures that are points of the space and fit the budget, with their choices."""
        found = []
        for architecture in self.architectures:
            try:
                params = self.space.encode(architecture)
            except InputError:
                continue
            if not self.budget.excess(architecture):
                found.append((architecture, params))
        return tuple(found)

    def run(self, job: Job, seed: int) -> Iterator[Report]:
        """What a job reports, from one recorded run of its architecture; `seed` chooses among several.

        Rungs that the job leaves out still cost their training.

        Raises:
            InputError: the architecture is not in the table.
        """
        runs = self.runs.get(job.architecture.id)
        if runs is None:
            raise InputError(f"architecture {job.architecture.id} is not among the {len(self.runs)} recorded")
        chosen = random.Random(numbered_seed(seed, job.architecture.id, 0)).choice(runs)
        training = 0.0
        for rung in chosen.rungs:
            training += rung.seconds.get("training", 0.0)
            if rung.step in job.rungs:
                yield Report(rung.step, rung.scores, rung.seconds | {"training": training})
                training = 0.0


def load_table(sources: Sequence[str]) -> RecordedTable:
    """The runs of these run folders and bundles (`search.runs.bundle`), searched and confirmed, as one table.

    Raises:
        InputError: no sources, one without a record, protocols that differ, or nothing of full length.
    """
    if not sources:
        raise InputError("runs: empty; allowed: one run folder or more")
    return table_of(histories_of(sources))


def table_of(histories: Mapping[str, History]) -> RecordedTable:
    """The same of records by their names. Raises InputError as `load_table` does."""
    first_name, first = next(iter(histories.items()))
    runs: dict[str, list[RecordedRun]] = {}
    stopped: list[RecordedRun] = []
    left_out: list[str] = []
    for name, history in histories.items():
        different = protocol_difference(first, history)
        if different:
            raise InputError(
                f"{first_name} and {name} were measured differently, so their curves cannot be one "
                f"table: {'; '.join(different)}"
            )
        for trial in [*history.trials, *history.confirmations]:
            run = RecordedRun(
                as_unet(trial.architecture),
                trial.seed,
                tuple(trial.rungs),
                f"{Path(name).name}/{trial.key}",
            )
            reached = tuple(rung.step for rung in trial.rungs)
            rungs = tuple(first.header["rungs"])
            if trial.state == "complete" and reached == rungs:
                _add(runs.setdefault(trial.architecture.id, []), run)
            elif trial.state == "halted" and reached and reached == rungs[: len(reached)]:
                stopped.append(run)
            else:
                left_out.append(f"{run.origin}: {trial.state}, evaluated at steps {list(reached)}")
    if not runs:
        raise InputError(f"runs: no run of full length, evaluated at every rung, in {', '.join(histories)}")
    return RecordedTable(
        first.header,
        first.start_scores,
        {key: tuple(found) for key, found in runs.items()},
        tuple(stopped),
        tuple(left_out),
    )


def _add(runs: list[RecordedRun], run: RecordedRun) -> None:
    """A seed counts once: the same training, done again, says nothing new."""
    if run.seed not in {known.seed for known in runs}:
        runs.append(run)


def check_rungs(rungs: Sequence[int], table: RecordedTable) -> None:
    """A replay may leave rungs out, but not the last: there recorded runs end, and a learning rate may have
    fallen towards it.

    Raises:
        InputError: naming what was recorded.
    """
    for step in rungs:
        if step not in table.rungs:
            raise InputError(
                f"rungs: nothing was recorded at step {step}; {nearest(str(step), map(str, table.rungs))}"
            )
    if list(rungs) != sorted(set(rungs)):
        raise InputError(f"rungs: {list(rungs)} do not rise; allowed: some of {list(table.rungs)}, in order")
    if not rungs or rungs[-1] != table.rungs[-1]:
        raise InputError(f"rungs: {list(rungs)} must end with {table.rungs[-1]}, where the recorded runs end")
