"""Do the winners of searches come near MD, and what do they have in common if not?

The others are networks that no search chose: the table's space-filling ones, or all of a small space.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
from scipy.stats import fisher_exact

from analysis.evidence.resampling import ERROR_RATE, bootstrap_interval, chance_apart, holm, share_interval
from analysis.findings import Savings, all_verdicts, confirmed, steps_saved
from analysis.replay.table import RecordedTable
from search.confirmation.leading import lead
from search.formats import label
from search.runs.compatibility import DECIDES_A_SCORE, field_differences
from search.runs.record import History
from search.samplers.grid import GridSampler, GridSettings
from search.statistics.pareto import Point
from search.statistics.verdicts import Interval, Verdict
from space.architecture import Architecture
from space.budget import Budget
from space.candidates import as_unet
from space.choices import Space
from space.prices.macs import price
from space.shared.plain import InputError

FEWEST_WINNERS = 4


@dataclass(frozen=True)
class Winner:
    """Of one search, with its seed: the network, in how many choices it differs from MD, the mean scores of
    all that its confirmation trained, by name, the verdicts on it against each reference, how many trials its
    search completed and stopped and what that saved, and in what it measured otherwise than the table."""

    search: str
    seed: int
    trial: str
    architecture: Architecture
    distance: int | None
    scores: dict[str, Point]
    verdicts: tuple[Verdict, ...]
    complete: int
    stopped: int
    saved: Savings
    otherwise: tuple[str, ...]


@dataclass(frozen=True)
class SharedChoice:
    """A value of a choice among the winners, and among the others."""

    choice: str
    value: Any
    winners: Interval
    others: float
    counts: bool


@dataclass(frozen=True)
class Winners:
    """All winners; of those that are `alike` the mean distance from MD, beside that of the others and how
    likely so many of these are as far apart from their mean, and what they share. `counted` are these: those
    of one seed that won with one network once, since they proposed alike."""

    winners: tuple[Winner, ...]
    distance: Interval | None
    others_distance: float | None
    chance: float | None
    choices: int
    counted: int
    shared: tuple[SharedChoice, ...]

    @property
    def alike(self) -> tuple[Winner, ...]:
        return measured_alike(self.winners)


def winners_of(
    searches: Mapping[str, History],
    md: Architecture,
    others: Sequence[Architecture],
    table: RecordedTable,
    space: Space,
) -> Winners | None:
    """None where no search has a winner. `others` are networks that no search chose; the choices are those
    of the `space`; the table's protocol is what scores compare with."""
    found = []
    for name, history in searches.items():
        leading = lead(history)
        if leading is None:
            continue
        network, trial = as_unet(leading.winner.architecture), label(leading.winner.name)
        own = tuple(verdict for verdict in all_verdicts(history) if verdict.name == trial)
        scores = {label(each.name): each.mean for each in confirmed(history)}
        otherwise = tuple(field_differences(table.header, history.header, DECIDES_A_SCORE))
        states = [trial.state for trial in history.trials]
        found.append(
            Winner(
                name,
                history.header["seed"],
                trial,
                network,
                distance(network, md, space),
                scores,
                own,
                states.count("complete"),
                states.count("halted"),
                steps_saved(history.trials),
                otherwise,
            )
        )
    if not found:
        return None
    alike = measured_alike(found)
    of_others = [away for each in others if (away := distance(each, md, space)) is not None]
    apart = {(each.architecture.id, each.seed): each for each in alike if each.distance is not None}
    distances = [winner.distance for winner in apart.values() if winner.distance is not None]
    return Winners(
        tuple(found),
        bootstrap_interval(
            np.array(distances, dtype=np.float64)[:, None], lambda samples: samples[:, :, 0].mean(axis=1)
        ),
        fmean(of_others) if of_others else None,
        chance_apart(distances, of_others) if distances and of_others else None,
        len(space.free()),
        len(apart),
        tuple(shared_choices([each.architecture for each in apart.values()], others, space)),
    )


def networks_within(space: Space, budget: Budget) -> list[Architecture]:
    """Every network that fits the budget, once; none of a space too large to go through."""
    most = GridSettings().most_combinations
    if space.encodings > most:
        return []
    every = (as_unet(proposal.architecture) for proposal in GridSampler(0, most).proposals(space, [], 0))
    return [each for each in every if not budget.excess(price(each))]


def measured_alike(winners: Sequence[Winner]) -> tuple[Winner, ...]:
    """Those measured as the table was; all, if none was."""
    return tuple(winner for winner in winners if not winner.otherwise) or tuple(winners)


def distance(one: Architecture, other: Architecture, space: Space) -> int | None:
    """In how many choices of the space two networks differ, inactive ones left out; None where
    one is not a point of it."""
    try:
        ours, theirs = space.encode(one), space.encode(other)
    except InputError:
        return None
    unused = space.ignored(one) & space.ignored(other)
    return sum(ours[name] != theirs[name] for name in ours if name not in unused)


def shared_choices(
    winners: Sequence[Architecture], others: Sequence[Architecture], space: Space
) -> list[SharedChoice]:
    """The value that most winners have of each choice, against how often it was sampled: Fisher's exact test,
    with all values and all choices counted (Bonferroni, Holm). The least likely first."""
    if len(winners) < FEWEST_WINNERS or not others:
        return []
    ours, theirs = [space.encode(each) for each in winners], [space.encode(each) for each in others]
    found, p_values = [], []
    for name, values in space.free().items():
        counts = Counter(each[name] for each in ours)
        value = max(values, key=lambda value: counts[value])
        count, known = counts[value], sum(each[name] == value for each in theirs)
        shared = share_interval(count, len(ours))
        assert shared is not None
        found.append(SharedChoice(name, value, shared, known / len(theirs), False))
        cells = [[count, len(ours) - count], [known, len(theirs) - known]]
        p_values.append(min(1.0, len(values) * float(fisher_exact(cells, alternative="greater").pvalue)))
    adjusted = holm(p_values)
    order = sorted(range(len(found)), key=lambda at: p_values[at])
    return [replace(found[at], counts=adjusted[at] <= ERROR_RATE) for at in order]
