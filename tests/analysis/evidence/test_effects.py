"""Decisions by matched pairs: Student's effects, power, words, and planted effects that are found."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from scipy.stats import nct, t, ttest_1samp

from analysis.evidence.decisions import PAPER_DECISIONS, MatchedPair
from analysis.evidence.effects import (
    MOST_PAIRS_COUNTED,
    Effect,
    EffectSize,
    effect_of,
    effect_sizes,
    needed,
    no_worse_p,
    pairs_needed,
    word_of,
)
from analysis.evidence.resampling import holm
from analysis.replay.table import RecordedTable
from search.statistics.variance import Variance
from tests.analysis.evidence.tables import CLIP, FID, MD, MD_LITE, table
from tests.search.made_up import NOISE, World, by_size, networks
from tests.search.worlds import md_space


def test_an_effect_is_students() -> None:
    differences = [0.1, 0.3, -0.05, 0.2]
    found = effect_of(CLIP, differences)
    expected = ttest_1samp(differences, 0)
    assert found.interval is not None
    assert found.p == pytest.approx(expected.pvalue)
    ends = expected.confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((ends.low, ends.high))
    assert found.in_favour == 3
    assert effect_of(CLIP, [0.1, 0.2]).interval is None
    assert (effect_of(CLIP, [0.0] * 3).p, effect_of(CLIP, [0.1] * 3).p) == (1.0, 0.0)


def test_words() -> None:
    assert [word_of(signs, 5) for signs in ((1, 0), (1, 1), (-1, 0), (1, -1), (0, 0))] == [
        "better", "better", "worse", "mixed", "undecided",
    ]  # fmt: skip
    assert word_of((1, 1), 2) == "too few pairs"


def test_agreement_with_what_the_paper_says() -> None:
    better = next(decision for decision in PAPER_DECISIONS if decision.claim == "better")
    no_worse = next(decision for decision in PAPER_DECISIONS if decision.claim == "no worse")

    def effects(middle: float, spread: float) -> list[Effect]:
        return [
            effect_of(metric, [middle - spread, middle, middle + spread, middle]) for metric in (FID, CLIP)
        ]

    pair = MatchedPair(MD, MD_LITE)
    margins = tuple(NOISE.no_worse(metric.objective) for metric in (FID, CLIP))
    assert margins == (pytest.approx(0.04879, rel=1e-4), 0.01)  # 5 % of the logarithm
    for decision, middle, spread, word, expected in (
        (better, 0.5, 0.01, "better", "agrees"),
        (better, -0.5, 0.01, "worse", "disagrees"),
        (better, 0.0, 0.5, "undecided", "undecided"),
        (better, 0.0, 0.0001, "no worse", "undecided"),  # which is not better
        (no_worse, 0.5, 0.01, "better", "agrees"),
        (no_worse, -0.5, 0.01, "worse", "disagrees"),
        (no_worse, -0.005, 0.0001, "worse", "agrees"),  # by less than the margin
        (no_worse, 0.0, 0.5, "undecided", "undecided"),
        (no_worse, 0.0, 0.0001, "no worse", "agrees"),
    ):
        found = effects(middle, spread)
        p = max(no_worse_p(effect, margin) for effect, margin in zip(found, margins, strict=True))
        size = EffectSize(decision, (pair,) * 4, tuple(found), None, None, None, (), margins, p, 1)
        assert (size.word, size.agreement) == (word, expected)


def test_the_p_value_of_being_worse_by_the_margin_is_students() -> None:
    differences = [0.1, 0.3, -0.05, 0.2]
    expected = ttest_1samp(differences, -0.04, alternative="greater").pvalue
    assert no_worse_p(effect_of(CLIP, differences), 0.04) == pytest.approx(expected)
    same = effect_of(CLIP, [0.0] * 3)
    assert (no_worse_p(same, 0.01), no_worse_p(same, 0.0)) == (0.0, 1.0)


def test_a_side_that_is_worse_by_the_margin_is_called_no_worse_as_seldom_as_stated() -> None:
    """Seven decisions, each worse by exactly the margin in one score and equal in the other."""
    chance, wrong = random.Random(0), 0
    for _ in range(300):
        found = []
        for _ in range(7):
            worse, equal = (
                effect_of(CLIP, [chance.gauss(mean, 0.02) for _ in range(8)]) for mean in (-0.01, 0.0)
            )
            found.append(max(no_worse_p(worse, 0.01), no_worse_p(equal, 0.01)))
        wrong += min(holm(found)) <= 0.05
    assert wrong <= 28  # 5 % of 300 families, and three deviations


@pytest.mark.parametrize(
    ("deviation", "size", "level"), [(1.0, 0.5, 0.05), (0.2, 0.3, 0.003), (1.0, 2.0, 0.05)]
)
def test_as_many_pairs_as_are_needed(deviation: float, size: float, level: float) -> None:
    def power(pairs: int) -> float:
        bound = t.ppf(1 - level / 2, pairs - 1)
        return float(nct.sf(bound, pairs - 1, size / deviation * pairs**0.5))

    pairs = pairs_needed(deviation, size, level)
    assert power(pairs) == pytest.approx(0.8, abs=0.12 if pairs < 10 else 0.02)
    assert power(pairs) > 0.77
    at_hand = effect_of(CLIP, [deviation * z + size for z in (-1.5, -0.5, 0.5, 1.5)])
    reach = needed(at_hand, Variance(1.0, 5), level, 1.0).detectable
    spread = 5**0.5 / 3**0.5 * deviation  # of those four
    assert reach is not None
    assert pairs_needed(spread, reach * 1.001, level) <= 4 < pairs_needed(spread, reach * 0.8, level)
    assert pairs_needed(1.0, 0.0, 0.05) == pairs_needed(1.0, 1e-9, 0.05) == MOST_PAIRS_COUNTED


def test_equal_sides_are_told_apart_as_seldom_as_stated() -> None:
    chance, wrong = random.Random(0), 0
    for _ in range(300):
        effects = [effect_of(CLIP, [chance.gauss(0, 1) for _ in range(6)]) for _ in range(18)]
        wrong += min(holm([effect.p for effect in effects])) <= 0.05
    assert wrong <= 28  # 5 % of 300 families of 18 tests, and three deviations


def partners_table(world: World, slugs: list[str], count: int) -> RecordedTable:
    found, space = [MD, MD_LITE, *networks(60)], md_space()
    entries = {network.id: network for network in found}
    for decision in PAPER_DECISIONS:
        if decision.slug in slugs:
            pairs = [partner for network in found if (partner := decision.partner(network, space))]
            entries |= {partner.id: partner for partner in pairs[:count]}
    return table(world.run("table", [(network, 0) for network in entries.values()]))


def test_a_planted_effect_is_found_and_an_absent_one_is_not() -> None:
    world = World(truth=lambda n: by_size(n) * 0.02 + 0.4 * (n.activation == "swish"), noise=0.08)
    of_table = partners_table(world, ["swish", "relu"], 10)
    noise = {"FID": Variance(0.08**2, 20), "CLIP": Variance(0.08**2, 20)}
    found = {effect.decision.slug: effect for effect in effect_sizes(of_table, MD, noise, NOISE, 36.0)}
    swish, relu = found["swish"], found["relu"]
    assert (swish.word, swish.agreement, len(swish.pairs)) == ("better", "agrees", 10)
    clip = swish.effects[1]
    assert clip.interval is not None and clip.interval.low < 0.4 < clip.interval.high
    assert swish.parameters is not None and swish.parameters.middle == 0
    assert swish.needed[1].size == pytest.approx(abs(clip.interval.middle) / 2)
    assert swish.needed[1].core_hours == pytest.approx(swish.needed[1].pairs * 2 * 36 / 3600)
    assert (relu.word, relu.agreement) == ("undecided", "undecided")
    assert relu.at_md is not None and relu.at_md[1].low < 0 < relu.at_md[1].high
    half = t.ppf(0.975, 20) * (2 * 0.08**2) ** 0.5
    assert relu.at_md[1].high - relu.at_md[1].middle == pytest.approx(half)
    assert found["separable"].word == "too few pairs"
    assert found["separable"].needed[0].size == pytest.approx(2**0.5 * 0.08 / 2)


def test_pairs_are_of_one_seed() -> None:
    gelu = replace(MD, activation="gelu")
    runs = World(noise=0.0).run("table", [(MD, 0), (MD, 1), (gelu, 2)])
    noise = dict.fromkeys(("FID", "CLIP"), Variance(0.01, 5))
    assert not any(effect.pairs for effect in effect_sizes(table(runs), MD, noise, NOISE, 1.0))
