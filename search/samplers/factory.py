"""The samplers by name. Each stands in a file of its own, with the settings that make it."""

from __future__ import annotations

from typing import Annotated

from search.samplers.base import MakesSampler, Sampler
from space.shared.plain import ByName

SAMPLERS = {
    "custom": "search.samplers.custom:CustomSamplerSettings",
    "gp": "search.samplers.gp:GaussianProcessSettings",
    "grid": "search.samplers.grid:GridSettings",
    "lasso": "search.samplers.lasso:LassoSettings",
    "linear": "search.samplers.linear:LinearSettings",
    "nsga2": "search.samplers.nsga2:Nsga2Settings",
    "random": "search.samplers.random:RandomSettings",
    "sobol": "search.samplers.sobol:SobolSettings",
    "tpe": "search.samplers.tpe:TpeSettings",
}
WITHOUT_PAST = ("grid", "random", "sobol")  # what they propose follows from seed and number alone
LEARN_FROM_STANDINGS = ("lasso", "linear")  # and so from those of other protocols, too
SamplerSettings = Annotated[MakesSampler, ByName(SAMPLERS, renamed={"own": "custom"})]
"""The settings of any of them: a field of this type is read by its `name`."""


def make_sampler(settings: MakesSampler, seed: int) -> Sampler:
    """The sampler that the settings name; Optuna is imported only for those that are Optuna's."""
    return settings.make(seed)
