"""TPE and NSGA-II by Optuna, without state between proposals.

Each proposal asks a study in memory that holds the recorded past and nothing else. Optuna's own objects
never travel between processes, and a resumed search needs no pickle.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import TrialState

from search.sampler import Observation, Proposal, SamplerSettings, derived_seed
from space.choices import Space, step_of

optuna.logging.set_verbosity(optuna.logging.WARNING)
DIRECTIONS: list[Literal["minimize", "maximize"]] = ["minimize", "maximize"]  # FID, CLIP

GENERATION = "NSGAIISampler:generation"  # where Optuna's NSGA-II keeps the generation of a trial


class OptunaSampler:
    """Two objectives, FID down and CLIP up. Running trials are known to TPE as bad ("constant liar"), so
    that workers in parallel don't all try the same place."""

    def __init__(self, settings: SamplerSettings, seed: int) -> None:
        self.settings, self.seed = settings, seed

    def proposals(self, space: Space, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        study = optuna.create_study(directions=DIRECTIONS, sampler=self._sampler(number))
        study.add_trials([frozen_trial(space, observation) for observation in past])
        while True:
            trial = study.ask()
            architecture = space.draw(trial)
            attributes = {
                key: value
                for key, value in study._storage.get_trial_system_attrs(trial._trial_id).items()
                if key == GENERATION
            }
            yield Proposal(dict(trial.params), architecture, attributes)
            study.tell(trial, state=TrialState.FAIL)  # not taken: invisible to what is drawn next

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        seed = derived_seed(self.seed, self.settings.name, number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", FutureWarning)  # gamma goes in Optuna 6; we require 5
            if self.settings.name == "nsga2":
                return optuna.samplers.NSGAIISampler(population_size=self.settings.population, seed=seed)
            return optuna.samplers.TPESampler(
                n_startup_trials=self.settings.startup_trials,
                gamma=lambda count: math.ceil(self.settings.good_share * count),
                multivariate=True,
                constant_liar=True,
                seed=seed,
            )


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """What each free choice of a space is to Optuna; as `Space.draw` suggests it."""
    found: dict[str, BaseDistribution] = {}
    for name, values in space.free().items():
        step = step_of(values)
        found[name] = (
            CategoricalDistribution(values)
            if step is None
            else IntDistribution(values[0], values[-1], step=step)
        )
    return found


def frozen_trial(space: Space, observation: Observation) -> optuna.trial.FrozenTrial:
    """An observation as a trial of a study: complete, or running while it has no scores."""
    point = observation.point
    trial: Any = optuna.trial.create_trial(
        state=TrialState.RUNNING if point is None else TrialState.COMPLETE,
        values=None if point is None else [point.fid, point.clip],
        params=observation.params,
        distributions=distributions(space),
        # what no genetic sampler proposed (an enqueued architecture) belongs to the first generation
        system_attrs=observation.attributes or {GENERATION: 0},
    )
    return trial
