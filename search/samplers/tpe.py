"""Optuna's multi-objective TPE over all choices jointly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from search.samplers.base import Sampler
from search.samplers.modelled import check_modelled, check_startup
from space.shared.plain import InputError
from space.shared.seeds import numbered_seed


@dataclass(frozen=True)
class TpeSettings:
    """`startup_trials` are sampled at random before anything is modelled; `good_share` of the trials are
    modelled as good; of a longer past `modelled_trials` are modelled."""

    name: Literal["tpe"] = "tpe"
    startup_trials: int = 4
    good_share: float = 0.3
    modelled_trials: int = 200

    def __post_init__(self) -> None:
        check_startup(self.startup_trials)
        check_modelled(self.modelled_trials)
        if not 0 < self.good_share < 1:
            raise InputError(f"good_share: {self.good_share} is not a share; allowed: between 0 and 1")

    def make(self, seed: int) -> Sampler:
        from search.samplers.optuna import ModelSampler

        return ModelSampler(partial(_tpe, self), self.modelled_trials, seed, self.name)


def _tpe(settings: TpeSettings, known: Any, seed: int, number: int) -> Any:
    from search.samplers.acquisition import AcquisitionSampler
    from search.samplers.optuna_private import RememberingTPE

    sampler = RememberingTPE(
        n_startup_trials=settings.startup_trials,
        gamma=lambda count: math.ceil(settings.good_share * count),
        multivariate=True,
        constant_liar=True,
        seed=numbered_seed(seed, settings.name, number),
    )
    return AcquisitionSampler(sampler, known, seed)
