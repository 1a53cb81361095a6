"""Variances against independent peers, and what each word of a verdict needs."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from search.objectives import FID_AND_CLIP
from search.statistics.noise import Noise, RungNoise
from search.statistics.pareto import Point
from search.statistics.variance import Variance, variance_within, within_paired
from search.statistics.verdicts import Evidence, Verdict, after_each_seed, verdicts
from tests.search.histories import MD, MD_LITE, confirm, end, open_run, propose, score

KNOWN = 1e9  # degrees of freedom of a noise that is known
NOISE = Noise((RungNoise(400, 0.1, 0.02),), degrees_of_freedom=KNOWN)


def verdict(mine: list[Point], theirs: list[Point], noise: Noise = NOISE) -> Verdict:
    runs = {"trial 1": dict(enumerate(mine)), "md": dict(enumerate(theirs))}
    found = Evidence(runs, 400, noise).verdict("trial 1", "md")
    assert found is not None
    return found


# ---------------------------------------------------------------------- variances


def test_pooled_variance_worked_by_hand() -> None:
    """Squares 2 of one network (1, 3) and 2 of another (5, 6, 7), over 1 + 2 degrees of freedom."""
    assert variance_within([[1.0, 3.0], [5.0, 6.0, 7.0], [9.0]]) == Variance(4 / 3, 3)
    assert variance_within([[1.0], [2.0]]).degrees_of_freedom == 0


def test_what_a_seed_does_to_all_alike_is_taken_out() -> None:
    shifts, levels = {1: 0.0, 2: 5.0, 3: -2.0}, {"a": 1.0, "b": 7.0}
    runs = {name: {seed: level + shift for seed, shift in shifts.items()} for name, level in levels.items()}
    found = within_paired(runs)
    assert found.degrees_of_freedom == 2 and found.value == pytest.approx(0, abs=1e-20)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=8))
def test_of_two_networks_the_paired_variance_is_half_that_of_their_differences(pairs: list) -> None:
    runs = {name: {seed: pair[i] for seed, pair in enumerate(pairs)} for i, name in enumerate("ab")}
    differences = [a - b for a, b in pairs]
    found = within_paired(runs)
    assert found.degrees_of_freedom == len(pairs) - 1
    assert found.value == pytest.approx(np.var(differences, ddof=1) / 2, abs=1e-9)


def test_without_a_partner_or_a_run_nothing_is_known() -> None:
    assert within_paired({}).degrees_of_freedom == 0
    assert within_paired({"a": {1: 2.0}, "b": {2: 5.0}}).degrees_of_freedom == 0


def test_an_interval_is_students_and_a_deviations_is_chi_squares() -> None:
    own = Variance(0.04, 7)
    assert own.half_width(3, 0.05) == pytest.approx(stats.t(7).ppf(0.975) * (2 * 0.04 / 3) ** 0.5)
    low, high = own.deviation_interval()
    assert low**2 == pytest.approx(7 * 0.04 / stats.chi2(7).ppf(0.975))
    assert high**2 == pytest.approx(7 * 0.04 / stats.chi2(7).ppf(0.025))


def test_few_repeats_refine_the_stated_noise_and_many_replace_it() -> None:
    stated = Variance(0.01, 6)
    assert Variance(0.04, 2).with_prior(stated) == Variance(pytest.approx((2 * 0.04 + 6 * 0.01) / 8), 8)
    assert Variance(0.04, 6000).with_prior(stated).value == pytest.approx(0.04, rel=1e-3)
    assert Variance(0.0, 0).with_prior(stated) == stated


# ---------------------------------------------------------------------- words


def test_words_of_one_seed_worked_by_hand() -> None:
    """One look at one seed: half of .0455, half of it for each score, so 2.533 deviations of a difference,
    2.533 * sqrt(2) * .1 = .3582 of the logarithm of FID (a factor of 1.431), .0716 of CLIP."""
    md = [Point.of(10, 0.5)]
    found = verdict([Point.of(10, 0.5)], md)
    assert found.word == "undecided"
    assert (found.difference("FID").high, found.difference("CLIP").high) == (
        pytest.approx(0.4308, abs=1e-3),
        pytest.approx(0.0716, abs=1e-3),
    )
    assert found.difference("FID").low == pytest.approx(1 / 1.4308 - 1, abs=1e-3)
    assert verdict([Point.of(6.9, 0.5)], md).word == "better"
    assert verdict([Point.of(6.9, 0.43)], md).word == "better"  # not worse beyond the noise
    assert verdict([Point.of(6.9, 0.42)], md).word == "mixed"
    assert verdict([Point.of(7.1, 0.57)], md).word == "no worse"  # two deviations below, on one side
    assert verdict([Point.of(8.1, 0.57)], md).word == "undecided"
    assert verdict([Point.of(10, 0.58)], md).word == "better"
    assert verdict([Point.of(14.5, 0.5)], md).word == "worse"
    assert verdict([Point.of(14.5, 0.42)], md).word == "worse"


def test_more_seeds_decide_what_one_leaves_open() -> None:
    mine, theirs = [Point.of(7.5, 0.5)], [Point.of(10, 0.5)]
    assert verdict(mine, theirs).word == "undecided"
    found = verdict(mine * 4, theirs * 4)
    assert found.word == "better"
    level = NOISE.level / (4 * 5) / 2
    assert found.difference("CLIP").high == pytest.approx(
        stats.norm.ppf(1 - level / 2) * 0.02 * (2 / 4) ** 0.5, rel=1e-6
    )
    assert "4 seeds of 400 steps" in found.sentence() and "better (FID -25%" in found.sentence()


def test_networks_that_differ_by_less_than_matters_are_equivalent_with_seeds_enough() -> None:
    noise = Noise(NOISE.rungs, degrees_of_freedom=KNOWN, equivalent_fid_relative=0.1, equivalent_clip=0.02)
    same = [Point.of(10, 0.5)]
    assert [verdict(same * n, same * n, noise).word for n in (1, 20, 80)] == ["undecided"] * 2 + [
        "equivalent"
    ]


def test_no_worse_is_one_sided_and_says_less_than_equivalent() -> None:
    """Nine seeds: .0455 / 90 on one side are 3.286 deviations of a mean difference, of FID's logarithm
    3.286 * .1 * sqrt(2 / 9) = .1549."""
    noise = replace(NOISE, no_worse_fid_relative=0.1, no_worse_clip=0.06)
    md = [Point.of(10, 0.5)] * 9
    reach = stats.norm.ppf(1 - NOISE.level / 90) * 0.1 * (2 / 9) ** 0.5
    assert reach == pytest.approx(0.1549, abs=1e-3)
    for at, word in ((-0.001, "no worse"), (0.001, "undecided")):  # inside the margin, and outside
        found = verdict([Point.of(10 * 1.1 * np.exp(at - reach), 0.5)] * 9, md, noise)
        assert found.word == word
        assert found.at_worst[0] == pytest.approx(1.1 * np.exp(at) - 1)
    clip = stats.norm.ppf(1 - NOISE.level / 90) * 0.02 * (2 / 9) ** 0.5
    low = [Point.of(9.3, 0.5 - 0.06 + clip - 0.001)] * 9
    assert verdict(low, md, noise).word == "undecided"  # no worse in FID alone
    wide = replace(noise, equivalent_fid_relative=0.3, equivalent_clip=0.06)
    assert verdict([Point.of(9.3, 0.5)] * 9, md, wide).word == "equivalent"
    assert verdict([Point.of(7.5, 0.5)] * 9, md, wide).word == "better"
    sentence = verdict([Point.of(9.3, 0.5)] * 9, md, noise).sentence()
    assert "no worse (" in sentence and "at worst FID +9% and CLIP -0.031" in sentence
    assert "at worst" not in verdict([Point.of(10, 0.5)] * 9, md, noise).sentence()


def test_no_worse_decides_nothing_that_more_seeds_could() -> None:
    noise = replace(NOISE, no_worse_fid_relative=10.0, no_worse_clip=1.0)  # anything is no worse
    mine, theirs = [Point.of(8.0, 0.5)], [Point.of(10, 0.5)]
    assert verdict(mine, theirs, noise).word == "no worse"
    evidence = Evidence({"a": {0: mine[0]}, "b": {0: theirs[0]}}, 400, noise)
    expected = Evidence({"a": {0: mine[0]}, "b": {0: theirs[0]}}, 400, NOISE).seeds_to_decide("a", "b", 40)
    assert evidence.seeds_to_decide("a", "b", 40) == expected is not None


@settings(max_examples=25, deadline=None)
@given(st.floats(0.005, 0.5), st.floats(0.0, 0.5), st.integers(1, 30), st.floats(1.0, 3.0))
def test_worse_by_the_margin_is_ever_called_no_worse_with_at_most_the_levels_probability(
    deviation: float, margin: float, seeds: int, deviations: float
) -> None:
    """Of known noise the mean of n differences is normal around the margin: the word needs it to lie below
    by what `at_worst` adds, whose probabilities sum to no more than the level however many the looks."""
    noise = Noise((RungNoise(400, deviation, 1.0),), deviations, KNOWN, no_worse_fid_relative=margin)
    points = dict(enumerate([Point.of(10 * (1 + margin), 0.5)] * seeds))
    theirs = dict(enumerate([Point.of(10, 0.5)] * seeds))
    found = Evidence({"a": points, "b": theirs}, 400, noise).verdict("a", "b")
    assert found is not None and found.word != "no worse"
    reach = np.log1p(found.at_worst[0]) - np.log1p(margin)  # how far below the margin the mean must come
    chance = stats.norm.sf(reach / (deviation * (2 / seeds) ** 0.5))
    assert chance == pytest.approx(noise.level / (seeds * (seeds + 1)), rel=1e-4)


def test_how_many_seeds_would_decide_is_what_they_do() -> None:
    noise = Noise(NOISE.rungs, degrees_of_freedom=6)
    mine, theirs = [Point.of(6.5, 0.5)], [Point.of(10, 0.5)]
    evidence = Evidence({"a": {0: mine[0]}, "b": {0: theirs[0]}}, 400, noise)
    expected = evidence.seeds_to_decide("a", "b", 20)
    assert expected is not None and 1 < expected <= 20
    runs = {"a": dict(enumerate(mine * expected)), "b": dict(enumerate(theirs * expected))}
    assert Evidence(runs, 400, noise).verdict("a", "b").word == "better"  # type: ignore[union-attr]
    assert evidence.seeds_to_decide("a", "b", expected - 1) is None
    assert evidence.seeds_to_decide("a", "nobody", 20) is None


def test_a_seed_that_shifts_all_networks_alike_decides_sooner() -> None:
    """CLIP differs by .09 always; the seeds move both by .2."""
    noise = Noise(NOISE.rungs, degrees_of_freedom=2)
    shifts = (0.0, 0.2, -0.2, 0.1, -0.1)
    mine = [Point.of(10, 0.59 + shift) for shift in shifts]
    theirs = [Point.of(10, 0.5 + shift) for shift in shifts]
    assert verdict(mine, theirs, noise).word == "better"
    assert verdict(mine, [theirs[2], theirs[0], theirs[1], theirs[4], theirs[3]], noise).word == "undecided"


# ---------------------------------------------------------------------- of a record


def test_seeds_are_paired_and_finalists_stand_against_each_other(tmp_path: Path) -> None:
    record = open_run(tmp_path)
    for architecture in (MD, MD_LITE, MD_LITE):
        key = propose(record, architecture)
        score(record, key, 400, 10, 0.5, "end")
        end(record, key)
    confirm(record, "md", MD, [(10, 0.5), (11, 0.51), (1, 0.99)])
    confirm(record, "trial 1", MD_LITE, [(40, 0.1), (42, 0.12)])
    confirm(record, "trial 2", MD_LITE, [(10, 0.5)])
    found = verdicts(record.history, FID_AND_CLIP, NOISE, ["md", "md_lite"])
    assert [(v.name, v.against, v.word, v.seeds) for v in found] == [
        ("trial 1", "md", "worse", 2),
        ("trial 2", "md", "undecided", 1),
        ("trial 1", "trial 2", "worse", 1),
    ]
    # md's third seed has no partner
    assert found[0].difference("FID").middle == pytest.approx((40 * 42 / 10 / 11) ** 0.5 - 1)
    assert found[0].difference("CLIP").middle == pytest.approx(0.11 - 0.505)
    rounds = after_each_seed(record.history, FID_AND_CLIP, NOISE, ["md"], "trial 1")
    assert {other: [v.seeds for v in said] for other, said in rounds.items()} == {
        "md": [1, 2],
        "trial 2": [1],
    }
    assert rounds["md"][-1] == found[0]
    record.close()


def test_reruns_of_stopped_trials_are_no_verdict(tmp_path: Path) -> None:
    record = open_run(tmp_path)
    key = propose(record, MD)
    score(record, key, 100, 50, 0.1, "halt")
    end(record, key, "halted", "slower")
    confirm(record, "trial 0", MD, [(10, 0.5)])
    confirm(record, "md", MD, [(10, 0.5)])
    assert verdicts(record.history, FID_AND_CLIP, NOISE, ["md"]) == []
    record.close()


def test_of_networks_worse_than_the_noise_was_measured_on_only_repeats_decide() -> None:
    """Measured on networks of an FID up to 12: one of 40 has another noise. One seed of each says nothing
    then, though it is nine deviations away; repeats of the run itself decide."""
    noise = replace(NOISE, measured_up_to_fid=12.0)
    poor, md = Point.of(40, 0.2), Point.of(10, 0.5)
    assert verdict([poor], [md]).word == "worse" and verdict([poor], [md]).beyond == ""
    found = verdict([poor], [md], noise)
    assert found.word == "undecided" and not found.differences[0].known
    assert found.beyond.startswith("trial 1's FID of 40.0 is above 12") and found.beyond in found.sentence()
    runs = [[Point.of(fid * f, c + s) for f, s in ((1.0, 0.0), (1.02, 0.01), (0.98, 0.02), (1.01, 0.0))]
            for fid, c in ((40, 0.2), (10, 0.5))]  # fmt: skip
    runs[0][0] = Point.of(41, 0.201)
    assert verdict(*runs, noise).word == "worse" and verdict(*runs, noise).beyond
    near = verdict([Point.of(13, 0.5)], [md], noise)  # above 12 by less than two deviations
    assert near.beyond == "" and near.differences[0].known
    unknown = replace(noise.unknown, measured_up_to_fid=12.0)
    assert verdict([poor], [md], unknown).beyond == ""  # there is nothing to borrow


def test_repeats_of_good_networks_say_nothing_of_one_that_failed() -> None:
    """No noise is stated. MD and a near one were run twice, an FID of 10 to 11: what a single run of 40 means
    nobody knows. A second run of it does say."""
    near = {0: Point.of(10, 0.5), 1: Point.of(10.2, 0.51)}
    runs = {
        "md": near,
        "near": {0: Point.of(11, 0.5), 1: Point.of(11.3, 0.505)},
        "poor": {0: Point.of(40, 0.2)},
    }
    found = Evidence(runs, 100, NOISE.unknown).verdict("poor", "md")
    assert found is not None and found.word == "undecided" and not found.differences[0].known
    assert "poor's FID of 40.0 is above 11.15, up to which seeds were repeated" in found.sentence()
    single = Evidence(runs | {"poor": {0: Point.of(11.2, 0.2)}}, 100, NOISE.unknown).verdict("poor", "md")
    assert single is not None and single.beyond == "" and single.differences[0].known
    twice = runs | {"poor": {0: Point.of(40, 0.2), 1: Point.of(41, 0.21)}}
    again = Evidence(twice, 100, NOISE.unknown).verdict("poor", "md")
    assert again is not None and again.beyond == "" and again.word == "worse"
    clip_alone = replace(NOISE, rungs=(RungNoise(400, inf, 0.02),))
    mixed = Evidence(runs, 400, clip_alone).verdict("poor", "md")
    assert mixed is not None and mixed.word == "undecided" and "not known" in mixed.beyond
    assert [each.known for each in mixed.differences] == [False, True]
    stated = Evidence(runs, 400, NOISE).verdict("poor", "md")
    assert stated is not None and stated.beyond == "" and stated.word == "worse"
