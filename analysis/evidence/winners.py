"""Do the winners of searches come near MD, and what do they have in common if not?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
from scipy.stats import fisher_exact

from analysis.evidence.resampling import ERROR_RATE, bootstrap_interval, holm, share_interval
from analysis.evidence.text import Chapter, listed, markdown, missing, share_with_interval, with_interval
from analysis.findings import all_verdicts, confirmed
from analysis.replay.table import RecordedTable
from search.confirmation.leading import lead
from search.formats import counted, gmacs, label, millions
from search.objectives import Objective
from search.runs.compatibility import DECIDES_A_SCORE, field_differences
from search.runs.record import History
from search.statistics.pareto import Point
from search.statistics.verdicts import Interval, Verdict
from space.architecture import Architecture
from space.choices import Space
from space.difference import difference
from space.prices.macs import price
from space.shared.plain import InputError

_TITLE = "What searches found"
FEWEST_WINNERS = 4
CHOICES_SHOWN = 12


@dataclass(frozen=True)
class Winner:
    """Of one search: the network, in how many choices it differs from MD, the mean scores of all that its
    confirmation trained, by name, the verdicts on it against each reference, and in what its search measured
    otherwise than the table."""

    search: str
    trial: str
    architecture: Architecture
    distance: int | None
    scores: dict[str, Point]
    verdicts: tuple[Verdict, ...]
    otherwise: tuple[str, ...]


@dataclass(frozen=True)
class SharedChoice:
    """A value of a choice among the winners, and among the space-filling networks of the table."""

    choice: str
    value: Any
    winners: Interval
    space_filling: float
    counts: bool


@dataclass(frozen=True)
class Winners:
    """All winners; of those that are `alike` the mean distance from MD, beside that of the space-filling
    networks, and what they share."""

    winners: tuple[Winner, ...]
    distance: Interval | None
    space_filling_distance: float | None
    choices: int
    shared: tuple[SharedChoice, ...]

    @property
    def alike(self) -> tuple[Winner, ...]:
        return measured_alike(self.winners)


def winners_of(
    searches: Mapping[str, History],
    md: Architecture,
    space_filling: Sequence[Architecture],
    table: RecordedTable,
) -> Winners | None:
    """None where no search has a winner. `space_filling` are networks of the table that no search chose; the
    choices are those of its space."""
    space = table.space
    found = []
    for name, history in searches.items():
        leading = lead(history)
        if leading is None:
            continue
        network, trial = leading.winner.architecture, label(leading.winner.name)
        own = tuple(verdict for verdict in all_verdicts(history) if verdict.name == trial)
        scores = {label(each.name): each.mean for each in confirmed(history)}
        otherwise = tuple(field_differences(table.header, history.header, DECIDES_A_SCORE))
        found.append(Winner(name, trial, network, distance(network, md, space), scores, own, otherwise))
    if not found:
        return None
    alike = measured_alike(found)
    distances = [float(winner.distance) for winner in alike if winner.distance is not None]
    of_spread = [away for each in space_filling if (away := distance(each, md, space)) is not None]
    return Winners(
        tuple(found),
        bootstrap_interval(np.array(distances)[:, None], lambda samples: samples[:, :, 0].mean(axis=1)),
        fmean(of_spread) if of_spread else None,
        len(space.free()),
        tuple(
            shared_choices(
                [each.architecture for each in alike if each.distance is not None], space_filling, space
            )
        ),
    )


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
    winners: Sequence[Architecture], space_filling: Sequence[Architecture], space: Space
) -> list[SharedChoice]:
    """The value that most winners have of each choice, against how often it was sampled: Fisher's exact test,
    with all values and all choices counted (Bonferroni, Holm). The least likely first."""
    if len(winners) < FEWEST_WINNERS or not space_filling:
        return []
    ours, theirs = [space.encode(each) for each in winners], [space.encode(each) for each in space_filling]
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


# ---------------------------------------------------------------------- in words


def winners_chapter(patterns: Sequence[str], found: Winners | None, md: Architecture) -> Chapter:
    if found is None:
        names = " and ".join(f"`{pattern}`" for pattern in patterns)
        return missing(_TITLE, f"whole searches with stopping and confirmation (runs {names})")
    parts = [
        "Winners as each search named them, the mean scores and the verdicts of its own confirmation runs "
        "(new seeds, paired; FID as a share, below zero is better).",
        markdown([_row(winner, md) for winner in found.winners]),
        *_otherwise(found.winners),
        f"{_distance(found)}{_nearness(found)}",
    ]
    if found.shared:
        parts += [
            f"Which value of each choice most of {_whose(found)} have, with its exact 95 % interval, and how "
            "often the space-filling networks have it; a star where that stands with all choices counted "
            "(Holm, 5 %).",
            markdown([_shared_row(each) for each in found.shared[:CHOICES_SHOWN]]),
        ]
    else:
        parts.append(f"Not recorded yet: {FEWEST_WINNERS} searches with a winner, to say what they share.")
    return Chapter(_TITLE, tuple(parts), tuple(_findings(found)))


def _row(winner: Winner, md: Architecture) -> dict[str, str]:
    cost = price(winner.architecture)
    against = {verdict.against: verdict for verdict in winner.verdicts}
    changes = difference(md, winner.architecture)
    return {
        "search": winner.search,
        "winner": winner.trial,
        "size": f"{millions(cost.parameters)}, {gmacs(cost.gmacs)}",
        "choices other than MD's": "-" if winner.distance is None else str(winner.distance),
        "FID, CLIP": scores_text(winner.scores.get(winner.trial)),
        "of MD": scores_text(winner.scores.get("MD")),
        "of MD-Lite": scores_text(winner.scores.get("MD-Lite")),
        "against MD": verdict_text(against.get("MD"), "not confirmed"),
        "against MD-Lite": verdict_text(against.get("MD-Lite"), "not confirmed"),
        "how it differs from MD": "; ".join(changes),
    }


def _otherwise(winners: Sequence[Winner]) -> list[str]:
    """Which searches' scores do not compare with the table's, and why."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for winner in winners:
        groups.setdefault(winner.otherwise, []).append(f"`{winner.search}`")
    return [
        f"Measured otherwise than the table, so that their scores compare with each other only: "
        f"{listed(names)} (the table's first: {'; '.join(differences)})."
        for differences, names in groups.items()
        if differences
    ]


