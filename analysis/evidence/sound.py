"""Which sound networks say whether another proxy is better? Spread in depth, width and place of attention.

Chosen one by one, each as far as can be from those before it (farthest-first traversal), so that the first
few are spread as well. Scores are looked at for soundness alone: a network chosen for its score falls back
when it is trained again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import dist

from analysis.evidence.decisions import PAPER_DECISIONS, pairs_among
from analysis.evidence.metrics import SOUND_FID, sound_networks
from analysis.replay.table import RecordedTable
from search.formats import counted
from space.architecture import Architecture
from space.shared.plain import InputError

Traits = tuple[float, ...]


def chosen_networks(
    table: RecordedTable, bases: Sequence[Architecture], spread: Collection[str], count: int, seeds: int
) -> list[Architecture]:
    """The bases first, then space-filling networks with so many runs or more.

    Raises:
        InputError: a base that is not sound or not recorded so often, or too few networks.
    """
    sound = sound_networks(table)
    usable = {
        key: runs[0].architecture for key, runs in table.runs.items() if key in sound and len(runs) >= seeds
    }
    for base in bases:
        if base.id not in usable:
            raise InputError(
                f"bases: {base.id} is not among the networks of a mean FID under {SOUND_FID:.0f} with "
                f"{counted(seeds, 'run')} or more; allowed: {len(usable)} that are"
            )
    among = {key: network for key, network in usable.items() if key in spread}
    among |= {base.id: base for base in bases}
    if not len(bases) <= count <= len(among):
        raise InputError(
            f"count: {count} is not possible; allowed: {len(bases)} (bases) to {len(among)}, which are "
            f"sound, space-filling and have {counted(seeds, 'run')} or more"
        )
    order = _farthest_first(_scaled(among), [base.id for base in bases], count)
    return [among[key] for key in order]


def with_pairs(table: RecordedTable, chosen: Sequence[Architecture], wanted: int) -> list[Architecture]:
    """And sound networks of the table, until each of the paper's decisions has so many pairs among all of
    them, or there are no more: partners of those chosen first, as fewer networks are added."""
    sound, found = sound_networks(table), list(chosen)
    others = [runs[0].architecture for key, runs in table.runs.items() if key in sound]
    for decision in PAPER_DECISIONS:
        for pair in pairs_among(decision, [*found, *others], table.space) if wanted else ():
            if len(pairs_among(decision, found, table.space)) >= wanted:
                break
            have = {network.id for network in found}
            found += [network for network in (pair.papers, pair.other) if network.id not in have]
    return found


def traits(network: Architecture) -> tuple[int, int, tuple[bool, ...]]:
    """Transformer layers and channels of the innermost level; where self- and cross-attention stand."""
    levels = network.canonical().levels
    placement = [has for level in levels for has in (level.self_attention, level.cross_attention)]
    return levels[-1].layers, levels[-1].channels, tuple(placement)


def _scaled(networks: Mapping[str, Architecture]) -> dict[str, Traits]:
    """Depth, width and placement weigh alike: each is at most 1 apart."""
    found = {key: traits(network) for key, network in networks.items()}
    depths, widths = [each[0] for each in found.values()], [each[1] for each in found.values()]
    return {
        key: (
            _share(depth, depths),
            _share(width, widths),
            *(has / len(placement) ** 0.5 for has in placement),
        )
        for key, (depth, width, placement) in found.items()
    }


def _share(value: int, values: Sequence[int]) -> float:
    return (value - min(values)) / (max(values) - min(values) or 1)


def _farthest_first(places: Mapping[str, Traits], first: Sequence[str], count: int) -> list[str]:
    """Of equally far ones the one that was recorded first."""
    chosen = list(first) or [next(iter(places))]
    while len(chosen) < count:
        left = [key for key in places if key not in chosen]
        chosen.append(max(left, key=lambda key: min(dist(places[key], places[one]) for one in chosen)))
    return chosen
