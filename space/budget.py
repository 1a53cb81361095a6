"""Hard upper bounds on named prices, at the scale of the paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from space.autoencoder import Autoencoder
from space.candidates import Candidate
from space.image_budget import IMAGE_FIELDS, TOTAL, ImageBudget, image_fields, with_whole_paths
from space.image_time import ImageTime, OtherSide
from space.prices.candidates import candidate_activation_bytes, candidate_price
from space.prices.latency import PriceList
from space.prices.macs import Cost
from space.prices.memory import weight_bytes
from space.search_space import AnySpace
from space.shared.plain import UNLESS, InputError, check_choices, to_plain, unless

MIB = 2**20
Precision = Literal["fp32", "fp16", "bf16", "int8"]
LATENCY = "latency_ms"


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


def _bound(
    unit: str, per: float, amount: Callable[[Any, str], int], *, stored: bool = True, **kind: bool
) -> Any:
    """`stored`: also where it is null."""
    metadata = {"price": Price(unit, per, amount, **kind)} | ({} if stored else {UNLESS: True})
    return field(default=None, metadata=metadata)


@dataclass(frozen=True)
class Budget:
    """Hard upper bounds at the paper's scale. None is no bound. A further price is one more entry here.

    `precision` is that of weights and activations where their bytes are bounded. `latency_ms` bounds what the
    price lists in the files `prices` predict: one bound for the slowest, or one for each.

    `total_ms` bounds an image (`ImageTime`) by one list, of UNets beside a `decoder`, of decoders beside a
    `unet`: milliseconds, or a search's run folder, or a network that the list `<side>_prices` prices. What
    was read there is the `other_side`.
    """

    parameters_millions: float | None = _bound("M parameters", 1e6, lambda cost, _: cost.parameters)
    gmacs: float | None = _bound("GMACs", 1e9, lambda cost, _: cost.macs)
    gmacs_without_attention_products: float | None = _bound(
        "GMACs without attention products", 1e9, lambda cost, _: cost.macs_without_attention_products
    )
    weights_mib: float | None = _bound("MiB of weights", MIB, weight_bytes, at_precision=True)
    peak_activations_mib: float | None = _bound(
        "MiB of activations", MIB, candidate_activation_bytes, summed=False, at_precision=True
    )
    latency_ms: tuple[float, ...] | float | None = _bound("ms", 1, lambda *_: 0, summed=False)
    precision: Precision = "fp16"
    prices: tuple[str, ...] | str | None = None
    total_ms: float | None = _bound("ms an image", 1, lambda *_: 0, stored=False, summed=False)
    steps: int = unless(8)
    calls_per_step: int = unless(1)
    text_ms: float = unless(0.0)
    decoder: float | str | None = unless(None)
    decoder_prices: str | None = unless(None)
    unet: float | str | None = unless(None)
    unet_prices: str | None = unless(None)
    other_side: OtherSide | None = field(default=None, hash=False, metadata={UNLESS: True})

    def __post_init__(self) -> None:
        check_choices(self)
        for name in PRICES:
            value = getattr(self, name)
            for bound in value if isinstance(value, tuple) else (value,):
                if bound is not None and not bound > 0:
                    raise InputError(
                        f"{name}: {bound} is no budget; allowed: more than 0, or null for no bound"
                    )
        self._check_latency()
        _ = self.image

    def _check_latency(self) -> None:
        files, bound = self.files, self.latency_ms
        if len(set(files)) < len(files) or self.prices == ():
            raise InputError(f"prices: {list(files)}; allowed: one file or more, each once, or null")
        if bound is not None and not files:
            raise InputError(
                f"{LATENCY}: needs a price list, prices=<file>, which mdsearch latency prices measures"
            )
        if isinstance(bound, tuple) and len(bound) != len(files):
            raise InputError(
                f"{LATENCY}: {len(bound)} bounds for {len(files)} price lists; allowed: one for the slowest, "
                "or one for each"
            )

    @property
    def files(self) -> tuple[str, ...]:
        """Of the price lists."""
        return (self.prices,) if isinstance(self.prices, str) else self.prices or ()

    def absolute(self) -> Budget:
        """With whole paths, which mean the same files in a worker's folder and to a resumed search."""
        if self.prices is None:
            return self
        whole = tuple(str(Path(file).expanduser().absolute()) for file in self.files)
        prices = whole[0] if isinstance(self.prices, str) else whole
        return replace(self, prices=prices, **with_whole_paths(self))

    @cached_property
    def lists(self) -> tuple[PriceList, ...]:
        """Read when they are first asked for. Raises InputError."""
        try:
            return tuple(map(PriceList.load, self.files))
        except InputError as error:
            raise InputError(f"prices: {error}") from None

    def latencies(self, candidate: Candidate) -> tuple[float, ...]:
        """ms by each price list. Raises InputError for what one does not hold."""
        return tuple(one.milliseconds(candidate) for one in self.lists)

    def latency(self, candidate: Candidate) -> float:
        """The slowest of them; with a bound for each, what is nearest to its bound, on the first's scale."""
        scales = [self._bounds_ms[0] / bound for bound in self._bounds_ms]
        return max(ms * scale for ms, scale in zip(self.latencies(candidate), scales, strict=True))

    @cached_property
    def image(self) -> ImageBudget | None:
        """What `total_ms` and its fields say; None without it."""
        return ImageBudget.of(self)

    @property
    def evaluation_bound(self) -> float | None:
        """What one evaluation, or decoding, may take by `latency_ms` (on the first list) and by `total_ms`;
        None where neither is set."""
        found = [self._bounds_ms[0]] if self.latency_ms is not None else []
        return min(found + ([self.image.most_ms] if self.image is not None else []), default=None)

    @property
    def _bounds_ms(self) -> tuple[float, ...]:
        bound = self.latency_ms
        return bound if isinstance(bound, tuple) else (bound or 1.0,) * len(self.files)

    def bounds(self) -> dict[str, float]:
        """Those that are set, by name; of a bound for each price list the first."""
        found = {name: bound for name in PRICES if (bound := getattr(self, name)) is not None}
        return found | ({LATENCY: self._bounds_ms[0]} if LATENCY in found else {})

    def amounts(self, network: Candidate | Cost) -> dict[str, float]:
        """What is bounded, by name, in the unit of its bound.

        Raises:
            InputError: of a cost alone a price is asked that needs the whole architecture.
        """
        cost = network if isinstance(network, Cost) else candidate_price(network)
        return {name: self._priced(name, network, cost) for name in self.bounds()}

    def excess(self, network: Candidate | Cost) -> list[str]:
        """Why a network is over budget, a clause for each bound it breaks; empty when it fits. Raises as
        `amounts`."""
        bounds = self.bounds()
        digits = ".4g" if isinstance(network, Autoencoder) else ".1f"  # of decoders of small images, too
        clauses = [
            f"{value:{digits}} {self.unit(name)} > {bounds[name]:g}"
            for name, value in self.amounts(network).items()
            if value > bounds[name] and name not in (LATENCY, TOTAL)
        ]
        if isinstance(network, Cost):
            return clauses
        if LATENCY in bounds:
            slow = zip(self.latencies(network), self._bounds_ms, self.lists, strict=True)
            clauses += [
                f"{ms:{digits}} ms > {bound:g} ({one.describe()})" for ms, bound, one in slow if ms > bound
            ]
        if self.image is not None:
            clauses += self.image.excess(self.latency(network), self.lists[0].describe())
        return clauses

    def unit(self, name: str) -> str:
        return _unit(name, self.precision)

    def words(self) -> list[str]:
        """Each bound as "400 M parameters"."""
        return bounds_in_words(self.to_plain())

    def alone(self, name: str) -> Budget:
        """One of the bounds, without the others."""
        lists = self.prices if name in (LATENCY, TOTAL) else None
        beside = {each: getattr(self, each) for each in IMAGE_FIELDS} if name == TOTAL else {}
        return Budget(**{name: getattr(self, name)}, precision=self.precision, prices=lists, **beside)

    def to_plain(self) -> dict[str, Any]:
        """As records hold it: the bounds of the paper always, the others and the precision where they act."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in PAPERS}
        plain |= {name: to_plain(getattr(self, name)) for name in self.bounds()}
        at_precision = any(PRICES[name].at_precision for name in self.bounds())
        lists = {"prices": list(self.files)} if self.files else {}
        return plain | ({"precision": self.precision} if at_precision else {}) | lists | image_fields(self)

    def _priced(self, name: str, network: Candidate | Cost, cost: Cost) -> float:
        priced = PRICES[name]
        if priced.summed:
            return priced.amount(cost, self.precision) / priced.per
        if isinstance(network, Cost):
            raise InputError(f"{name}: follows from no sum over stages, so not from a cost alone")
        if name == LATENCY:
            return self.latency(network)
        if name == TOTAL and self.image is not None:
            return self.image.spent_ms(self.latency(network))
        return priced.amount(network, self.precision) / priced.per


PRICES: Mapping[str, Price] = {
    entry.name: entry.metadata["price"] for entry in fields(Budget) if "price" in entry.metadata
}


PAPERS = ("parameters_millions", "gmacs")  # bounded in section 3.4; the fewest MACs are few of both


def smallest_of(space: AnySpace, budget: Budget, name: str) -> Any:
    """The corner of a space that is cheapest by one of the bounded prices, by MACs where that is a tie: of a
    peak many choices are."""
    one = budget.alone(name)
    return space.smallest(lambda a: (one.amounts(a)[name], candidate_price(a).macs))


def bounds_in_words(recorded: Mapping[str, Any]) -> list[str]:
    """Each bound that a header holds as "400 M parameters"; a price that is not known by its name."""
    precision = recorded.get("precision", "fp16")
    return [
        f"{_number(bound)} {_unit(name, precision)}{_of_steps(recorded) if name == TOTAL else ''}"
        for name, bound in recorded.items()
        if name not in ("precision", "prices", *IMAGE_FIELDS) and bound is not None
    ]


def _of_steps(recorded: Mapping[str, Any]) -> str:
    """` of 8 steps`."""
    names = (TOTAL, "steps", "calls_per_step")
    return f" of {ImageTime(**{name: recorded[name] for name in names if name in recorded}).words()}"


def _number(bound: float | Sequence[float]) -> str:
    return f"{bound:g}" if isinstance(bound, (int, float)) else " and ".join(f"{one:g}" for one in bound)


def _unit(name: str, precision: str) -> str:
    if name not in PRICES:
        return name
    return f"{PRICES[name].unit} in {precision}" if PRICES[name].at_precision else PRICES[name].unit
