"""Prior knowledge: trials of earlier runs that a new search learns from, copied into its own record.

They are observations for the sampler, peers for the stopping rule, and networks that are not tried again.
They are never this search's trials, nor its winner. Networks that were recorded for the package
(docs/evidence.md) are prior knowledge of every search that measures as they were measured, but for those that
would tell it of its reference points.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from search.latency import LISTS, lists_differ, recorded_lists
from search.objectives import objectives_to_plain
from search.runs.bundle import RECORDED, RECORDED_FILE, histories_of, of_names, read_bundle
from search.runs.compatibility import (
    DATA_DIGEST,
    DECIDES_A_SCORE,
    READS,
    abridged,
    data_digest,
    field_differences,
    protocol_difference,
    space_difference,
)
from search.runs.header import objectives_of_header, space_of
from search.runs.moved import training_reads
from search.runs.prior_event import prior_event
from search.runs.record import History, MemoryRecord, Record, Trial
from search.runs.teachers import tells_of
from search.settings import SearchSettings
from search.statistics.noise import noise_to_plain
from space.budget import LATENCY
from space.candidates import Candidate
from space.shared.plain import InputError, to_plain

SETTLED_BY_SETTINGS = ("space", "objectives", "rungs", "proxy", "training", "strategy")
# Of the recorded runs, those whose networks no search chose for their scores.
TAUGHT_BY = ("table*", "pairs*")


def check_prior(settings: SearchSettings, digest: str) -> None:
    """Whether earlier runs can teach this search, as far as its settings and data tell: before it starts.

    Raises:
        InputError: a source without a record, or one of another space or protocol, naming what differs.
    """
    for source, history in _named(settings.prior).items():
        _refuse(source, _settled_differences(settings, digest, history))


def refuse_prior_of_others(sources: Sequence[str], header: Mapping[str, Any]) -> None:
    """The same by a whole header, its protocol included."""
    for source, history in _named(sources).items():
        differences = field_differences(history.header, header, ("space", *DECIDES_A_SCORE))
        _refuse(source, differences + _other_lists(history.header, header))


def _named(sources: Sequence[str]) -> dict[str, History]:
    try:
        return histories_of(sources)
    except InputError as error:
        raise InputError(f"prior: {error}") from None


def recorded_that_teach(settings: SearchSettings, digest: str, references: Collection[Candidate]) -> int:
    """How many recorded trials will teach this search, as far as its settings and data tell; each once,
    however many of the runs hold it, and none that tells of its reference points."""
    if not settings.recorded:
        return 0
    teachers = {
        trial.identity
        for name, history in _recorded().items()
        if not _settled_differences(settings, digest, history)
        for trial, _, _ in teachers_of(name, history, references)
    }
    return len(teachers)


def take_prior(record: Record, sources: Sequence[str]) -> None:
    """Copy the complete and stopped trials of earlier runs (folders or bundles), and what those had taken
    themselves, into a record; each once, however many of the runs hold it. From then on the record alone
    suffices.

    Raises:
        InputError: a source without a record, or one of another space or protocol, naming what differs.
    """
    histories = _named(sources)
    for source, history in histories.items():
        _refuse(source, _differences(record, history))
    for source, history in histories.items():
        write_prior(record, worth_knowing(source, history))


def take_recorded(record: Record, references: Collection[Candidate]) -> list[str]:
    """The same with the networks recorded for the package, but for those that tell of the reference points;
    empty, or why none of them says anything here."""
    runs = _recorded()
    differences = {name: _differences(record, history) for name, history in runs.items()}
    for name, history in runs.items():
        if not differences[name]:
            write_prior(record, teachers_of(f"{RECORDED}:{name}", history, references))
    return next(iter(differences.values()), []) if all(differences.values()) else []


def write_prior(record: MemoryRecord, known: Iterable[tuple[Trial, str, str]]) -> None:
    """Trials that the record does not hold yet, each with the run that trained it and the name to go by."""
    held = {trial.identity for trial in record.history.prior}
    for trial, source, name in known:
        if trial.identity not in held:
            held.add(trial.identity)
            record.append("prior", **prior_event(trial, source, name, -1 - len(record.history.prior)))


def recorded_teachers(
    references: Collection[Candidate],
) -> Iterator[tuple[str, History, Iterator[tuple[Trial, str, str]]]]:
    """The runs recorded for the package, each with what it teaches whoever compares itself with these."""
    for name, history in _recorded().items():
        run = f"{RECORDED}:{name}"
        yield run, history, teachers_of(run, history, references)


def _recorded() -> dict[str, History]:
    return {name: run.history for name, run in of_names(read_bundle(RECORDED_FILE), TAUGHT_BY).items()}


def settled_header(settings: SearchSettings, digest: str) -> dict[str, Any]:
    """What a search's header will say of its protocol, as far as settings and data tell before it starts."""
    ours: dict[str, Any] = {name: to_plain(getattr(settings, name)) for name in SETTLED_BY_SETTINGS}
    return ours | {
        "objectives": objectives_to_plain(settings.objectives),
        "noise": noise_to_plain(settings.noise),
        "protocol": {DATA_DIGEST: digest},
        READS: training_reads(settings),
    }


def _settled_differences(settings: SearchSettings, digest: str, history: History) -> list[str]:
    ours = settled_header(settings, digest)
    differences = field_differences(history.header, ours, SETTLED_BY_SETTINGS)
    theirs = data_digest(history.header)
    if theirs is not None and theirs != digest:
        differences.append(f"data: digest {theirs} against {digest}")
    return differences + _other_lists(history.header, ours | recorded_lists(settings.budget))


def _differences(record: Record, history: History) -> list[str]:
    return [
        *space_difference(history, record.history),
        *protocol_difference(history, record.history),
        *_other_lists(history.header, record.history.header),
    ]


def _other_lists(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Where milliseconds decide, those of other price lists would teach what is not so."""
    decide = any(each.name == LATENCY for each in objectives_of_header(ours))
    differ = decide and LISTS in theirs and lists_differ(theirs, ours)
    return ["budget.prices: milliseconds of other price lists"] if differ else []


def _refuse(source: str, differences: Sequence[str]) -> None:
    if differences:
        raise InputError(
            f"prior: {source} was another search than this one, so its trials say nothing here: "
            f"{'; '.join(abridged(differences))}"
        )


def teachers_of(
    run: str, history: History, references: Collection[Candidate]
) -> Iterator[tuple[Trial, str, str]]:
    """What a run teaches whoever compares itself with the reference points: nothing that tells of these."""
    space = space_of(history)
    return (
        known
        for known in worth_knowing(run, history)
        if not tells_of(known[0].architecture, references, space)
    )


def worth_knowing(run: str, history: History) -> Iterator[tuple[Trial, str, str]]:
    """What a run can teach, with the run that trained it and the name that it goes by from here on."""
    for trial in history.prior:
        yield trial, trial.source, trial.name
    for trial in history.trials:
        if trial.state in ("complete", "halted"):
            yield trial, run, f"{trial.name} of {run}"
