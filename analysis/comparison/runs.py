"""Several runs side by side: what they differ in, how they went, and whose winner is better, if any is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Literal

from analysis.findings import steps_saved
from search.confirmation.leading import Lead, lead
from search.latency import lists_differ
from search.objectives import Objectives
from search.runs.compatibility import abridged, protocol_difference, setting_text
from search.runs.header import noise_of, objectives_of, references_of
from search.runs.record import History, Trial, read_history
from search.runs.scores import point_of, within_noise
from search.statistics.noise import Noise
from search.statistics.pareto import Point, hypervolume
from search.statistics.verdicts import Evidence, Interval, confirmation_runs, confirmed_trials
from space.budget import LATENCY
from space.shared.plain import InputError, flat

FEWEST_OBJECTIVES = 2
# what a header says beside settings, or what every run has its own of
NO_SETTINGS = frozenset({"event", "time", "name", "overrides", "protocol", "version"})


@dataclass(frozen=True)
class Run:
    """A run folder and what its record says, under a name that no other run of the comparison has."""

    folder: Path
    name: str
    history: History

    @cached_property
    def lead(self) -> Lead | None:
        return lead(self.history)

    @property
    def winner(self) -> Trial | None:
        return self.lead.winner if self.lead else None


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs, in order.

    Raises:
        InputError: a folder without a record, or one that is named twice.
    """
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise InputError(f"{folder}: named twice; a run does not compare with itself")
    histories = [read_history(folder) for folder in folders]
    names = [str(h.header.get("name") or f.name) for f, h in zip(folders, histories, strict=True)]
    return [
        Run(folder, name if names.count(name) == 1 else str(folder), history)
        for folder, name, history in zip(folders, names, histories, strict=True)
    ]


def protocol_differences(runs: Sequence[Run]) -> list[str]:
    """Why the scores of these runs do not compare, if they don't: a line a field and run."""
    return [
        f"{runs[0].name} and {other.name} differ in {difference}"
        for other in runs[1:]
        for difference in protocol_difference(runs[0].history, other.history)
    ]


def check_runs_comparable(runs: Sequence[Run]) -> None:
    """
    Raises:
        InputError: fewer than two runs, or runs of different protocols, naming what differs.
    """
    if len(runs) < 2:
        raise InputError("runs: a comparison needs two run folders or more")
    found = protocol_differences(runs)
    if len(objectives_of_all(runs)) < FEWEST_OBJECTIVES and not found:
        found = ["budget.prices: milliseconds of different price lists"]
    if found:
        raise InputError(f"scores of different protocols do not compare: {'; '.join(abridged(found))}")


def objectives_of_all(runs: Sequence[Run]) -> Objectives:
    """Those that decided in every one of the runs; milliseconds only where all are of the same lists."""
    first, *others = (objectives_of(run.history) for run in runs)
    other_lists = any(lists_differ(runs[0].history.header, run.history.header) for run in runs)
    return tuple(
        each
        for each in first
        if all((each, each.exact) in [(one, one.exact) for one in other] for other in others)
        and not (other_lists and each.name == LATENCY)
    )


