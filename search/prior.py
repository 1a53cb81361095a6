"""Prior knowledge: trials of earlier runs that a new search learns from, copied into its own record.

They are observations for the sampler, peers for the stopping rule, and networks that are not tried again.
They are never this search's trials, nor its winner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from search.protocols import abridged, data_digest, field_differences, protocol_difference, space_difference
from search.record import History, Record, Trial, read_history
from search.settings import SearchSettings
from space.plain import InputError, to_plain

SETTLED_BY_SETTINGS = ("space", "objectives", "rungs", "proxy", "training")


def check_prior(settings: SearchSettings, digest: str) -> None:
    """Whether earlier runs can teach this search, as far as its settings and data tell: before it starts.

    Raises:
        InputError: a folder without a record, or one of another space or protocol, naming what differs.
    """
    ours: dict[str, Any] = {name: to_plain(getattr(settings, name)) for name in SETTLED_BY_SETTINGS}
    for folder in settings.prior:
        header = read_history(Path(folder)).header
        differences = field_differences(header, ours, SETTLED_BY_SETTINGS)
        theirs = data_digest(header)
        if theirs is not None and theirs != digest:
            differences.append(f"data: digest {theirs} against {digest}")
        _refuse(folder, differences)


def take_prior(record: Record, folders: Sequence[str]) -> None:
    """Copy the complete and halted trials of earlier runs, and what those had taken themselves, into a
    record; each once, however many of the runs hold it. From then on the record alone suffices.

    Raises:
        InputError: a folder without a record, or one of another space or protocol, naming what differs.
    """
    histories = {folder: read_history(Path(folder)) for folder in folders}
    for folder, history in histories.items():
        differences = space_difference(history, record.history) + protocol_difference(history, record.history)
        _refuse(folder, differences)
    held = {_identity(trial) for trial in record.history.prior}
    for folder, history in histories.items():
        for trial, source, name in _worth_knowing(folder, history):
            if _identity(trial) not in held:
                held.add(_identity(trial))
                record.append("prior", **_fields(trial, source, name, -1 - len(record.history.prior)))


def _refuse(folder: str, differences: Sequence[str]) -> None:
    if differences:
        raise InputError(
            f"prior: {folder} was another search than this one, so its trials say nothing here: "
            f"{'; '.join(abridged(differences))}"
        )


def _worth_knowing(folder: str, history: History) -> Iterator[tuple[Trial, str, str]]:
    """What a run can teach, with the run that trained it and the name that it goes by from here on."""
    for trial in history.prior:
        yield trial, trial.source, trial.name
    for trial in history.trials:
        if trial.state in ("complete", "halted"):
            yield trial, folder, f"{trial.name} of {folder}"


def _identity(trial: Trial) -> tuple[object, ...]:
    """The same for a trial and its copies, whichever way they came."""
    return trial.architecture.id, trial.seed, trial.started


def _fields(trial: Trial, source: str, name: str, number: int) -> dict[str, Any]:
    return {
        "key": f"prior {-number}",
        "number": number,
        "purpose": "prior",
        "name": name,
        "architecture": trial.architecture.to_plain(),
        "architecture_id": trial.architecture.id,
        "parameters": trial.cost.parameters,
        "macs": trial.cost.macs,
        "attention_macs": trial.cost.attention_macs,
        "proxy_parameters": trial.proxy_parameters,
        "seed": trial.seed,
        "steps": trial.steps,
        "source": source,
        "params": trial.params,
        "sampler_attributes": trial.sampler_attributes,
        "rungs": [to_plain(rung) for rung in trial.rungs],
        "state": trial.state,
        "reason": trial.reason,
        "started": trial.started,
        "ended": trial.ended,
    }
