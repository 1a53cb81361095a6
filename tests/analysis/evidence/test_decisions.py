"""The paper's decisions: a partner differs in exactly one, and its partner is the network itself."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from analysis.evidence.decisions import (
    PAPER_DECISIONS,
    TRADE_TOLERANCE,
    MatchedPair,
    PaperDecision,
    Trade,
    pairs_among,
)
from search.named import named_architecture
from space.architecture import Architecture
from space.choices import UniformSuggestions
from space.difference import difference
from space.prices.macs import price
from tests.search.worlds import md_space

SPACE = md_space()
BY_SLUG = {decision.slug: decision for decision in PAPER_DECISIONS}
MD, MD_LITE = named_architecture("md"), named_architecture("md_lite")
# What `difference` says of MD's partner, and whether MD made the paper's choice: read off Table 6.
AT_MD = {
    "sa_middle": (["level 2 self attention: no -> yes"], True),
    "ca_middle": (["level 2 cross attention: yes -> no"], True),
    "ca_innermost": (["level 3 cross attention: yes -> no"], True),
    "shared_kv": (["shared key value: yes -> no"], True),
    "feed_forward": (["feed forward ratio: 3 -> 4"], True),
    "separable": (["level 3 conv: separable -> full"], True),
    "width_for_depth": (
        [
            "level 3 channels: 1024 -> 896",
            "level 3 down: [3, 3] -> [4, 4]",
            "level 3 up: [3, 3, 3] -> [4, 4, 4]",
        ],
        True,
    ),
    "swish": (["activation: swish -> gelu"], True),
    "relu": (["attention: softmax -> relu"], False),
}


def sampled(count: int, seed: int = 0) -> list[Architecture]:
    chance = random.Random(seed)
    return [SPACE.sample(UniformSuggestions(chance)) for _ in range(count)]


@pytest.mark.parametrize("slug", AT_MD)
def test_the_partner_of_md(slug: str) -> None:
    decision = BY_SLUG[slug]
    partner = decision.partner(MD, SPACE)
    assert partner is not None
    assert (difference(MD, partner), decision.has_papers(MD, partner, SPACE)) == AT_MD[slug]
    assert decision.has_papers(partner, MD, SPACE) is not AT_MD[slug][1]


def test_every_decision_was_looked_at() -> None:
    assert AT_MD.keys() == BY_SLUG.keys()


@pytest.mark.parametrize("decision", PAPER_DECISIONS, ids=lambda decision: decision.slug)
def test_partners_differ_in_exactly_the_decision_and_come_back(decision: PaperDecision) -> None:
    acted = 0
    for network in sampled(50 if isinstance(decision.change, Trade) else 300):
        before = SPACE.pinned() | SPACE.encode(network)
        for partner in decision.partners(network, SPACE):
            acted += 1
            after = SPACE.pinned() | SPACE.encode(partner)
            changed = {name for name in before if before[name] != after[name]}
            if isinstance(decision.change, Trade):
                assert "level_3.channels" in changed
                assert changed <= {"level_3.channels", "level_3.layers_down", "level_3.layers_up"}
                assert network in decision.partners(partner, SPACE)
            else:
                assert changed == {decision.change.name}
                assert len(difference(network, partner)) == 1
                assert decision.partners(partner, SPACE) == [network]
            assert decision.has_papers(network, partner, SPACE) is not decision.has_papers(
                partner, network, SPACE
            )
    assert acted > 60


def test_a_trade_costs_the_same_and_moves_depth_against_width() -> None:
    for network in sampled(150, seed=1):
        for partner in BY_SLUG["width_for_depth"].partners(network, SPACE):
            ours, theirs = price(network), price(partner)
            assert theirs.parameters == pytest.approx(ours.parameters, rel=TRADE_TOLERANCE / 0.97)
            assert theirs.macs == pytest.approx(ours.macs, rel=TRADE_TOLERANCE / 0.97)
            one, other = network.levels[2], partner.levels[2]
            assert (one.channels - other.channels) * (one.layers - other.layers) < 0


def with_level(architecture: Architecture, index: int, **changes: object) -> Architecture:
    levels = list(architecture.levels)
    levels[index] = replace(levels[index], **changes)
    return replace(architecture, levels=tuple(levels)).canonical()


def test_where_a_decision_has_nothing_to_act_on_there_is_no_partner() -> None:
    no_layers = with_level(MD, 1, down=(0,), up=(0, 0))
    no_attention_inside = with_level(MD, 2, self_attention=False)
    for slug, network in (
        ("sa_middle", no_layers),
        ("ca_middle", no_layers),
        ("sa_middle", with_level(MD, 1, cross_attention=False)),
        ("shared_kv", no_attention_inside),
        ("feed_forward", replace(MD, feed_forward_ratio=2)),
        ("swish", replace(MD, head_width=32)),  # not a point of the space
    ):
        assert BY_SLUG[slug].partner(network, SPACE) is None
    # The only self-attention takes the sharing of keys and values with it: that would be two decisions.
    only_there = with_level(replace(no_attention_inside, shared_key_value=False), 1, self_attention=True)
    assert BY_SLUG["sa_middle"].partner(only_there, SPACE) is None
    assert BY_SLUG["sa_middle"].partner(replace(only_there, shared_key_value=True), SPACE) is not None


def test_a_partner_outside_the_space_is_none() -> None:
    narrower = replace(SPACE, feed_forward_ratio=(3,), activation=("swish",))
    assert BY_SLUG["feed_forward"].partner(MD, narrower) is None
    assert BY_SLUG["swish"].partner(MD, narrower) is None
    assert BY_SLUG["relu"].partner(MD, narrower) is not None


def test_pairs_are_found_among_any_networks_each_network_once() -> None:
    gelu, lite_gelu = replace(MD, activation="gelu"), replace(MD_LITE, activation="gelu")
    networks = [lite_gelu, MD, *sampled(20), gelu, MD_LITE]
    assert pairs_among(BY_SLUG["swish"], networks, SPACE) == [
        MatchedPair(MD_LITE, lite_gelu),
        MatchedPair(MD, gelu),
    ]
    assert pairs_among(BY_SLUG["relu"], [MD, MD_LITE], SPACE) == []
    trades = BY_SLUG["width_for_depth"]
    one, *others = [MD, *trades.partners(MD, SPACE)]
    found = pairs_among(trades, [one, *others], SPACE)
    assert len(others) > 1
    used = [id for pair in found for id in pair.ids]
    assert found[0].papers == MD and len(used) == len(set(used))
