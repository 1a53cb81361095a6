"""Hard upper bounds on named prices, at the scale of the paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from space.architecture import Architecture
from space.choices import Space
from space.prices.macs import Cost, price
from space.prices.memory import peak_activation_bytes, weight_bytes
from space.shared.plain import InputError, check_choices

MIB = 2**20
Precision = Literal["fp32", "fp16", "bf16", "int8"]


@dataclass(frozen=True)
class Price:
    """What may be bounded: `amount` counts whole things, `per` of them are one `unit`.

    An amount that is `summed` follows from a `Cost`, so that it adds up over the stages of a network; of
    arrays it is an array. Any other needs the architecture.
    """

    unit: str
    per: float
    amount: Callable[[Any, str], int]  # of a cost if summed, else of an architecture; and the precision
    summed: bool = True
    at_precision: bool = False


def _bound(unit: str, per: float, amount: Callable[[Any, str], int], **kind: bool) -> Any:
    return field(default=None, metadata={"price": Price(unit, per, amount, **kind)})


@dataclass(frozen=True)
class Budget:
    """Hard upper bounds at the paper's scale. None is no bound. A further price is one more entry here.

    `precision` is that of weights and activations where their bytes are bounded.
    """

    parameters_millions: float | None = _bound("M parameters", 1e6, lambda cost, _: cost.parameters)
    gmacs: float | None = _bound("GMACs", 1e9, lambda cost, _: cost.macs)
    gmacs_without_attention_products: float | None = _bound(
        "GMACs without attention products", 1e9, lambda cost, _: cost.macs_without_attention_products
    )
    weights_mib: float | None = _bound("MiB of weights", MIB, weight_bytes, at_precision=True)
    peak_activations_mib: float | None = _bound(
        "MiB of activations", MIB, peak_activation_bytes, summed=False, at_precision=True
    )
    precision: Precision = "fp16"

    def __post_init__(self) -> None:
        check_choices(self)
        for name in PRICES:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name}: {value} is no budget; allowed: more than 0, or null for no bound")

    def bounds(self) -> dict[str, float]:
        """Those that are set, by name."""
        return {name: bound for name in PRICES if (bound := getattr(self, name)) is not None}

    def prices(self, network: Architecture | Cost) -> dict[str, float]:
        """What is bounded, by name, in the unit of its bound.

        Raises:
            InputError: of a cost alone a price is asked that needs the whole architecture.
        """
        cost = network if isinstance(network, Cost) else price(network)
        return {name: self._priced(name, network, cost) for name in self.bounds()}

    def excess(self, network: Architecture | Cost) -> list[str]:
        """Why a network is over budget, a clause for each bound it breaks; empty when it fits. Raises as
        `prices`."""
        bounds = self.bounds()
        return [
            f"{value:.1f} {self.unit(name)} > {bounds[name]:g}"
            for name, value in self.prices(network).items()
            if value > bounds[name]
        ]

    def unit(self, name: str) -> str:
        return _unit(name, self.precision)

    def words(self) -> list[str]:
        """Each bound as "400 M parameters"."""
        return bounds_in_words(self.to_plain())

    def alone(self, name: str) -> Budget:
        """One of the bounds, without the others."""
        return Budget(**{name: getattr(self, name)}, precision=self.precision)

    def to_plain(self) -> dict[str, Any]:
        """As records hold it: the bounds of the paper always, the others and the precision where they act."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in PAPERS}
        plain |= self.bounds()
        at_precision = any(PRICES[name].at_precision for name in self.bounds())
        return plain | ({"precision": self.precision} if at_precision else {})

    def _priced(self, name: str, network: Architecture | Cost, cost: Cost) -> float:
        priced = PRICES[name]
        if priced.summed:
            return priced.amount(cost, self.precision) / priced.per
        if isinstance(network, Cost):
            raise InputError(f"{name}: follows from no sum over stages, so not from a cost alone")
        return priced.amount(network, self.precision) / priced.per


PRICES: Mapping[str, Price] = {
    entry.name: entry.metadata["price"] for entry in fields(Budget) if "price" in entry.metadata
}


PAPERS = ("parameters_millions", "gmacs")  # bounded in section 3.4; the fewest MACs are few of both


def smallest_of(space: Space, budget: Budget, name: str) -> Architecture:
    """The corner of a space that is cheapest by one of the bounded prices, by MACs where that is a tie: of a
    peak many choices are."""
    one = budget.alone(name)
    return space.smallest(lambda a: (one.prices(a)[name], price(a).macs))


def bounds_in_words(recorded: Mapping[str, Any]) -> list[str]:
    """Each bound that a header holds as "400 M parameters"; a price that is not known by its name."""
    precision = recorded.get("precision", "fp16")
    return [
        f"{bound:g} {_unit(name, precision)}"
        for name, bound in recorded.items()
        if name != "precision" and bound is not None
    ]


def _unit(name: str, precision: str) -> str:
    if name not in PRICES:
        return name
    return f"{PRICES[name].unit} in {precision}" if PRICES[name].at_precision else PRICES[name].unit
