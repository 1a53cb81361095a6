"""The samplers by name, and the settings of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from search.samplers.base import Sampler
from search.samplers.random import RandomSampler
from space.shared.plain import InputError

LEAST_MODELLED, MOST_MODELLED = 20, 500


@dataclass(frozen=True)
class SamplerSettings:
    """Which sampler. `startup_trials` are drawn at random before TPE or GP model anything; `good_share` is
    the share of trials that TPE models as good; `population` is NSGA-II's; of a longer past,
    `modelled_trials` are modelled; a grid has at most `most_combinations`; `use` names a class of the
    user's own, made with `options`."""

    name: Literal["linear", "tpe", "nsga2", "gp", "random", "sobol", "grid", "own"] = "tpe"
    startup_trials: int = 4
    good_share: float = 0.3
    population: int = 6
    modelled_trials: int = 200
    most_combinations: int = 20_000
    use: str | None = None
    options: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.startup_trials < 1:
            raise InputError(f"startup_trials: {self.startup_trials} is too few; allowed: 1 or more")
        if not 0 < self.good_share < 1:
            raise InputError(f"good_share: {self.good_share} is not a share; allowed: between 0 and 1")
        if self.population < 2:
            raise InputError(f"population: {self.population} is too few; allowed: 2 or more")
        if self.most_combinations < 1:
            raise InputError(f"most_combinations: {self.most_combinations} is too few; allowed: 1 or more")
        if not LEAST_MODELLED <= self.modelled_trials <= MOST_MODELLED:
            raise InputError(
                f"modelled_trials: {self.modelled_trials} is too few or too many; "
                f"allowed: {LEAST_MODELLED} to {MOST_MODELLED}"
            )


def make_sampler(settings: SamplerSettings, seed: int) -> Sampler:
    """The sampler that the settings name; Optuna is imported only for those that are Optuna's."""
    if settings.name == "random":
        return RandomSampler(seed)
    if settings.name == "own":
        from search.samplers.custom import own_sampler

        return own_sampler(settings.use, settings.options, seed)
    if settings.name == "linear":
        from search.samplers.linear import LinearSampler

        return LinearSampler(seed, settings.modelled_trials)
    if settings.name == "sobol":
        from search.samplers.sobol import SobolSampler

        return SobolSampler(seed)
    if settings.name == "grid":
        from search.samplers.grid import GridSampler

        return GridSampler(seed, settings.most_combinations)
    from search.samplers.optuna import ModelSampler, OptunaSampler

    return OptunaSampler(settings, seed) if settings.name == "nsga2" else ModelSampler(settings, seed)
