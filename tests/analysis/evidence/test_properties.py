"""What goes with a good score."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.evidence.properties import most_alike, property_ranks
from tests.analysis.evidence.tables import FORTY, seeded
from tests.search.made_up import World, networks


def test_properties_that_decide_are_found() -> None:
    world = World(truth=lambda network: 0.5 * network.levels[2].cross_attention, noise=0.05)
    found = networks(60)
    strongest, *others = property_ranks(seeded(world, found, range(1)), {network.id for network in found})
    assert strongest.name == "level 3 cross attention: yes"
    assert strongest.fid_counts and strongest.clip_counts and strongest.fid.low > 0.5
    without_layers = sum(not network.levels[0].layers for network in found)
    of_level_1 = next(each for each in others if each.name == "level 1 cross attention: yes")
    assert of_level_1.networks == 60 - without_layers


def test_choices_that_are_not_told_apart_are_named() -> None:
    found = [
        replace(network, activation="gelu" if network.shared_key_value else "swish").canonical()
        for network in FORTY
        if any(level.self_attention for level in network.levels)  # which the sharing acts on
    ]
    one, other, correlation = most_alike(seeded(World(), found, range(1)), {n.id for n in found}) or (
        "",
        "",
        0,
    )
    assert {one, other} == {"shared_key_value", "activation"} and correlation == pytest.approx(1)
