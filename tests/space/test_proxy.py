import random

import pytest
import yaml

from space.architecture import Architecture
from space.choices import UniformSuggestions
from space.prices.macs import price
from space.proxy import Proxy, narrow
from space.shared.plain import InputError, from_plain
from tests.space.test_choices import MD, md_space


def preset(name: str) -> Proxy:
    with open(f"conf/proxy/{name}.yaml") as file:
        proxy = from_plain(Proxy, yaml.safe_load(file), "proxy")
    assert isinstance(proxy, Proxy)
    return proxy


def test_full_is_the_identity():
    assert narrow(MD, preset("full")) == MD


def test_md_narrowed_by_sixteen():
    small = narrow(MD, preset("embedded"))
    assert [level.channels for level in small.levels] == [20, 40, 64]
    assert (small.time_width, small.latent_size, small.latent_channels) == (80, 12, 14)
    assert [(level.down, level.up, level.conv) for level in small.levels] == [
        (level.down, level.up, level.conv) for level in MD.levels
    ]


def test_distinct_architectures_stay_distinct():
    space, proxy, chance = md_space(), preset("embedded"), random.Random(0)
    sampled = {a.id: a for a in (space.sample(UniformSuggestions(chance)) for _ in range(1000))}
    assert len({narrow(a, proxy).id for a in sampled.values()}) == len(sampled) > 990


@pytest.mark.parametrize(("name", "inner_tokens"), [("tokens", 36), ("thorough", 36), ("reference", 64)])
def test_a_dearer_proxy_holds_for_every_network_of_the_space(name, inner_tokens):
    space, proxy, chance = md_space(), preset(name), random.Random(0)
    sampled = {a.id: a for a in (space.sample(UniformSuggestions(chance)) for _ in range(200))}
    narrowed = {narrow(a, proxy).id: narrow(a, proxy) for a in sampled.values()}
    assert len(narrowed) == len(sampled)
    assert {a.size_at(2) ** 2 for a in narrowed.values()} == {inner_tokens}


def test_every_innermost_width_has_a_proxy_width_of_its_own():
    widths = md_space().levels["level_3"].channels
    chosen = {name: values[0] for name, values in md_space().choices()}
    narrowed = [
        narrow(md_space().architecture(chosen | {"level_3.channels": width}), preset("embedded"))
        for width in widths
    ]
    assert {896, 960, 1024} <= set(widths)
    assert len({a.levels[2].channels for a in narrowed}) == len(widths)


def test_cost_falls_with_the_proxy_in_the_same_order_for_wider_networks():
    space, proxy = md_space(), preset("embedded")
    chosen = {name: values[0] for name, values in space.choices()}
    widths = space.levels["level_3"].channels
    costs = [price(narrow(space.architecture(chosen | {"level_3.channels": w}), proxy)).macs for w in widths]
    assert costs == sorted(costs) and len(set(costs)) == len(costs)


def test_a_width_that_would_have_to_be_rounded_is_refused():
    with pytest.raises(InputError, match=r"levels\[0\].channels: 320 does not divide .* nearest: 315, 330"):
        narrow(Architecture.load("conf/arch/md.yaml"), Proxy(width_divisor=5 * 3))


def test_a_proxy_that_no_network_can_take_says_so():
    with pytest.raises(InputError, match=r"e7d9e606fec8 .*: latent_size"):
        narrow(MD, Proxy(latent_size=18))


def test_the_divisor_is_one_or_more():
    with pytest.raises(InputError, match=r"width_divisor: 0 .*allowed: 1 or more"):
        Proxy(width_divisor=0)
