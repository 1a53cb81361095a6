"""Which networks a replay may choose, and which have taught it: by halves of a table.

A network belongs to one part of its table, `tuning` or `held_out`, by a hash of its id, once and for all.
Where halves are drawn, clusters stay whole: a base and the networks that differ from it in one decision tell
much about each other, so they stand on one side, and in the part where most networks of the cluster are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from analysis.evidence.decisions import PAPER_DECISIONS
from analysis.replay.table import RecordedTable
from analysis.replay.tries import feasible
from search.runs.record import History, Trial
from search.runs.teachers import tells_of
from space.architecture import Architecture
from space.choices import Space
from space.shared.plain import InputError
from space.shared.seeds import numbered_seed

Half = Literal["tuning", "held_out", "all"]
Cluster = tuple[str, ...]


@dataclass(frozen=True)
class Draw:
    """The networks that some seeds replay, and the trials that have taught those that are taught."""

    table: RecordedTable
    teachers: tuple[Trial, ...]
    seeds: tuple[int, ...]


def half_of(network: str) -> Half:
    """By the network's id alone, so that a network stays where it is when a table grows."""
    return ("tuning", "held_out")[numbered_seed(0, f"half {network}", 0) % 2]


def counted_half(half: Half) -> str:
    return "the table" if half == "all" else f"the half {half}"


def in_half(table: RecordedTable, half: Half) -> RecordedTable:
    """The networks of a half that a search could choose."""
    return _only(table, half, {each.id for each in feasible(table) if half in ("all", half_of(each.id))})


def shares(
    table: RecordedTable, known: Sequence[Trial], half: Half, share: float, seeds: int
) -> Iterator[Draw]:
    """A draw a seed: a share of the networks of a half, taught by those of the tuning half that it left;
    `known` are all teachers."""
    part = in_half(table, half)
    known = [trial for trial in known if half_of(trial.architecture.id) == "tuning"]
    for seed in range(seeds):
        drawn = subset_of(part, share, seed)
        yield Draw(drawn, _but(known, drawn), (seed,))


def halves(
    table: RecordedTable, known: Sequence[Trial], half: Half, count: int, seeds: int
) -> Iterator[Draw]:
    """`count` draws of `seeds` seeds each: half of a part's clusters are replayed, and all other networks
    have taught, but for those of the held-out part while settings are chosen on the tuning part."""
    networks = feasible(table)
    of_part = [cluster for cluster in clusters(networks, table.space) if half in ("all", part_of(cluster))]
    part = _only(table, half, {network for cluster in of_part for network in cluster})
    known = [trial for trial in known if half != "tuning" or trial.architecture.id in part.runs]
    for number in range(count):
        drawn = _only(part, half, drawn_half(of_part, number))
        yield Draw(drawn, _but(known, drawn), tuple(range(number * seeds, (number + 1) * seeds)))


def subset_of(table: RecordedTable, share: float, seed: int) -> RecordedTable:
    """A share of the networks, sampled by the seed."""
    kept = sorted(table.runs, key=lambda key: numbered_seed(seed, f"share {key}", 0))
    kept = kept[: max(2, round(share * len(kept)))]
    return replace(table, runs={key: runs for key, runs in table.runs.items() if key in set(kept)})


def clusters(networks: Sequence[Architecture], space: Space) -> list[Cluster]:
    """The ids of networks that are connected by decisions of the paper in which alone two of them differ."""
    cluster_of = {network.id: {network.id} for network in networks}
    for network in networks:
        for decision in PAPER_DECISIONS:
            for partner in decision.partners(network, space):
                if partner.id in cluster_of and partner.id not in cluster_of[network.id]:
                    joined = cluster_of[network.id] | cluster_of[partner.id]
                    cluster_of |= dict.fromkeys(joined, joined)
    return sorted({tuple(sorted(cluster)) for cluster in cluster_of.values()})


def part_of(cluster: Cluster) -> Half:
    """Where most of its networks are; of equally many the one with the first id."""
    held_out = sum(half_of(network) == "held_out" for network in cluster)
    return (
        half_of(cluster[0])
        if 2 * held_out == len(cluster)
        else ("tuning", "held_out")[2 * held_out > len(cluster)]
    )


def drawn_half(of: Sequence[Cluster], number: int) -> set[str]:
    """Clusters in an order of the draw's own, until half of the networks are there."""
    count, drawn = sum(map(len, of)), set[str]()
    for cluster in sorted(of, key=lambda cluster: numbered_seed(number, f"draw {cluster[0]}", 0)):
        if 2 * len(drawn) >= count:
            break
        drawn.update(cluster)
    return drawn


def teachers(
    histories: Mapping[str, History], references: Collection[Architecture], space: Space
) -> list[Trial]:
    """The complete trials, as prior knowledge: each network once. As in a search, the reference points and
    what is one decision away from them teach nothing."""
    found: dict[str, Trial] = {}
    for trial in (trial for history in histories.values() for trial in history.trials):
        if trial.state == "complete" and trial.params:
            found.setdefault(trial.architecture.id, trial)
    return [trial for trial in found.values() if not tells_of(trial.architecture, references, space)]


def _but(known: Sequence[Trial], drawn: RecordedTable) -> tuple[Trial, ...]:
    return tuple(trial for trial in known if trial.architecture.id not in drawn.runs)


def _only(table: RecordedTable, half: Half, chosen: set[str]) -> RecordedTable:
    if len(chosen) < 2:
        raise InputError(f"half: {counted_half(half)} has {len(chosen)} networks; allowed: 2 or more")
    return replace(table, runs={key: runs for key, runs in table.runs.items() if key in chosen})
