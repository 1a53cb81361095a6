"""Trials of a search as those of an Optuna study, and back.

What a study says of a trial beyond its choices and last scores stands in user attributes: the scores at its
rungs, of which Optuna keeps none where there are several objectives, and its number in its own search, where
a study holds a part of one.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.objectives import Objective, Objectives
from search.samplers.base import Observation
from search.samplers.modelled import Settled
from search.samplers.optuna_private import GENERATION
from search.statistics.curves import Curve
from search.statistics.pareto import Point
from space.search_space import AnySpace, step_of

CURVE = "mdsearch:scores"  # [[step, [a value for each objective]], ...], as they were reported
RECORDED_CURVE = "mdsearch:recorded scores"  # a whole Curve, in a study in memory
NUMBER = "mdsearch:number"  # of a trial in its own search
END = sys.maxsize  # the rung of what is known by its last scores alone
LEARNT_FROM = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


def report_scores(trial: optuna.Trial, step: int, *values: float) -> None:
    """The scores of a trial at a rung, for samplers that learn from those that are pruned too: of any number
    of objectives, where `trial.report` bears one."""
    reported = list(trial.user_attrs.get(CURVE, []))
    trial.set_user_attr(CURVE, [*reported, [step, [float(value) for value in values]]])


def number_of(trial: FrozenTrial) -> int:
    """In its own search, of which the study may hold a part."""
    return int(trial.user_attrs.get(NUMBER, trial.number))


class PastTrial(FrozenTrial):
    """One that a study takes as it is: nobody changes what it holds, so none of that needs the copy that
    takes most of the time of adding it."""

    def __deepcopy__(self, memo: Any) -> PastTrial:
        return copy.copy(self)


def distributions(space: AnySpace) -> dict[str, BaseDistribution]:
    """What each free choice of a space is to Optuna; as `SearchSpace.sample` suggests it."""
    found: dict[str, BaseDistribution] = {}
    for name, values in space.free().items():
        step = step_of(values)
        found[name] = (
            CategoricalDistribution(values)
            if step is None
            else IntDistribution(values[0], values[-1], step=step)
        )
    return found


def plain_params(free: Mapping[str, tuple[Any, ...]], params: Mapping[str, Any]) -> dict[str, Any] | None:
    """The free choices of a space among params, as it has them; None where one is missing or another's."""
    found = {}
    for name, values in free.items():
        if name not in params or params[name] not in values:
            return None
        found[name] = values[values.index(params[name])]
    return found


# ---------------------------------------------------------------------- from a record


class Translation:
    """Observations as trials of Optuna studies over one space."""

    def __init__(self, space: AnySpace) -> None:
        self.space, self.settled = space, Settled(space)
        self.distributions = distributions(space)

    def frozen_trial(self, seen: Observation, generations_left_out: int = 0) -> FrozenTrial:
        """An observation as a trial: complete, or running while it has no scores."""
        # what no genetic sampler proposed (an enqueued architecture) belongs to the first generation
        generation = seen.attributes.get(GENERATION, 0) - generations_left_out
        now = datetime.now()
        # not by create_trial, which compares each distribution with its kind's of earlier versions
        return PastTrial(
            number=-1,
            trial_id=-1,
            state=TrialState.RUNNING if seen.point is None else TrialState.COMPLETE,
            value=None,
            values=None if seen.point is None else list(seen.point.values),
            datetime_start=now,
            datetime_complete=None if seen.point is None else now,
            params=self.settled.params(seen.params),
            distributions=self.distributions,
            user_attrs={RECORDED_CURVE: seen.curve} if seen.curve.steps else {},
            system_attrs={GENERATION: max(generation, 0)},
            intermediate_values={},
        )


# ---------------------------------------------------------------------- and back


def observations_in(study: optuna.Study, space: AnySpace) -> list[Observation]:
    """What a study knows of networks of a space: of its complete, pruned and running trials."""
    objectives, free = objectives_in(study), space.free()
    found = []
    for trial in study.get_trials(deepcopy=False, states=LEARNT_FROM):
        params = plain_params(free, trial.params)
        if params is not None:
            point = Point(tuple(trial.values), objectives) if trial.state == TrialState.COMPLETE else None
            curve = _curve_of(trial, point, objectives)
            found.append(Observation(number_of(trial), params, point, {}, curve))
    return found


def objectives_in(study: optuna.Study) -> Objectives:
    return tuple(
        Objective(f"objective {place}", "minimize" if way == StudyDirection.MINIMIZE else "maximize")
        for place, way in enumerate(study.directions, 1)
    )


def _curve_of(trial: FrozenTrial, point: Point | None, objectives: Objectives) -> Curve:
    attributes = trial.user_attrs
    if isinstance(recorded := attributes.get(RECORDED_CURVE), Curve):
        return recorded
    single = [[step, [value]] for step, value in sorted(trial.intermediate_values.items())]
    reported = attributes.get(CURVE, single if len(objectives) == 1 else [])
    rungs = [(step, Point(tuple(values), objectives)) for step, values in reported]
    rungs += [] if point is None else [(END, point)]
    return Curve(tuple(step for step, _ in rungs), tuple(point for _, point in rungs))
