"""What replays came to: a figure per seed, and tables of their means and ratios."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
from scipy.special import ndtr, stdtrit

from analysis.evidence.sources import mean_run_seconds
from analysis.evidence.text import share_with_interval, with_interval
from analysis.replay.table import RecordedTable
from analysis.replay.tries import Replayed, Truth
from search.statistics.verdicts import Interval

DEFAULT, BASE = "our default", "random, no stopping"
ORACLES = {"oracle at the first rung": None, "oracle at a quarter": 0.25}  # where they stop, in full lengths
BOOTSTRAPS_OF_DRAWS, INTERVAL_LEVEL = 4000, 0.95


@dataclass
class StrategyFigures:
    """Of one strategy, a figure per seed. Steps count in full lengths.

    Attributes:
        draws: which draw of networks the seed replayed.
        steps, minutes: until a network of the truly best was complete. Where all of those were stopped
            (`never`), what was spent and then what it takes on average to train stopped networks to full
            length, in random order, until one of them is: (stopped + 1) / (top + 1) networks.
        place: of the network that would be named after each budget, 1 for the best.
        within: whether the truly best are not known to beat it, by the noise of single runs.
    """

    draws: list[int] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    minutes: list[float] = field(default_factory=list)
    never: list[bool] = field(default_factory=list)
    place: dict[float, list[float]] = field(default_factory=dict)
    within: dict[float, list[bool]] = field(default_factory=dict)
    top_tried: list[int] = field(default_factory=list)
    top_stopped: list[int] = field(default_factory=list)
    trials: list[int] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)

    def add(
        self,
        replayed: Replayed,
        table: RecordedTable,
        truth: Truth,
        within: Collection[str],
        budgets: Sequence[float],
        draw: int = 0,
    ) -> None:
        full = table.rungs[-1]
        self.draws.append(draw)
        self.never.append(math.isinf(replayed.steps_to_top))
        if self.never[-1]:
            again = (replayed.stopped + 1) / (len(truth.top) + 1)
            self.steps.append(replayed.steps_spent / full + again)
            self.minutes.append((replayed.usage.wall + again * mean_run_seconds(table)) / 60)
        else:
            self.steps.append(replayed.steps_to_top / full)
            self.minutes.append(replayed.seconds_to_top / 60)
        self.top_tried.append(replayed.top_tried)
        self.top_stopped.append(replayed.top_stopped)
        self.trials.append(replayed.trials)
        self.stopped.append(replayed.stopped)
        for budget in budgets:
            done = sum(steps <= budget * full for steps in replayed.steps)
            named = replayed.named[done - 1] if done else None
            place = len(table.runs) if named is None else truth.place[named] + 1
            self.place.setdefault(budget, []).append(place)
            self.within.setdefault(budget, []).append(named in within)

    def extend(self, other: StrategyFigures) -> None:
        """By the figures of further seeds."""
        for name in ("draws", "steps", "minutes", "never", "top_tried", "top_stopped", "trials", "stopped"):
            getattr(self, name).extend(getattr(other, name))
        for name in ("place", "within"):
            for budget, values in getattr(other, name).items():
                getattr(self, name).setdefault(budget, []).extend(values)

    def by_draw(self, values: Sequence[float]) -> list[float]:
        """A figure per seed as one per draw: the mean over its seeds."""
        of: dict[int, list[float]] = {}
        for draw, value in zip(self.draws, values, strict=True):
            of.setdefault(draw, []).append(value)
        return [fmean(each) for each in of.values()]


def oracle(base: Sequence[float], stops_at: float) -> list[float]:
    """Steps of who knows the truth: tries what random without stopping tries, and stops all but the top."""
    return [(steps - 1) * stops_at + 1 for steps in base]


# ---------------------------------------------------------------------- figures with intervals


def figure(of: Callable[..., np.ndarray], *columns: Sequence[float]) -> Interval:
    """A statistic of columns with a row per draw, and its 95 % interval by the bootstrap: whole rows are
    resampled, so that what a draw does to all strategies alike stays alike.

    Percentiles of 4,000 resamples, at levels widened for few rows as Student's t widens the normal
    (Hesterberg, What Teachers Should Know About the Bootstrap, 2015). `of` takes arrays (..., S) and reduces
    the last axis.
    """
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    rows = len(arrays[0])
    resampled = np.random.default_rng(0).integers(rows, size=(BOOTSTRAPS_OF_DRAWS, rows))
    values = of(*(array[resampled] for array in arrays))
    below = ndtr(math.sqrt(rows / (rows - 1)) * stdtrit(rows - 1, (1 - INTERVAL_LEVEL) / 2))
    low, high = np.quantile(values, [below, 1 - below])
    return Interval(float(of(*arrays)), float(low), float(high))


def mean(values: np.ndarray) -> np.ndarray:
    return values.mean(axis=-1)


def ratio_of_means(base: np.ndarray, own: np.ndarray) -> np.ndarray:
    return base.mean(axis=-1) / own.mean(axis=-1)


def ratio_of_sums(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    sums = whole.sum(axis=-1)
    return part.sum(axis=-1) / np.where(sums > 0, sums, 1)


def quartiles_text(values: Sequence[float]) -> str:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def word_for_ratio(ratio: Interval) -> str:
    """Whether our default needs fewer steps than another, by the interval of their ratio."""
    return "ahead" if ratio.low > 1 else "behind" if ratio.high < 1 else "undecided"


# ---------------------------------------------------------------------- tables


def steps_rows(found: Mapping[str, StrategyFigures], first_rung: float) -> list[dict[str, str]]:
    """A row a strategy: how soon, and how many times sooner than random without stopping."""
    base, ours = found[BASE], found[DEFAULT]
    rows = []
    for name, one in found.items():
        times = figure(ratio_of_means, base.by_draw(base.steps), one.by_draw(one.steps))
        against = figure(ratio_of_means, one.by_draw(one.steps), ours.by_draw(ours.steps))
        of_top = figure(ratio_of_sums, one.by_draw(one.top_stopped), one.by_draw(one.top_tried))
        rows.append(
            {
                "strategy": name,
                "steps to the top: mean": with_interval(figure(mean, one.by_draw(one.steps)), 1),
                "median (quartiles)": quartiles_text(one.steps),
                "never": f"{sum(one.never)}",
                "times fewer than random": with_interval(times),
                "by time": with_interval(
                    figure(ratio_of_means, base.by_draw(base.minutes), one.by_draw(one.minutes))
                ),
                "of the top: tried": f"{sum(one.top_tried)}",
                "stopped": share_with_interval(of_top),
                "our default is": ""
                if one is ours
                else f"{word_for_ratio(against)}: {with_interval(against)}",
            }
        )
    for name, stops_at in ORACLES.items():
        if stops_at == first_rung:
            continue  # the row before it
        own = oracle(base.steps, first_rung if stops_at is None else stops_at)
        times = figure(ratio_of_means, base.by_draw(base.steps), base.by_draw(own))
        shown = {
            "strategy": name,
            "steps to the top: mean": with_interval(figure(mean, base.by_draw(own)), 1),
            "median (quartiles)": quartiles_text(own),
            "times fewer than random": with_interval(times),
        }
        rows.append({column: shown.get(column, "") for column in rows[0]})
    return rows


def gain_rows(
    found: Mapping[str, StrategyFigures], without: Mapping[str, str], first_rung: float
) -> list[dict[str, str]]:
    """A row for each strategy that stops, beside the same without stopping: `without` names it; and beside
    what an oracle would gain, which stops all of its proposals but the top at the first rung."""
    rows = []
    for name, base in ((name, found[other]) for name, other in without.items()):
        one = found[name]
        times = figure(ratio_of_means, base.by_draw(base.steps), one.by_draw(one.steps))
        of_top = figure(ratio_of_sums, one.by_draw(one.top_stopped), one.by_draw(one.top_tried))
        own = oracle(base.steps, first_rung)
        rows.append(
            {
                "strategy": name,
                "without stopping": with_interval(figure(mean, base.by_draw(base.steps)), 1),
                "with": with_interval(figure(mean, one.by_draw(one.steps)), 1),
                "times fewer": with_interval(times),
                "an oracle's, at the first rung": with_interval(
                    figure(ratio_of_means, base.by_draw(base.steps), base.by_draw(own))
                ),
                "stopped, of all trials": share_with_interval(
                    figure(ratio_of_sums, one.by_draw(one.stopped), one.by_draw(one.trials))
                ),
                "of the top": share_with_interval(of_top),
            }
        )
    return rows


def quality_rows(found: Mapping[str, StrategyFigures], budgets: Sequence[float]) -> list[dict[str, str]]:
    """A row a strategy: what the search would name after equal training."""
    rows = []
    for name, one in found.items():
        row = {"strategy": name}
        for budget in budgets:
            row[f"place after {budget:g}"] = with_interval(figure(mean, one.by_draw(one.place[budget])), 1)
            within = figure(mean, one.by_draw(one.within[budget]))
            row[f"within noise after {budget:g}"] = share_with_interval(within)
        rows.append(row)
    return rows


def plain_of(found: Mapping[str, StrategyFigures]) -> dict[str, Any]:
    """Everything, a figure per seed, for machines."""
    return {
        name: {
            "draw": one.draws,
            "full_lengths_to_top": one.steps,
            "minutes_to_top": one.minutes,
            "never": one.never,
            "place": {f"{budget:g}": places for budget, places in one.place.items()},
            "within_noise": {f"{budget:g}": found for budget, found in one.within.items()},
            "top_tried": one.top_tried,
            "top_stopped": one.top_stopped,
            "trials": one.trials,
            "stopped": one.stopped,
        }
        for name, one in found.items()
    }
