"""What networks were worth under another protocol: on other images, at another length, by other scores.

Only the sampler hears of them, and only how each stood among the others of its protocol: their scores would
say nothing beside this search's. So they are no peers of the stopping rule, and may be tried again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.formats import counted
from search.objectives import objectives_to_plain
from search.runs.bundle import RECORDED, histories_of
from search.runs.compatibility import DECIDES_A_SCORE, field_differences
from search.runs.header import objectives_of
from search.runs.prior import recorded_teachers, teachers_of, worth_knowing
from search.runs.prior_event import prior_event
from search.runs.record import History, MemoryRecord, Trial
from space.candidates import Candidate, as_unet
from space.search_space import AnySpace
from space.shared.plain import InputError

PRIOR_ELSEWHERE = "prior_elsewhere"


@dataclass(frozen=True)
class _Known:
    """A trial, its run, the name that it goes by, and whom it is ranked with: all of equal protocols."""

    trial: Trial
    source: str
    name: str
    params: dict[str, Any]
    ranked_with: str
    objectives: Any  # as a header has them


def take_elsewhere(
    record: MemoryRecord, sources: Sequence[str], space: AnySpace, references: Collection[Candidate]
) -> None:
    """Copy the trials of runs of any protocol into a record, each once, and none that is prior knowledge with
    its scores; those of the package (`recorded`, or some of it) but for what tells of the reference points.

    Raises:
        InputError: as `check_elsewhere`.
    """
    history = record.history
    held = {trial.identity for trial in history.prior}
    held |= {trial.identity for trial, _, _ in history.elsewhere}
    for known in _all_known(sources, space, references):
        if known.trial.identity not in held:
            held.add(known.trial.identity)
            copy = prior_event(known.trial, known.source, known.name, -len(held))
            copy |= {"params": known.params, "sampler_attributes": {}}
            record.append("elsewhere", **copy, ranked_with=known.ranked_with, objectives=known.objectives)


def check_elsewhere(
    sources: Sequence[str], space: AnySpace, references: Collection[Candidate], most: int
) -> None:
    """Before a search starts.

    Args:
        most: trials that a sampler models.

    Raises:
        InputError: a source without a record, without a complete or stopped trial, or without a network that
            is a point of this space; or more trials than that.
    """
    found = {known.trial.identity for known in _all_known(sources, space, references)}
    if len(found) > most:
        raise InputError(
            f"{PRIOR_ELSEWHERE}: {len(found)} different trials; allowed: {most} or fewer, such as those of "
            "fewer runs"
        )


def _all_known(sources: Sequence[str], space: AnySpace, references: Collection[Candidate]) -> list[_Known]:
    found: list[_Known] = []
    protocols: dict[str, Mapping[str, Any]] = {}
    for word in sources:
        fits, trials = len(found), 0
        for run, history, teachers in _runs(word, references):
            ranked_with = next(
                (
                    name
                    for name, header in protocols.items()
                    if not field_differences(header, history.header, DECIDES_A_SCORE)
                ),
                run,
            )
            protocols.setdefault(ranked_with, history.header)
            objectives = objectives_to_plain(objectives_of(history))
            for trial, source, name in teachers:
                trials += 1
                if (params := _params(space, trial.architecture)) is not None:
                    found.append(_Known(trial, source, name, params, ranked_with, objectives))
        if len(found) == fits:
            lacks = (
                "network that is a point of this search's space" if trials else "complete or stopped trial"
            )
            raise InputError(f"{PRIOR_ELSEWHERE}: {word} has no {lacks}; needed: one or more")
    return found


def _runs(
    word: str, references: Collection[Candidate]
) -> Iterator[tuple[str, History, Iterable[tuple[Trial, str, str]]]]:
    if word == RECORDED:
        yield from recorded_teachers(references)
        return
    try:
        histories = histories_of([word])
    except InputError as error:
        raise InputError(f"{PRIOR_ELSEWHERE}: {error}") from None
    of_package = word.startswith(f"{RECORDED}:")
    for name, history in histories.items():
        run = f"{RECORDED}:{name}" if of_package else name
        known = teachers_of(run, history, references) if of_package else worth_knowing(run, history)
        yield run, history, known


def _params(space: AnySpace, architecture: Candidate) -> dict[str, Any] | None:
    try:
        return space.encode(as_unet(architecture))
    except InputError:
        return None


def elsewhere_words(history: History) -> str:
    """How many trials of which run."""
    runs = Counter(trial.source for trial, _, _ in history.elsewhere)
    return ", ".join(f"{counted(number, 'trial')} of {run}" for run, number in runs.items())
