"""The Optuna study beside the record, for optuna-dashboard: a copy that can always be made again.

optuna-dashboard sqlite:///runs/<name>/study.db

Optuna makes the file and its tables. All trials that are new go in by one transaction, so that a killed
driver leaves no half of one.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from search.objectives import Objectives
from search.runs.files import STUDY_NAME
from search.runs.record import History, Trial
from search.runs.scores import point_of
from search.samplers.optuna_private import StoredTrial, insert_trials, stored_attributes
from search.samplers.studies import distributions
from space.search_space import AnySpace

MARK = "trial"  # the user attribute that holds a trial's number in the record; prior ones are below zero
SECONDS_TO_WAIT = 5.0  # for a dashboard that holds the file
_STATES = {"complete": "COMPLETE", "halted": "PRUNED", "failed": "FAIL"}


def sync_study(folder: Path, history: History, space: AnySpace, objectives: Objectives) -> Path:
    """Add to the study of a run folder the trials that have ended since; makes it where there is none.

    Stopped trials stand as pruned, with the scores they had in their attributes, and never as complete.
    Trials of earlier runs carry the attribute `prior`, which names the run.

    Raises:
        OSError: if the file cannot be written, or another program holds it.
    """
    path = folder / STUDY_NAME
    if not _is_sound(path):
        path.unlink()  # torn by a power cut, say: it can always be made again
    try:
        study_id = _study(path, history.header.get("name", folder.name), objectives)
        with closing(sqlite3.connect(path, timeout=SECONDS_TO_WAIT)) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            known = set(stored_attributes(connection, MARK))
            ended = [t for t in history.known if t.state != "running" and t.number not in known]
            stored = [_stored(trial, objectives) for trial in ended]
            insert_trials(connection, study_id, stored, distributions(space))
    except (sqlite3.Error, SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise OSError(f"{path}: {str(error).splitlines()[0]}") from error
    return path


def _is_sound(path: Path) -> bool:
    """Whether a file that is there is a database that can be read, as far as a quick look tells."""
    if not path.exists():
        return True
    try:
        with closing(sqlite3.connect(path, timeout=SECONDS_TO_WAIT)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:  # locked, or away
        return True
    except sqlite3.DatabaseError:
        return False
    return True


def _address(path: Path) -> str:
    """Of a file whose name may hold what means something in an address, as `?` does."""
    return URL.create("sqlite", database=str(path.resolve())).render_as_string()


def _study(path: Path, name: str, objectives: Objectives) -> int:
    """The study's id in the file."""
    storage = optuna.storages.RDBStorage(
        _address(path), engine_kwargs={"connect_args": {"timeout": SECONDS_TO_WAIT}}
    )
    try:
        directions = [objective.direction for objective in objectives]
        study = optuna.create_study(
            storage=storage, study_name=name, directions=directions, load_if_exists=True
        )
        if study.metric_names is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names([objective.name for objective in objectives])
        return storage.get_study_id_from_name(name)
    finally:
        storage.engine.dispose()


def _stored(trial: Trial, objectives: Objectives) -> StoredTrial:
    point = point_of(trial, objectives)
    values = point.values if point is not None and all(map(isfinite, point.values)) else ()
    complete = trial.state == "complete" and bool(values)
    started, ended = (str(datetime.fromtimestamp(seconds)) for seconds in (trial.started, trial.ended))
    return StoredTrial(
        state="FAIL" if trial.state == "complete" and not complete else _STATES[trial.state],
        started=started,
        ended=ended,
        values=values if complete else (),
        params=trial.params or {},
        user_attributes=dict(_attributes(trial)),
        system_attributes=trial.sampler_attributes,
    )


def _attributes(trial: Trial) -> Iterator[tuple[str, Any]]:
    yield MARK, trial.number
    if trial.purpose == "prior":
        yield "prior", trial.source
    yield "architecture", trial.architecture.id
    yield "parameters", trial.cost.parameters
    yield "gmacs", round(trial.cost.gmacs, 3)
    yield "state", trial.state
    yield "reason", trial.reason
    yield "steps", trial.last_step
    yield from (trial.rungs[-1].scores if trial.rungs else {}).items()
