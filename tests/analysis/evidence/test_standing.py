"""Places of MD and MD-Lite: without noise, with it, and as training goes on."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.evidence.standing import noise_covariance, standing, standings_of_longer, truths
from space.architecture import Architecture
from tests.analysis.evidence.tables import FORTY, MD, MD_LITE, TWENTY, seeded
from tests.search.made_up import World, by_size, networks
from tests.search.worlds import MD_BUDGET


def test_places_without_noise_are_the_places() -> None:
    found = [MD, *networks(24)]
    quiet = seeded(World(noise=0.0), found, range(2))
    spread = {network.id for network in found[1:]}
    place = standing(quiet, spread, "md", MD, MD_BUDGET)
    assert place is not None
    truth = 1 + sum(by_size(network) > by_size(MD) for network in found)
    for each in place.places.values():
        assert (each.middle, each.low, each.high) == (truth, truth, truth)
    assert (place.among, place.seeds) == (25, 2)
    assert place.clip == pytest.approx(by_size(MD))
    assert standing(quiet, spread, "md_lite", MD_LITE, MD_BUDGET) is None
    assert standing(quiet, set(list(spread)[:5]), "md", MD, MD_BUDGET) is None


def test_longer_training_may_change_the_places() -> None:
    class Overtaken(World):
        def scores(self, network: Architecture, seed: int, step: int) -> dict[str, float]:
            world = World(noise=0.0, truth=by_size if step == 400 else lambda each: 1 - by_size(each))
            return world.scores(network, seed, 400) | {"fid_embedded_clip": 300.0}

    found = [MD, *networks(24)]
    quiet = seeded(World(noise=0.0), found, range(2))
    long = seeded(Overtaken(rungs=(400, 800)), found, range(1))
    larger = sum(by_size(network) > by_size(MD) for network in found)
    early, late = standings_of_longer(long, quiet, "md", MD, MD_BUDGET)
    assert [each.places["CLIP"].middle for each in (early, late)] == [1 + larger, len(found) - larger]
    assert early.places["FID"].middle == late.places["FID"].middle == 1  # all alike
    assert [(each.step, each.among, each.seeds) for each in (early, late)] == [(400, 25, 1), (800, 25, 1)]
    assert (early.fid, late.clip) == (pytest.approx(300), pytest.approx(1 - by_size(MD)))
    assert standings_of_longer(long, quiet, "md_lite", MD_LITE, MD_BUDGET) == []
    loud = seeded(World(noise=1.0), found, range(2))
    place = standings_of_longer(long, loud, "md", MD, MD_BUDGET)[0].places["CLIP"]
    assert place.high - place.low > 10  # by the noise of the table


def test_noise_leaves_many_places() -> None:
    loud = seeded(World(noise=1.0), [MD, *networks(30)], range(2))
    place = standing(loud, set(loud.runs) - {MD.id}, "md", MD, MD_BUDGET)
    assert place is not None and place.places["CLIP"].high - place.places["CLIP"].low > 15


def test_the_noise_of_both_scores_and_what_it_leaves_of_the_truth() -> None:
    covariance = noise_covariance(seeded(World(noise=0.1), FORTY, range(2)))
    assert covariance == pytest.approx(np.diag([0.01, 0.01]), abs=0.004)
    stated = noise_covariance(seeded(World(), TWENTY, range(1)))
    assert stated == pytest.approx(np.diag([0.1**2, 0.02**2]))
    chance = np.random.default_rng(0)
    means = chance.normal(size=(200, 2)) * 2**0.5  # half of it noise
    sampled = truths(means, np.ones(200), np.eye(2))
    shrunk = sampled.mean(axis=0)
    assert np.polyfit(means[:, 0], shrunk[:, 0], 1)[0] == pytest.approx(0.5, abs=0.15)
    assert sampled.std(axis=0).mean() == pytest.approx(0.5**0.5, abs=0.1)
