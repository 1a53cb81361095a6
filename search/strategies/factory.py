"""The strategies by name. Each stands in a file of its own, with the settings that make it."""

from __future__ import annotations

from typing import Annotated

from search.strategies.base import MakesStrategy
from space.shared.plain import ByName

STRATEGIES = {
    "independent": "search.strategies.independent:IndependentSettings",
    "evolve": "search.strategies.evolve:EvolveSettings",
    "supernet": "search.strategies.supernet:SupernetSettings",
}
StrategySettings = Annotated[MakesStrategy, ByName(STRATEGIES)]
"""The settings of any of them: a field of this type is read by its `name`."""
