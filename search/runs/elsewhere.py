"""What networks were worth under another protocol: on other images, at another length, by other scores.

Only the sampler hears of them, and only how each stood among the others of its run: their scores would say
nothing beside this search's. So they are no peers of the stopping rule, and may be tried again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from search.formats import counted
from search.objectives import objectives_to_plain
from search.runs.bundle import RECORDED, histories_of
from search.runs.header import objectives_of
from search.runs.prior import recorded_teachers, worth_knowing
from search.runs.prior_event import prior_event
from search.runs.record import History, MemoryRecord, Trial
from space.candidates import Candidate
from space.search_space import AnySpace
from space.shared.plain import InputError

PRIOR_ELSEWHERE = "prior_elsewhere"
Known = tuple[Trial, str, str, str, Any]
"""A trial, its run, its name, with whom it is ranked, and its objectives as a header has them."""


def take_elsewhere(
    record: MemoryRecord, sources: Sequence[str], space: AnySpace, references: Collection[Candidate]
) -> None:
    """Copy the trials of runs of any protocol into a record, each once; those of the package (`recorded`)
    but for what tells of the reference points.

    Raises:
        InputError: a source without a record, or none of whose networks is a point of this space.
    """
    held = {trial.identity for trial, _, _ in record.history.elsewhere}
    for trial, source, name, ranked_with, objectives in _known(sources, references):
        params = _params(space, trial.architecture)
        if params is None or trial.identity in held:
            continue
        held.add(trial.identity)
        copy = prior_event(trial, source, name, -len(held)) | {"params": params, "sampler_attributes": {}}
        record.append("elsewhere", **copy, ranked_with=ranked_with, objectives=objectives)
    if sources and not held:
        raise InputError(
            f"{PRIOR_ELSEWHERE}: no network of {', '.join(sources)} is a point of this search's space; "
            "needed: runs of the same space"
        )


def check_elsewhere(sources: Sequence[str]) -> None:
    """Raises InputError for a source without a record, before a search starts."""
    for _ in _known(sources, ()):
        pass


def _known(sources: Sequence[str], references: Collection[Candidate]) -> Iterator[Known]:
    if RECORDED in sources:
        for history, teachers in recorded_teachers(references):
            for known in teachers:
                yield *known, RECORDED, objectives_to_plain(objectives_of(history))
    try:
        histories = histories_of([source for source in sources if source != RECORDED])
    except InputError as error:
        raise InputError(f"{PRIOR_ELSEWHERE}: {error}") from None
    for source, history in histories.items():
        for known in worth_knowing(source, history):
            yield *known, source, objectives_to_plain(objectives_of(history))


def _params(space: AnySpace, architecture: Candidate) -> dict[str, Any] | None:
    try:
        return space.encode(architecture)
    except InputError:
        return None


def elsewhere_words(history: History) -> str:
    """How many trials of which run."""
    runs = Counter(trial.source for trial, _, _ in history.elsewhere)
    return ", ".join(f"{counted(number, 'trial')} of {run}" for run, number in runs.items())
