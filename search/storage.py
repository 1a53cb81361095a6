"""The Optuna study beside the record, for optuna-dashboard: a copy that can always be made again.

optuna-dashboard sqlite:///runs/<name>/study.db
"""

from __future__ import annotations

import warnings
from pathlib import Path

import optuna
from optuna.trial import TrialState

from search.optuna_sampler import DIRECTIONS, distributions
from search.ranking import Objectives, point_of
from search.record import History, Trial
from space.choices import Space

STUDY_NAME = "study.db"
_STATES = {"complete": TrialState.COMPLETE, "halted": TrialState.PRUNED, "failed": TrialState.FAIL}


def sync_study(folder: Path, history: History, space: Space, objectives: Objectives) -> Path:
    """Add to the study of a run folder the trials that have ended since; makes it where there is none.

    Halted trials stand as pruned, with the scores they had in their attributes, and never as complete.
    """
    path = folder / STUDY_NAME
    study = optuna.create_study(
        storage=f"sqlite:///{path.resolve()}",
        study_name=history.header.get("name", folder.name),
        directions=DIRECTIONS,
        load_if_exists=True,
    )
    if study.metric_names is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([objectives.fid, objectives.clip])
    known = {trial.user_attrs["trial"] for trial in study.get_trials(deepcopy=False)}
    ended = [trial for trial in history.trials if trial.state != "running" and trial.number not in known]
    study.add_trials([_frozen(trial, space, objectives) for trial in ended])
    return path


def _frozen(trial: Trial, space: Space, objectives: Objectives) -> optuna.trial.FrozenTrial:
    point = point_of(trial, objectives)
    state = _STATES[trial.state] if point is not None or trial.state != "complete" else TrialState.FAIL
    known = distributions(space)
    return optuna.trial.create_trial(
        state=state,
        values=[point.fid, point.clip] if point is not None and state == TrialState.COMPLETE else None,
        params=trial.params or {},
        distributions={name: known[name] for name in trial.params or {}},
        user_attrs={
            "trial": trial.number,
            "architecture": trial.architecture.id,
            "parameters": trial.cost.parameters,
            "gmacs": round(trial.cost.gmacs, 3),
            "state": trial.state,
            "reason": trial.reason,
            "steps": trial.last_step,
            **(trial.rungs[-1].scores if trial.rungs else {}),
        },
        system_attrs=trial.sampler_attributes,
    )
