"""Do conclusions carry over to a bigger proxy? The same networks under both, and the winners of searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean

import numpy as np

from analysis.evidence.agreement import FEWEST_COMPARED
from analysis.evidence.metrics import SOUND, ByNetwork, goodness, metrics_of, sound_networks
from analysis.evidence.resampling import bootstrap_interval, spearman
from analysis.evidence.sources import mean_run_seconds
from analysis.evidence.text import (
    Chapter,
    correlation_text,
    decimal,
    hours,
    listed,
    markdown,
    missing,
    with_interval,
)
from analysis.evidence.winners import Winner
from analysis.evidence.winners_text import scores_text, tally, verdict_text
from analysis.replay.table import RecordedTable
from search.formats import counted, gmacs, label, millions
from search.runs.compatibility import DECIDES_A_SCORE, field_differences
from search.runs.scores import all_of
from search.statistics import verdicts
from search.statistics.pareto import Point, mean_point
from search.statistics.verdicts import Interval, Verdict
from space.architecture import Architecture
from space.prices.macs import price

_TITLE = "A bigger proxy"
PRECISE = 0.1  # half the interval of a rank correlation that is known well


@dataclass(frozen=True)
class Order:
    """The rank correlation of one metric at a rung of the bigger proxy with the last rung of the table, and
    the same among those that are sound in the table."""

    metric: str
    step: int
    networks: int
    correlation: Interval | None
    sound_networks: int
    among_sound: Interval | None


@dataclass(frozen=True)
class Both:
    """A network at the end of both proxies: means over its seeds, `near` over those of the table or of a
    winner's confirmation; None where neither measured it as the table was. Verdicts are of the bigger proxy,
    against MD and MD-Lite."""

    name: str
    architecture: Architecture
    near: Point | None
    far: Point
    seeds: int
    in_table: bool
    is_winner: bool
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Transfer:
    """Orders by metric and rung, and the networks, the lowest FID under the bigger proxy first;
    `run_seconds` of a worker is what one of them takes there."""

    orders: tuple[Order, ...]
    networks: tuple[Both, ...]
    steps: int
    run_seconds: float
    differences: tuple[str, ...]

    @property
    def of_table(self) -> list[Both]:
        return [each for each in self.networks if each.in_table]

    @property
    def winners(self) -> list[Both]:
        return [each for each in self.networks if each.is_winner]


def transfer(
    table: RecordedTable, bigger: RecordedTable, named: Mapping[str, Architecture], winners: Sequence[Winner]
) -> Transfer:
    """Of all networks that the bigger proxy trained to its end. `named` are MD and MD-Lite."""
    won: dict[str, list[Winner]] = {}
    for winner in winners:
        won.setdefault(winner.architecture.id, []).append(winner)
    names = _names(table, bigger, won) | {network.id: label(name) for name, network in named.items()}
    runs = {names[key]: _points(bigger, key) for key in bigger.runs}
    measured = verdicts.Evidence(runs, bigger.rungs[-1], bigger.noise)
    found = [
        Both(
            name,
            bigger.runs[key][0].architecture,
            _near(table, key, won.get(key, [])),
            mean_point(list(by_seed.values())),
            len(by_seed),
            key in table.runs,
            key in won,
            tuple(
                verdict
                for reference in map(label, named)
                if reference != name and (verdict := measured.verdict(name, reference)) is not None
            ),
        )
        for key, (name, by_seed) in zip(bigger.runs, runs.items(), strict=True)
    ]
    return Transfer(
        tuple(orders(table, bigger)),
        tuple(sorted(found, key=lambda each: each.far.fid)),
        bigger.rungs[-1],
        mean_run_seconds(bigger),
        tuple(field_differences(table.header, bigger.header, DECIDES_A_SCORE)),
    )


def orders(table: RecordedTable, bigger: RecordedTable) -> list[Order]:
    """By each metric that both recorded, over the networks that both trained; means over each one's seeds."""
    theirs = {metric.score: metric for metric in metrics_of(bigger)}
    found, sound = [], sound_networks(table)
    for metric in metrics_of(table):
        if metric.score not in theirs:
            continue
        near = goodness(table, metric, table.rungs[-1])
        for step in bigger.rungs:
            far = goodness(bigger, theirs[metric.score], step)
            of_all = [key for key in near if key in far]
            of_sound = [key for key in of_all if key in sound]
            correlations = [_correlation(near, far, keys) for keys in (of_all, of_sound)]
            found.append(
                Order(metric.name, step, len(of_all), correlations[0], len(of_sound), correlations[1])
            )
    return found


def _correlation(near: ByNetwork, far: ByNetwork, keys: Sequence[str]) -> Interval | None:
    rows = np.array([[fmean(near[key].values()), fmean(far[key].values())] for key in keys])
    return bootstrap_interval(rows, spearman) if len(keys) >= FEWEST_COMPARED else None


def networks_needed(correlation: float, half: float) -> int:
    """So many networks know a rank correlation to +- `half`, 95 %: Fisher's z with the variance of Bonett
    and Wright (2000), (1 + r^2 / 2) / (n - 3)."""
    return 3 + ceil((1 + correlation**2 / 2) * (1.96 * (1 - correlation**2) / half) ** 2)


