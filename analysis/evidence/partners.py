"""Which networks would make pairs with recorded ones, differing from them in one decision of the paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.evidence.decisions import PAPER_DECISIONS, PaperDecision, pairs_among
from analysis.evidence.sources import all_trials, space_filling_trials
from search.runs.record import History
from space.architecture import Architecture
from space.budget import Budget
from space.candidates import as_unet
from space.choices import Space


@dataclass(frozen=True)
class Base:
    """A network that pairs are made from, and what files call it."""

    name: str
    architecture: Architecture


@dataclass(frozen=True)
class Partner:
    """A network to train: the base that it differs from, and in which decision."""

    base: Base
    decision: PaperDecision
    architecture: Architecture


def recorded(histories: Mapping[str, History]) -> list[Architecture]:
    """Each network that was trained, or is being trained, once; those that failed would fail again."""
    found: dict[str, Architecture] = {}
    for trial in all_trials(histories.values()):
        if trial.state != "failed":
            found.setdefault(trial.architecture.id, as_unet(trial.architecture))
    return list(found.values())


def space_filling_bases(histories: Mapping[str, History]) -> Iterator[Base]:
    """Space-filling trials in which the decisions have something to act on: the middle and the innermost
    level have transformer layers, with cross-attention."""
    for name, history in histories.items():
        for trial in space_filling_trials(history):
            network = as_unet(trial.architecture)
            inner = network.canonical().levels[1:]
            if trial.state != "failed" and all(level.layers and level.cross_attention for level in inner):
                yield Base(f"{Path(name).name}_{trial.number}", network)


def missing_partners(
    bases: Sequence[Base], known: Sequence[Architecture], space: Space, budget: Budget, pairs: int
) -> list[Partner]:
    """For each decision the first so many bases on which it acts, with a partner within the budget; of those
    partners, the ones that are not known yet. Base after base, so that a part of them is spread too."""
    there = {network.id for network in known}
    left = dict.fromkeys(PAPER_DECISIONS, pairs)
    found: list[Partner] = []
    for base in bases:
        if budget.excess(base.architecture):
            continue
        for decision in PAPER_DECISIONS:
            partner = next(
                (p for p in decision.partners(base.architecture, space) if not budget.excess(p)), None
            )
            if partner is None or not left[decision]:
                continue
            left[decision] -= 1
            if partner.id not in there:
                there.add(partner.id)
                found.append(Partner(base, decision, partner))
    return found


def pair_counts(
    known: Sequence[Architecture], partners: Sequence[Partner], space: Space
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Pairs of each decision: recorded, written, and what there will be (bases that were never trained make
    no pair)."""
    all_networks = [*known, *(partner.architecture for partner in partners)]
    rows = [
        {
            "decision": decision.name,
            "pairs recorded": len(pairs_among(decision, known, space)),
            "partners written": sum(partner.decision is decision for partner in partners),
            "pairs then": len(pairs_among(decision, all_networks, space)),
        }
        for decision in PAPER_DECISIONS
    ]
    return rows, [{title: str(value) for title, value in row.items()} for row in rows]