def scores_text(point: Point | None) -> str:
    return "-" if point is None else f"{point.fid:,.0f}, {point.clip:.3f}"


def verdict_text(verdict: Verdict | None, none: str) -> str:
    """better (FID -39%, -55% to -17%; CLIP ...; 1 seed); `none` where there is no verdict."""
    if verdict is None:
        return none
    parts = [
        _difference_text(objective, found)
        for objective, found in zip(verdict.objectives, verdict.differences, strict=True)
    ]
    parts += [*verdict.notes(), counted(verdict.seeds, "seed")]
    text = f"{verdict.word} ({'; '.join(parts)})"
    return text.replace("-", "\u2212")


def _difference_text(objective: Objective, found: Interval) -> str:
    middle, low, high = map(objective.difference_text, (found.middle, found.low, found.high))
    return f"{objective.label} {middle}, {f'{low} to {high}' if found.known else 'of unknown noise'}"


def _shared_row(each: SharedChoice) -> dict[str, str]:
    return {
        "choice": each.choice,
        "value": str(each.value).lower() if isinstance(each.value, bool) else str(each.value),
        "of the winners": share_with_interval(each.winners) + (" *" if each.counts else ""),
        "of the space-filling networks": f"{each.space_filling:.0%}",
    }


def _distance(found: Winners) -> str:
    text = (
        with_interval(found.distance, 1)
        if found.distance is not None
        else ", ".join(str(winner.distance) for winner in found.alike)
    )
    return f"Of {found.choices} choices {_whose(found)} differ from MD in {text}."


def _whose(found: Winners) -> str:
    left_out = len(found.winners) - len(found.alike)
    return f"the {len(found.alike)} winners measured as the table was" if left_out else "the winners"


def _findings(found: Winners) -> list[str]:
    groups: dict[str, list[Winner]] = {}
    for winner in found.winners:
        groups.setdefault(winner.search.rpartition("-")[0] or winner.search, []).append(winner)
    lines = []
    for group, winners in groups.items():
        said = [winner.verdicts for winner in winners]
        both = share_interval(sum(map(_is_better_than_both, winners)), len(winners))
        lines.append(
            f"Of {len(winners)} searches `{group}` the winners are, in their confirmation, against MD: "
            f"{tally(said, 'MD')}; against MD-Lite: {tally(said, 'MD-Lite')}. Better than both: "
            f"{share_with_interval(both)}."
        )
    lines.append(f"{_distance(found)}{_nearness(found)}")
    common = [f"{each.choice} = {each.value}" for each in found.shared if each.counts]
    if common:
        lines.append(f"Winners have more often than chance: {listed(common)}.")
    elif found.shared:
        lines.append("No single choice is shared by the winners more often than chance, with all counted.")
    return lines


def tally(verdicts: Sequence[Sequence[Verdict]], against: str) -> str:
    """Of winners, each with its verdicts: 4 better, 1 not confirmed."""
    words = [verdict.word for own in verdicts for verdict in own if verdict.against == against]
    parts = [f"{words.count(word)} {word}" for word in dict.fromkeys(words)]
    unconfirmed = len(verdicts) - len(words)
    return ", ".join([*parts, *([f"{unconfirmed} not confirmed"] if unconfirmed else [])])


def _is_better_than_both(winner: Winner) -> bool:
    better = {verdict.against for verdict in winner.verdicts if verdict.word == "better"}
    return better >= {"MD", "MD-Lite"}


def _nearness(found: Winners) -> str:
    if found.space_filling_distance is None or found.distance is None:
        return ""
    space_filling = f"networks of the space-filling design in {found.space_filling_distance:.1f}"
    if found.distance.high < found.space_filling_distance:
        return f" They are nearer to it than {space_filling}."
    if found.distance.low > found.space_filling_distance:
        return f" They are further from it than {space_filling}."
    return f" They are no nearer to it, beyond chance, than {space_filling}."
