"""What a record shows beside the ranking: spread against noise, steps saved, time by kind, importances.

Plain numbers from a `History`; `search/report` draws them, `search/tables.py` and `compare.py` print some.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, pstdev
from typing import Any

from search.formats import label
from search.runs.header import noise_of, objectives_of, references_of
from search.runs.record import History, Trial
from search.runs.scores import point_of
from search.statistics.noise import Noise, RungNoise
from search.statistics.pareto import Point, fronts, mean_point
from search.statistics.verdicts import Verdict, verdicts

LEAST_TRIALS_FOR_IMPORTANCES = 8
MOST_TRIALS_FOR_IMPORTANCES = 100  # the latest: a regression on more says the same, slower
SHUFFLES = 2


# ---------------------------------------------------------------------- confirmation


def all_verdicts(history: History) -> list[Verdict]:
    """Every confirmed trial against every reference point, then against each other, under the names that
    people read."""
    noise = noise_of(history)
    if noise is None:
        return []
    found = verdicts(history, objectives_of(history), noise, references_of(history))
    return [replace(v, name=label(v.name), against=label(v.against)) for v in found]


@dataclass(frozen=True)
class Confirmed:
    """The complete confirmation runs of one network at one length."""

    name: str
    steps: int
    runs: tuple[Trial, ...]
    points: tuple[Point, ...]

    @property
    def mean(self) -> Point:
        return mean_point(self.points)


def confirmed(history: History) -> list[Confirmed]:
    """Confirmation runs by network and steps; reruns of halted trials are `reruns`, not here."""
    objectives, rerun = objectives_of(history), {trial.key for trial, _, _ in reruns(history)}
    groups: dict[tuple[str, int], list[tuple[Trial, Point]]] = {}
    for trial in history.confirmations:
        point = point_of(trial, objectives)
        if trial.state == "complete" and point is not None and trial.key not in rerun:
            groups.setdefault((trial.name, trial.last_step), []).append((trial, point))
    return [
        Confirmed(name, steps, tuple(trial for trial, _ in runs), tuple(point for _, point in runs))
        for (name, steps), runs in groups.items()
    ]


def reruns(history: History) -> list[tuple[Trial, Point, bool]]:
    """Halted trials that were trained again to full length: the run, where it came out, and whether it was
    halted wrongly, which is to say would have joined the Pareto front of the complete trials."""
    objectives = objectives_of(history)
    halted = {trial.name for trial in history.trials if trial.state == "halted"}
    complete = [
        point
        for trial in history.trials
        if trial.state == "complete" and (point := point_of(trial, objectives)) is not None
    ]
    return [
        (trial, point, not any(other.dominates(point) for other in complete))
        for trial in history.confirmations
        if trial.name in halted
        and trial.state == "complete"
        and (point := point_of(trial, objectives)) is not None
    ]


# ---------------------------------------------------------------------- stopping, time, refusals


@dataclass(frozen=True)
class Savings:
    """Training steps that halting spared, of those that all ended trials would have taken."""

    steps: int
    of_steps: int

    @property
    def share(self) -> float:
        return self.steps / self.of_steps if self.of_steps else 0.0


def steps_saved(trials: Sequence[Trial]) -> Savings:
    ended = [trial for trial in trials if trial.state in ("complete", "halted")]
    return Savings(
        sum(trial.steps - trial.last_step for trial in ended if trial.state == "halted"),
        sum(trial.steps for trial in ended),
    )


def seconds_by_kind(history: History) -> dict[str, tuple[float, float]]:
    """Worker seconds by kind of work, most first: of the search, and of the confirmation."""
    search: Counter[str] = Counter()
    confirm: Counter[str] = Counter()
    for trial in history.by_key.values():
        for rung in trial.rungs:
            (search if trial.purpose == "search" else confirm).update(rung.seconds)
    kinds = sorted({*search, *confirm}, key=lambda kind: -(search[kind] + confirm[kind]))
    return {kind: (float(search[kind]), float(confirm[kind])) for kind in kinds}


def refusals(history: History) -> dict[str, int]:
    """Proposals that became no trial, counted by what was wrong with them."""

    def kind_of(kind: str, reason: str) -> str:
        if kind == "duplicate":
            return "a network tried before"
        bounds = re.findall(r"[\d.]+ (?:M )?([^>;]+?) >", reason)
        return f"over budget in {' and '.join(bounds)}" if bounds else "over budget"

    return dict(Counter(kind_of(r.kind, r.reason) for r in history.rejections).most_common())


# ---------------------------------------------------------------------- spread against noise


@dataclass(frozen=True)
class Spread:
    """How much candidates differ at a rung, beside what the seed alone does. FID as a share of the FID."""

    step: int
    trials: int
    fid_median: float
    fid_relative: float
    clip_median: float
    clip: float
    noise: RungNoise
    fid_pairs: float
    clip_pairs: float


def spreads(history: History) -> list[Spread]:
    """The spread of the search's trials at each rung that two of them reached."""
    noise, objectives = noise_of(history), objectives_of(history)
    if noise is None:
        return []
    points: dict[int, list[Point]] = {}
    for trial in history.trials:
        for rung in trial.rungs:
            fid, clip = rung.scores.get(objectives[0].name), rung.scores.get(objectives[1].name)
            if fid is not None and clip is not None:
                points.setdefault(rung.step, []).append(Point.of(fid, clip))
    return [_spread(step, points[step], noise) for step in sorted(points) if len(points[step]) > 1]


