"""Hard upper bounds at the scale of the paper."""

from __future__ import annotations

from dataclasses import dataclass

from space.prices.macs import (
    Cost,
)
from space.shared.plain import InputError


@dataclass(frozen=True)
class Budget:
    """Hard upper bounds at the paper's scale. None is no bound."""

    parameters_millions: float | None = None
    gmacs: float | None = None

    def __post_init__(self) -> None:
        for name in ("parameters_millions", "gmacs"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name}: {value} is no budget; allowed: more than 0, or null for no bound")

    def excess(self, cost: Cost) -> list[str]:
        """Why a cost is over budget, a clause for each bound it breaks; empty when it fits."""
        priced = {"parameters_millions": cost.parameters / 1e6, "gmacs": cost.gmacs}
        units = {"parameters_millions": "M parameters", "gmacs": "GMACs"}
        return [
            f"{value:.1f} {units[name]} > {bound:g}"
            for name, value in priced.items()
            if (bound := getattr(self, name)) is not None and value > bound
        ]
