"""Proxies proposed for a space hold for every network of it."""

from __future__ import annotations

import random
from dataclasses import replace
from math import gcd

import pytest

from space.choices import LevelRanges, Space, UniformSuggestions
from space.proposal import inner_size, proposed_proxies
from space.proxy import narrow
from space.shared.plain import InputError

FOUR = Space(
    levels={
        "level_1": LevelRanges((128, 192)),
        "level_2": LevelRanges((256, 320), layers_down=(0, 1), cross_attention=(True,)),
        "level_3": LevelRanges((512,), layers_down=(1, 2), layers_up=(1,), self_attention=(False, True)),
        "level_4": LevelRanges((640, 768), conv=("separable",), layers_down=(1,), cross_attention=(True,)),
    }
)


def test_every_network_of_the_space_has_every_proxy_that_is_proposed() -> None:
    chance = random.Random(0)
    networks = [FOUR.sample(UniformSuggestions(chance)) for _ in range(60)]
    proxies = proposed_proxies(FOUR, [16, 24], 14, (12, 48))
    assert [proxy.width_divisor for proxy in proxies][::2] == [16, 8, 4, 2]
    assert {(proxy.latent_size, proxy.context_width) for proxy in proxies} == {(16, 48), (24, 48)}
    for proxy in proxies:
        for network in networks:
            narrowed = narrow(network, proxy)
            assert narrowed.latent_channels == 14
            assert all(narrowed.size_at(level) * 2**level == proxy.latent_size for level in range(4))
            assert all(level.channels % narrowed.norm_groups == 0 for level in narrowed.levels)


def test_tokens_are_those_of_the_innermost_level() -> None:
    assert [inner_size(FOUR, size) for size in (16, 24, 64)] == [2, 3, 8]


@pytest.mark.parametrize(
    ("divisor", "heads", "groups"), [(16, 4, 4), (8, 4, 8), (4, None, 16), (2, None, 32)]
)
def test_narrow_heads_become_a_fixed_number(divisor: int, heads: int | None, groups: int) -> None:
    proxy = next(p for p in proposed_proxies(FOUR, [16], 14, None) if p.width_divisor == divisor)
    assert (proxy.heads, proxy.norm_groups, proxy.context_width) == (heads, groups, None)


def test_a_space_of_odd_multiples_has_heads_and_groups_that_divide() -> None:
    odd = Space(levels={"a": LevelRanges((96, 288)), "b": LevelRanges((480, 672), layers_down=(1,))})
    odd = replace(odd, base={"time_width": 960, "norm_groups": 16, "heads": 6, "head_width": None})
    for proxy in proposed_proxies(odd, [4], 14, None):
        narrowed = [narrow(odd.sample(UniformSuggestions(random.Random(seed))), proxy) for seed in range(9)]
        assert gcd(*(network.levels[0].channels for network in narrowed)) % 2 == 0
    assert proposed_proxies(odd, [4], 14, None)[-1].heads is None


def test_a_space_without_a_common_divisor_is_refused() -> None:
    prime = Space(levels={"a": LevelRanges((34, 38))}, base={"norm_groups": 2, "head_width": 1})
    with pytest.raises(InputError, match=r"^space: .*time_width = 1280 "):
        proposed_proxies(prime, [4], 14, None)
