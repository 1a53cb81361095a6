"""Decisions on average over the space: by hand, and as planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t

from analysis.evidence.decisions import PAPER_DECISIONS
from analysis.evidence.main_effects import contrast_interval, main_effects
from tests.analysis.evidence.tables import TWENTY, seeded
from tests.search.made_up import World, networks


def test_main_effects_of_two_groups_are_the_difference_of_their_means() -> None:
    column, scores = np.array([[1.0]] * 4 + [[0.0]] * 4), np.array([3.0, 5.0, 4.0, 4.0, 1.0, 2.0, 0.0, 1.0])
    found = contrast_interval(column, scores, np.array([1.0]), 6, 0.05)
    assert found.middle == pytest.approx(3.0)
    # HC3: each group's squared residuals over (1 - 1/4)^2, over its number squared; both groups sum to 2
    half = t.ppf(0.975, 6) * (2 * 2 / 0.75**2 / 16) ** 0.5
    assert (found.low, found.high) == pytest.approx((3.0 - half, 3.0 + half))


def test_main_effects_are_found_as_planted() -> None:
    world = World(
        truth=lambda n: 0.3 * (n.activation == "swish") - 0.2 * (n.feed_forward_ratio == 3), noise=0.1
    )
    ninety = networks(90)
    found = main_effects(seeded(world, ninety, range(1)), {network.id for network in ninety})
    clip = {each.decision.slug: each.effects[1].interval for each in found}
    assert clip.keys() == {decision.slug for decision in PAPER_DECISIONS} - {"width_for_depth"}
    assert clip["swish"].low < 0.3 < clip["swish"].high and clip["swish"].sign == 1
    assert clip["feed_forward"].low < -0.2 < clip["feed_forward"].high and clip["feed_forward"].sign == -1
    assert {each.decision.slug: each.effects[1].sign for each in found if each.effects[1].sign} == {
        "swish": 1,
        "feed_forward": -1,
    }
    assert main_effects(seeded(world, TWENTY, range(1)), {network.id for network in TWENTY}) == []
    alike = [replace(each, activation="gelu" if each.feed_forward_ratio == 3 else "swish") for each in ninety]
    assert main_effects(seeded(world, alike, range(1)), {network.id for network in alike}) == []
