"""Rungs against the end: worlds whose answer is known."""

from __future__ import annotations

import pytest

from analysis.evidence.correlation import correlations
from analysis.evidence.metrics import sound_networks
from analysis.evidence.text import correlation_text
from tests.analysis.evidence.tables import FORTY, TWENTY, half_fail, seeded, table
from tests.search.made_up import RUNGS, World, by_size


def test_correlations_of_a_world_without_noise_and_of_noise_alone() -> None:
    quiet = seeded(World(noise=0.0), TWENTY, range(2))
    long = table(World(noise=0.0, rungs=(400, 1600)).run("long", [(n, 0) for n in TWENTY[:8]]))
    found = correlations(quiet, quiet.runs.keys(), long)
    at = found.at("CLIP", RUNGS[0])
    assert all(each is not None and each.middle == pytest.approx(1) for each in (at.same_run, at.other_seed))
    assert at.longer is not None and at.longer.middle == pytest.approx(1)
    assert (found.networks, found.repeated, found.longer, found.longer_other_seed) == (20, 20, 8, True)
    assert found.at("CLIP", RUNGS[-1]).same_run is None  # with itself

    noise = seeded(World(truth=lambda network: 0.5, noise=0.1), FORTY, range(2))
    nothing = correlations(noise, noise.runs.keys(), None).at("CLIP", RUNGS[-1])
    assert nothing.other_seed is not None and abs(nothing.other_seed.middle) < 0.35
    assert nothing.longer is None


def test_an_early_rung_is_below_the_ceiling_where_its_noise_is_larger() -> None:
    thirty = FORTY[:30]
    found = correlations(seeded(World(noise=0.12), thirty, range(2)), [n.id for n in thirty], None)
    first, last = found.at("CLIP", RUNGS[0]), found.at("CLIP", RUNGS[-1])
    assert first.short is not None and first.short.sign == 1
    assert first.other_seed is not None and last.other_seed is not None
    assert first.short.middle == pytest.approx(last.other_seed.middle - first.other_seed.middle)
    assert last.short is None


def test_what_only_failures_carry_is_nothing_among_the_sound() -> None:
    """Sound networks are equal in truth, so that two seeds, a rung and the longer training agree by chance
    alone; those that fail carry the correlation over all."""
    world = World(truth=half_fail, noise=0.05)
    table_ = seeded(world, FORTY, range(2))
    sound = {network.id for network in FORTY if by_size(network) > 0.6}
    assert sound_networks(table_) == sound and 10 < len(sound) < 30
    long = table(World(truth=half_fail, noise=0.05, rungs=(400, 1600)).run("long", [(n, 2) for n in FORTY]))
    found = correlations(table_, table_.runs.keys(), long)
    assert found.sound is not None and found.sound.networks == found.sound.longer == len(sound)
    for name in ("FID", "CLIP"):
        end, own = found.at(name, RUNGS[-1]), found.sound.at(name, RUNGS[-1])
        for kind in ("other_seed", "longer"):
            assert getattr(end, kind).low > 0.4 and getattr(own, kind).sign == 0
    own = found.sound.at("CLIP", RUNGS[-1]).longer
    assert correlation_text(own, len(sound)).endswith("networks; undecided)")
    assert "undecided" not in correlation_text(found.at("CLIP", RUNGS[-1]).longer, 40)
