"""Noise from repeated seeds: as planted, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.evidence.noise import noise_at, noise_by_rung, variance_share_of_common_seeds
from analysis.evidence.noise_levels import noise_levels
from search.statistics.variance import Variance
from tests.analysis.evidence.tables import CLIP, FID, FORTY, TWENTY, half_fail, seeded, table
from tests.search.made_up import NOISE, RUNGS, World, by_size


def test_noise_is_found_as_it_was_planted() -> None:
    found = noise_by_rung(seeded(World(noise=0.1), FORTY, range(2)), [n.id for n in FORTY])
    assert len(found) == 4 * len(RUNGS)
    for each in found:
        planted = 0.1 * (RUNGS[-1] / each.step) ** 0.5
        low, high = each.seeds.deviation_interval(level=0.001)
        assert low < planted < high
        assert (each.networks, each.seeds.degrees_of_freedom) == (40, 40)
    clip = next(each for each in found if each.metric == CLIP and each.step == RUNGS[-1])
    sizes = [by_size(network) for network in FORTY]
    assert clip.spread == pytest.approx(np.std(sizes), rel=0.25)
    assert clip.reliability == pytest.approx(clip.spread**2 / (clip.spread**2 + clip.seeds.value))


def test_noise_by_level_is_that_of_each_third() -> None:
    """Of nine networks with two seeds, whose FIDs differ by 1, 2 and 3 tenths of the logarithm."""
    events = World(noise=0.0, truth=lambda n: FORTY.index(n) / 10).run(
        "table", [(network, seed) for seed in (0, 1) for network in FORTY[:9]]
    )
    for event in events.events:
        if event["event"] == "rung" and event["key"] in {str(number) for number in range(9, 18)}:
            place = int(event["key"]) - 9
            event["scores"]["fid_embedded_clip"] *= np.exp(0.1 * (1 + place // 3))
    best, middle, worst = noise_levels(table(events))
    for level, tenths in ((worst, 1), (middle, 2), (best, 3)):  # a later network is better
        assert level.networks == 3
        assert level.noise[FID, RUNGS[-1]].deviation == pytest.approx(0.1 * tenths / 2**0.5)
    assert best.to_fid < middle.from_fid < middle.to_fid < worst.from_fid
    assert worst.to_fid == pytest.approx(1000 * np.exp(0.05))
    assert noise_levels(seeded(World(), TWENTY[:8], range(2))) == []


def test_too_few_repeats_say_nothing_and_the_stated_noise_stands() -> None:
    once = seeded(World(), TWENTY, range(1))
    assert noise_by_rung(once, []) == []
    assert noise_at([], FID, 400, NOISE) == Variance(0.1**2, 6.0)
    assert noise_at([], CLIP, 100, NOISE) == Variance(0.05**2, 6.0)


def test_what_common_seeds_leave_by_hand() -> None:
    # Levels 0, 10, 20; seeds shift all by -1, +1; the rest is +-.1 in each run, and sums to zero.
    values = {
        "a": {0: -1.1, 1: 1.1},
        "b": {0: 9.0, 1: 11.0},
        "c": {0: 19.1, 1: 20.9},
    }
    found = variance_share_of_common_seeds(values)
    # mean squares: of seeds 3 * 2 * 1^2 / 1 = 6, of the rest 4 * .1^2 / 2 = .02; F = 300
    assert found is not None and found.middle == pytest.approx(3 / (300 - 1 + 3))
    assert found.low < found.middle < found.high < 1


def test_common_seeds_help_where_they_do_and_seldom_elsewhere() -> None:
    def helps(common: float, times: int) -> int:
        chance, count = np.random.default_rng(0), 0
        for _ in range(times):
            shared, own = chance.normal(size=3), chance.normal(size=(20, 3))
            scores = common**0.5 * shared + (1 - common) ** 0.5 * own
            values = {str(row): dict(enumerate(map(float, each))) for row, each in enumerate(scores)}
            found = variance_share_of_common_seeds(values)
            assert found is not None
            count += found.high < 1
        return count

    assert helps(0.0, 200) <= 12  # 2.5 % of them, in truth
    assert helps(0.8, 40) >= 35


def test_of_the_variance_between_sound_networks_that_are_equal_all_is_noise() -> None:
    found = noise_by_rung(seeded(World(truth=half_fail, noise=0.05), FORTY, range(2)), [n.id for n in FORTY])
    clip = next(each for each in found if each.metric == CLIP and each.step == RUNGS[-1])
    assert clip.reliability is not None and clip.reliability > 0.8
    assert clip.sound is not None and clip.sound.reliability is not None and clip.sound.reliability < 0.4
