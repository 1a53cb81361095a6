"""Optuna's NSGA-II: crossover and mutation of the best, in small generations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from search.samplers.base import Sampler
from search.samplers.modelled import check_modelled
from space.shared.plain import InputError


@dataclass(frozen=True)
class Nsga2Settings:
    """`population` trials are a generation; of a longer past `modelled_trials` are modelled."""

    name: Literal["nsga2"] = "nsga2"
    population: int = 6
    modelled_trials: int = 200

    def __post_init__(self) -> None:
        check_modelled(self.modelled_trials)
        if self.population < 2:
            raise InputError(f"population: {self.population} is too few; allowed: 2 or more")

    def make(self, seed: int) -> Sampler:
        from search.samplers.optuna import OptunaSampler

        return OptunaSampler(self.name, partial(_nsga2, self), self.modelled_trials, seed)


def _nsga2(settings: Nsga2Settings, seed: int) -> Any:
    import optuna

    return optuna.samplers.NSGAIISampler(population_size=settings.population, seed=seed)
