"""What searches found, in words: their winners, how far these are from MD, and what they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.evidence.resampling import ERROR_RATE, share_interval
from analysis.evidence.text import Chapter, listed, markdown, missing, share_with_interval, with_interval
from analysis.evidence.winners import FEWEST_WINNERS, SharedChoice, Winner, Winners
from search.formats import counted, gmacs, millions
from search.objectives import Objective
from search.statistics.pareto import Point
from search.statistics.verdicts import Interval, Verdict
from space.architecture import Architecture
from space.difference import difference
from space.prices.macs import price

CHOICES_SHOWN = 12
LEAST_SAID = 0.001  # of a chance: the others are a sample


@dataclass(frozen=True)
class SearchesChapter:
    """One chapter's title, and what its winners are held against."""

    title: str
    others: str


WHOLE_SEARCHES = SearchesChapter("What searches found", "networks of the space-filling design")
PAPER_SEARCHES = SearchesChapter(
    "Where the paper's own searches end", "all networks of the space in the budget"
)


def winners_chapter(
    patterns: Sequence[str], found: Winners | None, md: Architecture, about: SearchesChapter = WHOLE_SEARCHES
) -> Chapter:
    if found is None:
        names = " and ".join(f"`{pattern}`" for pattern in patterns)
        return missing(about.title, f"whole searches with stopping and confirmation (runs {names})")
    parts = [
        "Winners as each search named them, the mean scores and the verdicts of its own confirmation runs "
        "(new seeds, paired; FID as a share, below zero is better).",
        markdown([_row(winner, md) for winner in found.winners]),
        *_otherwise(found.winners),
        f"{_distance(found)}{_nearness(found, about.others)}",
    ]
    if found.shared:
        parts += [
            f"Which value of each choice most of {_whose(found)} have{_once(found)}, with its exact 95 % "
            f"interval, and how often {about.others} have it; a star where that stands with all choices "
            "counted (Holm, 5 %).",
            markdown([_shared_row(each, about.others) for each in found.shared[:CHOICES_SHOWN]]),
        ]
    else:
        needed = f"{FEWEST_WINNERS} winners of other seeds or networks"
        parts.append(f"Not recorded yet: {needed}, to say what they share.")
    return Chapter(about.title, tuple(parts), tuple(_findings(found, about.others)))


def _row(winner: Winner, md: Architecture) -> dict[str, str]:
    cost = price(winner.architecture)
    against = {verdict.against: verdict for verdict in winner.verdicts}
    changes = difference(md, winner.architecture)
    return {
        "search": winner.search,
        "winner": winner.trial,
        "size": f"{millions(cost.parameters)}, {gmacs(cost.gmacs)}",
        "complete, stopped": f"{winner.complete}, {winner.stopped} (saved {winner.saved.share:.0%})",
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


def _shared_row(each: SharedChoice, others: str) -> dict[str, str]:
    return {
        "choice": each.choice,
        "value": str(each.value).lower() if isinstance(each.value, bool) else str(each.value),
        "of the winners": share_with_interval(each.winners) + (" *" if each.counts else ""),
        f"of {others}": f"{each.others:.0%}",
    }


def _distance(found: Winners) -> str:
    text = ", ".join(str(winner.distance) for winner in found.alike)
    if found.distance is not None:
        equal = found.distance.low == found.distance.high
        text = f"{found.distance.middle:g} each" if equal else with_interval(found.distance, 1)
    return f"Of {found.choices} choices {_whose(found)}{_once(found)} differ from MD in {text}."


def _whose(found: Winners) -> str:
    left_out = len(found.winners) - len(found.alike)
    return f"the {len(found.alike)} winners measured as the table was" if left_out else "the winners"


def _once(found: Winners) -> str:
    if found.counted == len(found.alike):
        return ""
    return f" ({found.counted}: searches of one seed that won with one network count once)"


def _findings(found: Winners, others: str) -> list[str]:
    groups: dict[str, list[Winner]] = {}
    for winner in found.winners:
        groups.setdefault(winner.search.rpartition("-")[0] or winner.search, []).append(winner)
    lines = []
    for group, winners in groups.items():
        said = [winner.verdicts for winner in winners]
        lines.append(
            f"Of {len(winners)} searches `{group}` the winners are, in their confirmation, against MD: "
            f"{tally(said, 'MD')}; against MD-Lite: {tally(said, 'MD-Lite')}.{_better_than_both(winners)}"
        )
    lines.append(f"{_distance(found)}{_nearness(found, others)}")
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


def _better_than_both(winners: Sequence[Winner]) -> str:
    """The share of those that were confirmed against both; a winner that was not says nothing."""
    both = {"MD", "MD-Lite"}
    compared = [each for each in winners if {verdict.against for verdict in each.verdicts} >= both]
    if not compared:
        return ""
    better = [
        {verdict.against for verdict in each.verdicts if verdict.word == "better"} >= both
        for each in compared
    ]
    share = share_with_interval(share_interval(sum(better), len(better)))
    of = "" if len(compared) == len(winners) else f", of the {len(compared)} compared with both"
    return f" Better than both: {share}{of}."


def _nearness(found: Winners, others: str) -> str:
    if found.others_distance is None or found.distance is None or found.chance is None:
        return ""
    chance = f"{found.chance:.1%}" if found.chance >= LEAST_SAID else f"under {LEAST_SAID:.1%}"
    against = f"{others} ({found.others_distance:.1f}; as far apart by chance: {chance})"
    if found.chance > ERROR_RATE:
        return f" They are no nearer to it or further from it, beyond chance, than {against}."
    side = "nearer to" if found.distance.middle < found.others_distance else "further from"
    return f" They are {side} it than {against}."
