"""Which recorded networks would tell a search of its reference points: themselves, and their partners.

Matched pairs were made of MD and MD-Lite first (docs/evidence.md). A sampler or a stopping rule that had seen
those networks would know the reference points that the search is then compared with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from search.formats import counted, label
from search.runs.record import Trial
from space.candidates import Candidate
from space.search_space import AnySpace
from space.shared.plain import InputError

TRADED = frozenset({"channels", "layers_down", "layers_up"})  # the width of a level against its depth


def tells_of(network: Candidate, references: Iterable[Candidate], space: AnySpace) -> bool:
    """Whether it is one of the reference points, or one decision away from one."""
    return any(
        network.id == reference.id or one_decision_apart(network, reference, space)
        for reference in references
    )


def one_decision_apart(one: Candidate, other: Candidate, space: AnySpace) -> bool:
    """Whether two networks differ in one choice of the space, or in the width and depth of one level; never
    where one of them is not in the space, so that they differ in more than it chooses."""
    try:
        ours, theirs = space.encode(one), space.encode(other)
    except InputError:
        return False
    changed = [name for name in ours if ours[name] != theirs[name]]
    levels, names = ({each.rpartition(".")[at] for each in changed} for at in (0, 2))
    return len(changed) == 1 or (len(levels) == 1 and levels != {""} and names <= TRADED)


def known_references(trials: Sequence[Trial], references: Iterable[Candidate]) -> list[str]:
    """What to call the prior trials that are a reference point of the search which they teach."""
    ids = {reference.id for reference in references}
    return [trial.name for trial in trials if trial.architecture.id in ids]


def left_out(references: Iterable[str]) -> str:
    """Which recorded networks teach nothing, by the names of the reference points."""
    return f"without {', '.join(map(label, references))} and what is one decision away from them"


def reference_note(known: Sequence[str]) -> str:
    """What a search is told whose prior knowledge holds a reference point; empty where it holds none."""
    if not known:
        return ""
    more = f" and {counted(len(known) - 1, 'further run')}" if len(known) > 1 else ""
    return f"{label(known[0])}{more} is a network that this search is compared with: its sampler knows of it"