def settings_that_differ(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Dotted name -> the value in each run, of the recorded settings that are not equal in all."""
    fields = [
        dict(flat({name: value for name, value in run.history.header.items() if name not in NO_SETTINGS}))
        for run in runs
    ]
    values = {
        name: [setting_text(known.get(name)) for known in fields]
        for known in fields
        for name in sorted(known)
    }
    return {name: said for name, said in values.items() if len(set(said)) > 1}


# ---------------------------------------------------------------------- how a run went


@dataclass(frozen=True)
class RunLedger:
    """Counts of a run. `steps` were trained by the search, `saved` spared by stopping."""

    complete: int
    stopped: int
    failed: int
    running: int
    over_budget: int
    duplicates: int
    prior: int
    steps: int
    saved: int
    search_seconds: float
    confirm_seconds: float


def ledger(history: History) -> RunLedger:
    states = Counter(trial.state for trial in history.trials)
    refused = Counter(rejection.kind for rejection in history.rejections)
    return RunLedger(
        states["complete"],
        states["halted"],
        states["failed"],
        states["running"],
        refused["budget"],
        refused["duplicate"],
        len(history.prior),
        sum(trial.last_step for trial in history.trials),
        steps_saved(history.trials).steps,
        sum(trial.seconds for trial in history.trials),
        sum(trial.seconds for trial in history.confirmations),
    )


@dataclass(frozen=True)
class Moment:
    """What a search had found when a trial ended, and what it had spent until then, on trials that had ended.

    `best` holds the best value of each objective; `area` is the hypervolume, in FID x CLIP, that the complete
    trials dominate of the untrained network's.
    """

    trials: int
    steps: int
    seconds: float
    best: tuple[float, ...]
    area: float


def progress(history: History, objectives: Objectives) -> list[Moment]:
    """Best so far, from the first complete trial on, in the order in which trials ended."""
    start = history.start_scores
    untrained = Point(tuple(start.get(objective.name, 0.0) for objective in objectives), objectives)
    ended = sorted((t for t in history.trials if t.state != "running"), key=lambda t: (t.ended, t.number))
    front: list[Point] = []
    moments: list[Moment] = []
    steps, seconds, area = 0, 0.0, 0.0
    for count, trial in enumerate(ended, 1):
        steps, seconds = steps + trial.last_step, seconds + trial.seconds
        point = point_of(trial, objectives) if trial.state == "complete" else None
        if point is not None and not any(known.dominates(point) or known == point for known in front):
            front = [known for known in front if not point.dominates(known)] + [point]
            area = hypervolume(front, untrained)
        if front:
            columns = zip(*(known.values for known in front), strict=True)
            best = (each.best(values) for each, values in zip(objectives, columns, strict=True))
            moments.append(Moment(count, steps, seconds, tuple(best), area))
    return moments


# ---------------------------------------------------------------------- winners

WinnersWord = Literal["better", "worse", "mixed", "equivalent", "no worse", "undecided", "the same network"]


@dataclass(frozen=True)
class WinnersVerdict:
    """A run's winner against another run's. `seeds` 0: by the search's own single runs, which flatter both,
    since winners are chosen for them; then there is no interval."""

    run: Run
    against: Run
    word: WinnersWord
    seeds: int = 0
    steps: int = 0
    differences: tuple[Interval, ...] = ()


def winners_verdicts(runs: Sequence[Run]) -> list[WinnersVerdict]:
    """Every pair of runs that have a winner: by confirmation runs with equal seeds and steps where there are
    any, or else by one run of each."""
    with_winner = [run for run in runs if run.winner is not None]
    noise = widest_noise(with_winner)
    if noise is None:
        return []
    evidence, objectives = _evidence(runs, noise), objectives_of_all(runs)
    return [_verdict(one, other, objectives, noise, evidence) for one, other in combinations(with_winner, 2)]


def widest_noise(runs: Sequence[Run]) -> Noise | None:
    """The noise that the runs state, at full length; the larger figure where they differ."""
    stated = [(noise, run) for run in runs if (noise := noise_of(run.history)) is not None]
    if not stated:
        return None
    at = [noise.at((run.history.header.get("rungs") or [0])[-1]) for noise, run in stated]
    by_all = set.intersection(*(set(rung.others) for rung in at))
    widest = replace(
        at[0],
        fid_relative=max(rung.fid_relative for rung in at),
        clip=max(rung.clip for rung in at),
        others={name: max(rung.others[name] for rung in at) for name in by_all},
    )
    noises = [noise for noise, _ in stated]
    return replace(
        noises[0],
        rungs=(widest,),
        deviations=max(noise.deviations for noise in noises),
        degrees_of_freedom=min(noise.degrees_of_freedom for noise in noises),
    )


def _evidence(runs: Sequence[Run], noise: Noise) -> list[Evidence]:
    """All confirmation runs, longest first, by the network's id: one network that several runs confirmed with
    one seed was trained the same, and counts once."""
    trials = [
        replace(trial, name=trial.architecture.id)
        for run in runs
        for trial in confirmed_trials(run.history, references_of(run.history))
    ]
    by_steps = confirmation_runs(trials, objectives_of_all(runs))
    return [Evidence(networks, steps, noise) for steps, networks in by_steps.items()]


def _verdict(
    one: Run, other: Run, objectives: Objectives, noise: Noise, evidence: Sequence[Evidence]
) -> WinnersVerdict:
    ours, theirs = one.winner, other.winner
    assert ours is not None and theirs is not None
    if ours.architecture.id == theirs.architecture.id:
        return WinnersVerdict(one, other, "the same network")
    for each in evidence:
        found = each.verdict(ours.architecture.id, theirs.architecture.id)
        if found is not None:
            return WinnersVerdict(one, other, found.word, found.seeds, found.steps, found.differences)
    unbeaten = within_noise([ours, theirs], objectives, noise)
    if len(unbeaten) == 2:
        return WinnersVerdict(one, other, "undecided")
    return WinnersVerdict(one, other, "better" if unbeaten[0] is ours else "worse")