def _spread(step: int, points: Sequence[Point], noise: Noise) -> Spread:
    at, fids, clips = noise.at(step), [p.fid for p in points], [p.clip for p in points]
    bound = noise.deviations * 2**0.5  # of a difference between two runs, in standard deviations of one
    half = bound * at.fid_relative / 2  # |a - b| > bound (a + b) / 2 is a > b (1 + half) / (1 - half)
    ratio = (1 + half) / (1 - half) if half < 1 else float("inf")
    return Spread(
        step,
        len(points),
        median(fids),
        pstdev(fids) / fmean(fids) if fmean(fids) else 0.0,
        median(clips),
        pstdev(clips),
        at,
        _share_of_pairs(fids, lambda value: value * ratio),
        _share_of_pairs(clips, lambda value: value + bound * at.clip),
    )


def _share_of_pairs(values: Sequence[float], reach: Any) -> float:
    """The share of pairs whose larger value lies beyond what the smaller one reaches."""
    ordered, count = sorted(values), len(values)
    beyond = sum(count - max(bisect_right(ordered, reach(value)), i + 1) for i, value in enumerate(ordered))
    return beyond / (count * (count - 1) / 2)


# ---------------------------------------------------------------------- importances


@dataclass(frozen=True)
class Importances:
    """Shares of the variance that each choice explains (fANOVA), by objective, the largest sum first.

    `chance` is the largest share that any choice reached when the scores were shuffled, a mean over
    `SHUFFLES`: what lies below it says nothing.
    """

    trials: int
    fid: dict[str, float]
    clip: dict[str, float]
    fid_chance: float
    clip_chance: float


def importances(history: History) -> Importances | None:
    """What the choices explain of the complete trials' scores; None for too few trials."""
    objectives = objectives_of(history)
    scored = [
        (trial.params, point)
        for trial in history.trials
        if trial.state == "complete" and trial.params and (point := point_of(trial, objectives)) is not None
    ][-MOST_TRIALS_FOR_IMPORTANCES:]
    params = [params for params, _ in scored]
    names = [
        name
        for name in (params[0] if params else {})
        if all(name in drawn for drawn in params) and len({drawn[name] for drawn in params}) > 1
    ]
    if len(scored) < LEAST_TRIALS_FOR_IMPORTANCES or not names:
        return None
    drawn = [{name: values[name] for name in names} for values in params]
    fids, clips = [point.fid for _, point in scored], [point.clip for _, point in scored]
    fid, clip = _explained(drawn, fids), _explained(drawn, clips)
    order = sorted(names, key=lambda name: -(fid[name] + clip[name]))
    return Importances(
        len(scored),
        {name: fid[name] for name in order},
        {name: clip[name] for name in order},
        _explained_by_chance(drawn, fids),
        _explained_by_chance(drawn, clips),
    )


def _explained_by_chance(params: Sequence[dict[str, Any]], values: Sequence[float]) -> float:
    generator = random.Random(0)
    return fmean(
        max(_explained(params, generator.sample(values, len(values))).values()) for _ in range(SHUFFLES)
    )


def _explained(params: Sequence[dict[str, Any]], values: Sequence[float]) -> dict[str, float]:
    """fANOVA of one objective. Each choice counts as its place among its values in order."""
    import optuna
    from optuna.distributions import BaseDistribution, IntDistribution
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    if len(set(values)) == 1:
        return dict.fromkeys(params[0], 0.0)
    places = {
        name: {value: place for place, value in enumerate(sorted({drawn[name] for drawn in params}))}
        for name in params[0]
    }
    domains: dict[str, BaseDistribution] = {
        name: IntDistribution(0, len(place) - 1) for name, place in places.items()
    }
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study()
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={name: places[name][chosen] for name, chosen in drawn.items()},
                    distributions=dict(domains),
                    value=value,
                )
                for drawn, value in zip(params, values, strict=True)
            ]
        )
        found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(n_trees=24, seed=0))
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {name: float(found.get(name, 0.0)) for name in params[0]}


def pareto_front(history: History) -> list[tuple[Trial, Point]]:
    """The complete trials that no other dominates, by rising FID."""
    objectives = objectives_of(history)
    scored = [
        (trial, point)
        for trial in history.trials
        if trial.state == "complete" and (point := point_of(trial, objectives)) is not None
    ]
    ranks = fronts([point for _, point in scored])
    front = [pair for pair, rank in zip(scored, ranks, strict=True) if rank == 0]
    return sorted(front, key=lambda pair: (pair[1].fid, pair[0].number))