def _names(
    table: RecordedTable, bigger: RecordedTable, won: Mapping[str, Sequence[Winner]]
) -> dict[str, str]:
    """A winner is called after its searches, another network after the first run and trial that had it."""
    origins = {key: (table.runs.get(key) or bigger.runs[key])[0].origin for key in bigger.runs}
    named = {key: listed([winner.search for winner in winners]) for key, winners in won.items()}
    return {key: named.get(key, at.replace("/", " ")) for key, at in origins.items()}


def _points(table: RecordedTable, key: str) -> dict[int, Point]:
    """By seed, at the last rung."""
    return {run.seed: all_of(run.rungs[-1].scores, table.objectives) for run in table.runs[key]}


def _near(table: RecordedTable, key: str, won: Sequence[Winner]) -> Point | None:
    """Of the table; or of the searches that won with it and were measured alike."""
    if key in table.runs:
        return mean_point(list(_points(table, key).values()))
    found = [
        winner.scores[winner.trial]
        for winner in won
        if not winner.otherwise and winner.trial in winner.scores
    ]
    return mean_point(found) if found else None


# ---------------------------------------------------------------------- in words


def transfer_chapter(found: Transfer | None, plot: str) -> Chapter:
    if found is None:
        return missing(_TITLE, "networks of the table trained under a bigger proxy (run `bigger`)")
    parts = [
        "Spearman's rank correlation of a metric at each rung of the bigger proxy with the same metric at "
        "the last rung of the table, over the networks that both trained (means over the seeds of each), and "
        f"over those that are {SOUND} in the table; 95 % bootstrap over networks. The "
        f"proxies differ in: {'; '.join(found.differences) or 'nothing'}.",
        markdown([_order_row(each) for each in found.orders]),
        "Each network under both, the lowest FID under the bigger proxy (*there*) first; *place* counts the "
        "networks of the table by FID. Winners are called after their searches; on the left are their "
        "confirmation runs. Verdicts are on runs of the bigger proxy, paired by seed, by the rule of a "
        "confirmation and the noise of that proxy; the table's says nothing of it. FIDs of the two do not "
        "compare.",
        markdown(_rows(found)),
        plot,
    ]
    return Chapter(_TITLE, tuple(parts), tuple(_findings(found)), tuple(_limits(found)))


def _order_row(each: Order) -> dict[str, str]:
    return {
        "metric": each.metric,
        "step": str(each.step),
        "networks": str(each.networks),
        "rank correlation": with_interval(each.correlation),
        "sound": str(each.sound_networks),
        "among sound": with_interval(each.among_sound),
    }


def _rows(found: Transfer) -> list[dict[str, str]]:
    near_places, far_places = places(found.of_table)
    rows = []
    for each in found.networks:
        cost, against = price(each.architecture), {verdict.against: verdict for verdict in each.verdicts}
        rows.append(
            {
                "network": each.name,
                "size": f"{millions(cost.parameters)}, {gmacs(cost.gmacs)}",
                "FID, CLIP": scores_text(each.near),
                "place": str(near_places.get(each.name, "-")),
                "seeds there": str(each.seeds),
                "FID, CLIP there": scores_text(each.far),
                "place there": str(far_places.get(each.name, "-")),
                "against MD there": verdict_text(against.get("MD"), "-"),
                "against MD-Lite there": verdict_text(against.get("MD-Lite"), "-"),
            }
        )
    return rows


def places(networks: Sequence[Both]) -> tuple[dict[str, int], dict[str, int]]:
    """By FID, 1 the lowest: under the table's proxy and under the bigger one, of those measured by both."""
    both = [(each.name, each.near.fid, each.far.fid) for each in networks if each.near is not None]
    near = {name: fid for name, fid, _ in both}
    far = {name: fid for name, _, fid in both}
    return _places(near), _places(far)


def _places(fids: Mapping[str, float]) -> dict[str, int]:
    return {name: place for place, name in enumerate(sorted(fids, key=lambda name: fids[name]), 1)}


def _findings(found: Transfer) -> list[str]:
    lines = [
        f"{each.metric} under the bigger proxy orders networks as the table does to a rank correlation of "
        f"{correlation_text(each.correlation, each.networks)}, and those that are {SOUND} in the table of "
        f"{correlation_text(each.among_sound, each.sound_networks)}."
        for each in _at_the_end(found)
    ]
    near, far = places(found.of_table)
    lines += [
        f"By FID, as observed, {name} is number {near[name]} of {len(near)} networks in the table and number "
        f"{far[name]} under the bigger proxy."
        for name in ("MD", "MD-Lite")
        if name in near
    ]
    said = [each.verdicts for each in found.winners]
    if said:
        lines.append(
            f"Of {counted(len(said), 'winner')} of searches trained there, against MD: {tally(said, 'MD')}; "
            f"against MD-Lite: {tally(said, 'MD-Lite')}."
        )
    return lines


def _limits(found: Transfer) -> list[str]:
    lines = []
    for each in _at_the_end(found):
        assert each.correlation is not None
        count = networks_needed(each.correlation.middle, PRECISE)
        lines.append(
            f"How far the order by {each.metric} carries over to the bigger proxy, to within {PRECISE}: "
            f"{count} networks, if it is {decimal(each.correlation.middle)} "
            f"({hours(count * found.run_seconds / 3600)} core-hours)."
        )
    return lines


def _at_the_end(found: Transfer) -> list[Order]:
    """FID and CLIP at the last rung, as far as they could be worked out."""
    return [
        each
        for each in found.orders
        if each.metric in ("FID", "CLIP") and each.step == found.steps and each.correlation is not None
    ]
