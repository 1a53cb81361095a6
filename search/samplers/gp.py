"""A Gaussian process by Optuna: expected improvement of the hypervolume."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from search.samplers.base import Sampler
from search.samplers.modelled import check_modelled, check_startup
from space.shared.seeds import numbered_seed


@dataclass(frozen=True)
class GaussianProcessSettings:
    """`startup_trials` are sampled at random before anything is modelled; of a longer past
    `modelled_trials` are modelled."""

    name: Literal["gp"] = "gp"
    startup_trials: int = 4
    modelled_trials: int = 200

    def __post_init__(self) -> None:
        check_startup(self.startup_trials)
        check_modelled(self.modelled_trials)

    def make(self, seed: int) -> Sampler:
        from search.samplers.optuna import ModelSampler

        return ModelSampler(partial(_gaussian_process, self), self.modelled_trials, seed, self.name)


def _gaussian_process(settings: GaussianProcessSettings, known: Any, seed: int, number: int) -> Any:
    from search.samplers.acquisition import GaussianProcessSampler
    from search.samplers.optuna_private import RememberingGP

    sampler = RememberingGP(
        n_startup_trials=settings.startup_trials,
        seed=numbered_seed(seed, settings.name, number),
        warn_independent_sampling=False,
    )
    return GaussianProcessSampler(sampler, known, seed)
