"""Optuna's NSGA-II: crossover and mutation of the best, in small generations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from search.samplers.base import Sampler
from search.samplers.modelled import check_modelled
from space.shared.plain import InputError
from space.shared.seeds import numbered_seed


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

        return OptunaSampler(partial(_nsga2, self), self.modelled_trials, seed)


def _nsga2(settings: Nsga2Settings, known: Any, seed: int, number: int) -> Any:
    import optuna

    from search.samplers.hard_budget import HardBudgetSampler

    sampler = optuna.samplers.NSGAIISampler(
        population_size=settings.population, seed=numbered_seed(seed, settings.name, number)
    )
    return HardBudgetSampler(sampler, known.space, seed=seed)
