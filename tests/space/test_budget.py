"""Bounds on named prices: what breaks is named, in the unit of its bound."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from space.architecture import Architecture, Level
from space.budget import LATENCY, PRICES, Budget, bounds_in_words, smallest_of
from space.choices import LevelRanges, Space
from space.image_budget import IMAGE_FIELDS, TOTAL
from space.prices.macs import price
from space.prices.memory import peak_activation_bytes
from space.shared.plain import InputError, from_plain
from tests.space.strategies import architectures

WITHOUT_LIST = set(PRICES) - {LATENCY, TOTAL}  # these are held in tests of their own

CONF = Path(__file__).parents[2] / "conf"
MD = Architecture.load(CONF / "arch" / "md.yaml")


def test_each_bound_that_breaks_is_named() -> None:
    assert Budget(400, 200).excess(MD) == []
    assert Budget(280, 156).excess(MD) == ["387.4 M parameters > 280", "183.6 GMACs > 156"]
    assert Budget(None, 150).excess(MD) == ["183.6 GMACs > 150"]


def test_further_prices_of_md_by_hand() -> None:
    """387,376,712 parameters of 2 bytes are 738.9 MiB, of 1 byte 369.4."""
    cost = price(MD)
    plain = (cost.macs - cost.attention_macs) / 1e9
    budget = Budget(gmacs_without_attention_products=100, weights_mib=738)
    assert budget.excess(MD) == [
        f"{plain:.1f} GMACs without attention products > 100",
        "738.9 MiB of weights in fp16 > 738",
    ]
    assert replace(budget, precision="int8").excess(MD)[1:] == []
    assert Budget(weights_mib=369, precision="int8").excess(MD) == ["369.4 MiB of weights in int8 > 369"]


def test_activations_at_their_peak() -> None:
    """By hand in tests/space/prices/test_memory.py: 259 elements; in fp32 1036 bytes."""
    level = Level(2, "full", (0,), (0, 0))
    a = Architecture(
        (level,), norm_groups=1, head_width=None, heads=1, time_width=3, latent_channels=1, latent_size=4
    )
    fits = Budget(peak_activations_mib=1036 / 2**20, precision="fp32")
    assert fits.excess(a) == [] and fits.amounts(a) == {"peak_activations_mib": 1036 / 2**20}
    [clause] = Budget(peak_activations_mib=1035 / 2**20, precision="fp32").excess(a)
    assert clause.startswith("0.0 MiB of activations in fp32 > 0.00098")


@settings(deadline=None, max_examples=100, derandomize=True, suppress_health_check=list(HealthCheck))
@given(architectures())
def test_prices_are_those_of_the_architecture(a: Architecture) -> None:
    """A bound at the price itself holds; a little below it breaks, and alone."""
    cost = price(a)
    expected = {
        "parameters_millions": cost.parameters / 1e6,
        "gmacs": cost.macs / 1e9,
        "gmacs_without_attention_products": (cost.macs - cost.attention_macs) / 1e9,
        "weights_mib": 2 * cost.parameters / 2**20,
        "peak_activations_mib": peak_activation_bytes(a, "fp16") / 2**20,
    }
    assert set(expected) == WITHOUT_LIST
    budget = Budget(**expected)
    assert budget.amounts(a) == expected and budget.excess(a) == []
    for name, value in expected.items():
        assert len(replace(budget, **{name: value * 0.999}).excess(a)) == 1
        assert len(Budget(**{name: value * 0.999}).excess(a)) == 1


def test_of_a_cost_alone_what_is_summed_can_be_told() -> None:
    assert Budget(280, 156).excess(price(MD)) == Budget(280, 156).excess(MD)
    with pytest.raises(InputError, match=r"peak_activations_mib: .*sum"):
        Budget(peak_activations_mib=1).excess(price(MD))


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"gmacs": 0}, "gmacs: 0.0 is no budget; allowed: more than 0"),
        ({"weights_mib": -1}, "weights_mib: -1.0 is no budget"),
        ({"precision": "fp61"}, "precision: 'fp61' .*did you mean 'fp16'"),
        ({"weight_mib": 3}, "weight_mib: no such field; did you mean 'weights_mib'"),
    ],
)
def test_impossible_budgets_are_refused(plain: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_plain(Budget, plain)


def test_a_bare_budget_refuses_an_unknown_precision() -> None:
    with pytest.raises(InputError, match="precision: 'fp61'"):
        Budget(precision="fp61")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["md", "md_lite", "none"])
def test_presets_hold_every_price_and_no_other(name: str) -> None:
    held = yaml.safe_load((CONF / "budget" / f"{name}.yaml").read_text())
    of_decoders = set() if name == "none" else {"unet", "unet_prices"}
    assert set(held) == set(Budget.__dataclass_fields__) - {"other_side"} - of_decoders
    of_image = {key: held[key] for key in (TOTAL, *IMAGE_FIELDS) if key in held}
    assert of_image == {key: Budget.__dataclass_fields__[key].default for key in of_image}
    assert {key: held[key] for key in set(held) - {"parameters_millions", "gmacs", *of_image}} == {
        "gmacs_without_attention_products": None,
        "weights_mib": None,
        "peak_activations_mib": None,
        "latency_ms": None,
        "precision": "fp16",
        "prices": None,
    }


def test_records_hold_the_papers_bounds_and_what_else_acts() -> None:
    assert Budget(400, 200).to_plain() == {"parameters_millions": 400, "gmacs": 200}
    assert Budget().to_plain() == {"parameters_millions": None, "gmacs": None}
    stated = Budget(gmacs=200, weights_mib=300, precision="int8")
    assert stated.to_plain() == {
        "parameters_millions": None,
        "gmacs": 200,
        "weights_mib": 300,
        "precision": "int8",
    }
    for budget in (stated, Budget(400, 200), Budget()):
        assert from_plain(Budget, budget.to_plain()) == budget


def test_bounds_in_words() -> None:
    assert Budget(400, 200).words() == ["400 M parameters", "200 GMACs"]
    assert Budget(weights_mib=300.5, precision="int8").words() == ["300.5 MiB of weights in int8"]
    assert bounds_in_words({"gmacs": None, "weights_mib": 10}) == ["10 MiB of weights in fp16"]
    assert bounds_in_words({"of_a_later_version": 3.0}) == ["3 of_a_later_version"]


def test_the_smallest_by_each_price_is_below_every_other_network() -> None:
    space = Space(
        {
            "a": LevelRanges(
                (64, 128), ("full", "separable"), layers_up=(0, 1), self_attention=(False, True)
            ),
            "b": LevelRanges((64, 128, 192), ("separable", "full"), (2, 1), layers_down=(1, 0)),
        },
        separable_expansion=(4, 2),
        attention=("relu", "softmax"),
    )
    names = [name for name, _ in space.choices()]
    every = [space.architecture(dict(zip(names, picked, strict=True))) for picked in _all(space)]
    for name in sorted(WITHOUT_LIST):
        budget = Budget(**{name: 1.0})
        least = min(budget.amounts(a)[name] for a in every)
        assert budget.amounts(smallest_of(space, budget, name))[name] == least


def _all(space: Space) -> list[tuple[object, ...]]:
    from itertools import product

    return list(product(*(values for _, values in space.choices())))
