"""What size of experiment would decide."""

from __future__ import annotations

import math

from analysis.evidence import limits
from analysis.evidence.effects import pairs_needed
from analysis.evidence.noise import noise_by_rung
from tests.analysis.evidence.tables import CLIP, FORTY, TWENTY, seeded
from tests.search.made_up import RUNGS, World


def test_how_many_seeds_would_do() -> None:
    found = noise_by_rung(seeded(World(noise=0.1), FORTY, range(2)), [n.id for n in FORTY])
    text = limits.limits_chapter([], found, seeded(World(), TWENTY[:1], range(1)), 36.0).text()
    clip = next(each for each in found if each.metric == CLIP and each.step == RUNGS[-1])
    assert clip.spread is not None
    runs = math.ceil(9 * clip.seeds.value / clip.spread**2)  # s^2 / n is a tenth of the whole variance
    assert f"variance of CLIP between networks is not noise once each is trained with {runs} seed" in text
    pairs = pairs_needed((2 * clip.better_half.value) ** 0.5, 0.01, 0.05)
    assert f"+0.010 in CLIP are told apart in 80% of cases by {pairs:,} seeds of each" in text
    assert "networks of 1/16 of the paper's widths, after 400 steps" in text
