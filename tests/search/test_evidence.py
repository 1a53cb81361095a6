"""What recorded runs say: each estimate against a total worked by hand, a peer, or a planted truth."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, nct, spearmanr, t, ttest_1samp

from search.bundle import Bundled
from search.confirming.variance import Variance
from search.evidence import limits, prediction_text, resampling, winners
from search.evidence.correlation import correlations
from search.evidence.decisions import DECISIONS
from search.evidence.effects import (
    MOST_PAIRS,
    Effect,
    agreement,
    effect_of,
    needed,
    pairs_needed,
    word_of,
    worths,
)
from search.evidence.main_effects import contrast_interval, main_effects
from search.evidence.metrics import Metric, goodness, metrics_of, with_shared_seeds
from search.evidence.noise import kept_by_common_seeds, noise_at, noise_by_rung
from search.evidence.prediction import forecasts, place_order, settings
from search.evidence.properties import most_alike, properties
from search.evidence.resampling import holm, interval, percentiles, share_interval, spearman
from search.evidence.standing import noise_covariance, standing, standings_of_longer, truths
from search.evidence.transfer import networks_needed, orders, section, transfer
from search.evidence.winners import distance, shared_choices, winners_of
from search.plan import named_architecture
from search.record import History
from search.replay.table import Table, table_of
from space.architecture import Architecture
from tests.search.made_up import NOISE, RUNGS, World, by_size, networks
from tests.search.worlds import MD_BUDGET, md_space

MD, MD_LITE = named_architecture("md"), named_architecture("md_lite")
FID, CLIP = Metric("FID", "fid_embedded_clip", -1, True), Metric("CLIP", "clip_embedded", 1)
FORTY = networks(40)
TWENTY = FORTY[:20]


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "DRAWS", 400)


def table(*runs: Bundled) -> Table:
    return table_of({run.name: run.history for run in runs})


def seeded(world: World, found: list[Architecture], seeds: range) -> Table:
    return table(world.run("table", [(network, seed) for seed in seeds for network in found]))


# ---------------------------------------------------------------------- figures and intervals


def test_scores_are_turned_so_that_more_is_better_and_said_as_they_are() -> None:
    assert FID.goodness(200.0) < FID.goodness(100.0)
    assert FID.said(FID.goodness(80.0) - FID.goodness(100.0)) == "\u221220%"
    assert CLIP.said(CLIP.goodness(0.5) - CLIP.goodness(0.25)) == "+0.250"
    assert (FID.deviation(0.1234), CLIP.deviation(0.1234)) == ("12%", "0.123")


def test_metrics_are_those_that_every_run_has() -> None:
    full, partial = World().run("a", [(TWENTY[0], 0)]), World().run("b", [(TWENTY[1], 0)])
    for event in partial.events:
        event.get("scores", {}).pop("validation_loss", None)
    names = [metric.name for metric in metrics_of(table(full))]
    assert names == ["FID", "CLIP", "validation loss", "FID random conv"]
    assert [metric.name for metric in metrics_of(table(full, partial))] == ["FID", "CLIP", "FID random conv"]


def test_seeds_that_most_repeated_networks_share() -> None:
    values = {"a": {0: 1.0, 1: 1.0, 2: 1.0}, "b": {0: 1.0, 1: 1.0}, "c": {0: 1.0, 1: 1.0}, "d": {0: 1.0}}
    assert with_shared_seeds(values) == (["a", "b", "c"], [0, 1])
    assert with_shared_seeds({"d": {0: 1.0}}) == ([], [])


def test_rank_correlation_is_scipys_ties_too() -> None:
    chance = np.random.default_rng(0)
    rows = np.round(chance.normal(size=(5, 12, 2)), 1)
    expected = [spearmanr(each[:, 0], each[:, 1]).statistic for each in rows]
    assert spearman(rows) == pytest.approx(expected)
    assert np.isnan(spearman(np.ones((1, 5, 2)))).all()


def test_the_bootstrap_is_the_same_each_time_and_wants_networks() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 2))
    found = interval(rows, spearman)
    assert found == interval(rows, spearman) and found is not None and found.low < found.middle < found.high
    assert interval(rows[:3], spearman) is None
    assert percentiles(float("nan"), np.zeros(3)) is None


def test_shares_have_the_exact_interval() -> None:
    for caught, of in ((0, 4), (3, 8), (5, 5)):
        exact = binomtest(caught, of).proportion_ci(0.95, method="exact")
        found = share_interval(caught, of)
        assert found is not None
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert share_interval(0, 0) is None


def test_holm_by_hand() -> None:
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


# ---------------------------------------------------------------------- noise


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
    found = kept_by_common_seeds(values)
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
            found = kept_by_common_seeds(values)
            assert found is not None
            count += found.high < 1
        return count

    assert helps(0.0, 200) <= 12  # 2.5 % of them, in truth
    assert helps(0.8, 40) >= 35


# ---------------------------------------------------------------------- rungs and forecasts


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


def test_the_order_is_that_in_which_a_search_names_its_best() -> None:
    # (FID, CLIP): b dominates a; c is on the front with b, and adds less to it
    fid, clip = -np.log([200.0, 100.0, 300.0]), np.array([0.5, 0.6, 0.61])
    assert list(np.argsort(-place_order(fid, clip))) == [1, 2, 0]


def test_no_network_forecasts_itself() -> None:
    chance = np.random.default_rng(0)
    curves = {name: chance.normal(size=(20, 2)) for name in ("FID", "CLIP")}
    truth = (chance.normal(size=20), chance.normal(size=20))
    changed = (truth[0].copy(), truth[1].copy())
    changed[0][3] += 100
    before, after = (forecasts(curves, each)["all scores so far, ridge"] for each in (truth, changed))
    assert before[3] == after[3] and not np.array_equal(before, after)


def test_a_score_that_is_the_same_for_all_forecasts_nothing() -> None:
    run = World(noise=0.05).run("table", [(network, 0) for network in TWENTY])
    for event in run.events:
        if event["event"] == "rung":
            event["scores"]["validation_loss"] = 1.0
    (setting,) = settings(table(run), frozenset(network.id for network in TWENTY), None)
    (loss, *_) = [each for each in setting.predicted if each.name == "validation loss"]
    assert (loss.order, loss.behind, loss.best) == (None, None, False)
    assert "| 100 | validation loss | - | - |" in prediction_text.section([setting], RUNGS).text()


def test_the_better_forecast_is_named_and_keeps_the_best() -> None:
    three = seeded(World(noise=0.08), FORTY, range(2))
    long = table(World(noise=0.0, rungs=(400, 1600)).run("long", [(n, 0) for n in FORTY[:15]]))
    first, against_long, same = settings(three, frozenset(three.runs), long)
    assert [each.independent for each in (first, against_long, same)] == [True, True, False]
    assert [each.networks for each in (first, against_long, same)] == [40, 15, 40]
    by_name = {each.name: each for each in first.predicted if each.step == RUNGS[-1]}
    assert by_name["FID random conv"].behind is not None and by_name["FID random conv"].behind.sign == 1
    size = next(each for each in against_long.predicted if each.name.startswith("parameters"))
    assert size.step == 0 and size.order is not None and size.order.middle == pytest.approx(1)
    assert size.best and size.caught[0.2, 0.25].middle == 1  # what decides in this world
    for setting in (first, against_long, same):
        by_step = [each.step for each in setting.predicted if each.best]
        assert by_step == sorted(set(by_step)) and by_step[0] == 0  # one a step
    assert {each.step for each in same.predicted} == {0, *RUNGS[:-1]}  # the end does not forecast itself
    assert settings(seeded(World(), TWENTY[:5], range(1)), frozenset(n.id for n in TWENTY), None) == []


# ---------------------------------------------------------------------- decisions


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
    better = next(decision for decision in DECISIONS if decision.claim == "better")
    no_worse = next(decision for decision in DECISIONS if decision.claim == "no worse")

    def effects(middle: float, spread: float) -> list[Effect]:
        return [
            effect_of(metric, [middle - spread, middle, middle + spread, middle]) for metric in (FID, CLIP)
        ]

    for decision, middle, spread, expected in (
        (better, 0.5, 0.01, "agrees"),
        (better, -0.5, 0.01, "disagrees"),
        (better, 0.0, 0.5, "undecided"),
        (better, 0.0, 0.0001, "undecided"),  # equivalent is not better
        (no_worse, 0.5, 0.01, "agrees"),
        (no_worse, -0.5, 0.01, "disagrees"),
        (no_worse, 0.0, 0.5, "undecided"),
        (no_worse, 0.0, 0.0001, "agrees"),
    ):
        assert agreement(decision, effects(middle, spread), NOISE, 0.05) == expected


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
    assert pairs_needed(1.0, 0.0, 0.05) == pairs_needed(1.0, 1e-9, 0.05) == MOST_PAIRS


def test_equal_sides_are_told_apart_as_seldom_as_stated() -> None:
    chance, wrong = random.Random(0), 0
    for _ in range(300):
        effects = [effect_of(CLIP, [chance.gauss(0, 1) for _ in range(6)]) for _ in range(18)]
        wrong += min(holm([effect.p for effect in effects])) <= 0.05
    assert wrong <= 28  # 5 % of 300 families of 18 tests, and three deviations


def partners_table(world: World, slugs: list[str], count: int) -> Table:
    found, space = [MD, MD_LITE, *networks(60)], md_space()
    entries = {network.id: network for network in found}
    for decision in DECISIONS:
        if decision.slug in slugs:
            pairs = [partner for network in found if (partner := decision.partner(network, space))]
            entries |= {partner.id: partner for partner in pairs[:count]}
    return table(world.run("table", [(network, 0) for network in entries.values()]))


def test_a_planted_effect_is_found_and_an_absent_one_is_not() -> None:
    world = World(truth=lambda n: by_size(n) * 0.02 + 0.4 * (n.activation == "swish"), noise=0.08)
    of_table = partners_table(world, ["swish", "relu"], 10)
    noise = {"FID": Variance(0.08**2, 20), "CLIP": Variance(0.08**2, 20)}
    found = {worth.decision.slug: worth for worth in worths(of_table, MD, noise, NOISE, 36.0)}
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
    assert clip.keys() == {decision.slug for decision in DECISIONS} - {"width_for_depth"}
    assert clip["swish"].low < 0.3 < clip["swish"].high and clip["swish"].sign == 1
    assert clip["feed_forward"].low < -0.2 < clip["feed_forward"].high and clip["feed_forward"].sign == -1
    assert {each.decision.slug: each.effects[1].sign for each in found if each.effects[1].sign} == {
        "swish": 1,
        "feed_forward": -1,
    }
    assert main_effects(seeded(world, TWENTY, range(1)), {network.id for network in TWENTY}) == []
    alike = [replace(each, activation="gelu" if each.feed_forward_ratio == 3 else "swish") for each in ninety]
    assert main_effects(seeded(world, alike, range(1)), {network.id for network in alike}) == []


def test_pairs_are_of_one_seed() -> None:
    gelu = replace(MD, activation="gelu")
    runs = World(noise=0.0).run("table", [(MD, 0), (MD, 1), (gelu, 2)])
    noise = dict.fromkeys(("FID", "CLIP"), Variance(0.01, 5))
    assert not any(worth.pairs for worth in worths(table(runs), MD, noise, NOISE, 1.0))


# ---------------------------------------------------------------------- ranks, properties, winners, proxies


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


def test_properties_that_decide_are_found() -> None:
    world = World(truth=lambda network: 0.5 * network.levels[2].cross_attention, noise=0.05)
    found = networks(60)
    strongest, *others = properties(seeded(world, found, range(1)), {network.id for network in found})
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


def test_distance_counts_choices_that_act() -> None:
    space = md_space()
    assert distance(MD, MD, space) == 0
    assert distance(MD, MD_LITE, space) == 2  # innermost channels, and layers on its way up
    assert distance(MD, replace(MD, head_width=32), space) is None


def test_a_winner_stands_beside_md_in_its_own_confirmation() -> None:
    world, tried = World(noise=0.02), sorted(TWENTY[:3], key=by_size)
    confirmations = [
        (name, network, seed) for seed in (7, 8) for name, network in (("trial 2", tried[2]), ("md", MD))
    ]
    run = world.run("before-0", [(network, 0) for network in tried], confirmations=confirmations)
    of_table = seeded(world, FORTY, range(1))
    found = winners_of({"before-0": run.history, "stopped": History()}, MD, FORTY, of_table)
    assert found is not None
    (winner,) = found.winners
    assert (winner.trial, winner.architecture) == ("trial 2", tried[2])
    clips = [world.scores(MD, seed, RUNGS[-1])["clip_embedded"] for seed in (7, 8)]
    assert winner.scores["MD"].clip == pytest.approx(sum(clips) / 2)
    (verdict,) = winner.verdicts
    assert (verdict.against, verdict.seeds) == ("MD", 2)
    distances = [distance(network, MD, md_space()) or 0 for network in FORTY]
    assert found.drawn_distance == pytest.approx(sum(distances) / 40)
    assert found.distance is None and found.shared == ()  # of one winner
    assert winners_of({}, MD, FORTY, of_table) is None
    assert "otherwise" not in winners.section(("before-*",), found, MD).text()


def test_a_winner_of_another_protocol_says_in_what_it_was_measured_otherwise() -> None:
    world = World(noise=0.02)
    run = world.run("before-0", [(network, 0) for network in TWENTY[:3]])
    of_table = seeded(world, FORTY, range(1))
    header = of_table.header | {"rungs": [1, 2]}
    found = winners_of({"before-0": run.history}, MD, FORTY, replace(of_table, header=header))
    said = winners.section(("before-*",), found, MD).text()
    assert "compare with each other only: `before-0` (the table's first: rungs: [1, 2] against" in said


def test_what_winners_share_is_said_of_those_measured_as_the_table_was() -> None:
    world, of_table = World(noise=0.02), seeded(World(noise=0.02), FORTY, range(1))
    groups = {"before": TWENTY[:5], "after": networks(4, seed=1)}
    searches = {
        f"{group}-{number}": world.run(f"{group}-{number}", [(network, 0)]).history
        for group, tried in groups.items()
        for number, network in enumerate(tried)
    }
    for name, history in searches.items():
        if name.startswith("before"):
            history.header["rungs"] = [1, 2]
    found = winners_of(searches, MD, FORTY, of_table)
    assert found is not None and len(found.winners) == 9
    assert [winner.architecture for winner in found.alike] == groups["after"]
    away = [distance(network, MD, md_space()) or 0 for network in groups["after"]]
    assert found.distance is not None and found.distance.middle == sum(away) / 4
    assert list(found.shared) == shared_choices(groups["after"], FORTY, md_space())
    said = winners.section(("before-*",), found, MD).text()
    assert f"the 4 winners measured as the table was differ from MD in {sum(away) / 4:.1f} (" in said


@pytest.mark.parametrize(
    ("quality", "said"),
    [(1.5, "1 better; against MD-Lite: 1 better. Better than both: 100% (2% to 100%)."),
     (0.98, "1 better. Better than both: 0% (0% to 98%).")],
)  # fmt: skip
def test_the_share_of_searches_whose_winner_is_better_than_both(quality: float, said: str) -> None:
    truths = {MD.id: 1.0, MD_LITE.id: 0.5}
    world = World(noise=0.001, truth=lambda network: truths.get(network.id, quality))
    best = ("trial 0", TWENTY[0])
    confirmations = [(*each, seed) for seed in (7, 8, 9) for each in (best, ("md", MD), ("md_lite", MD_LITE))]
    run = world.run("after-0", [(TWENTY[0], 0)], confirmations=confirmations)
    found = winners_of({"after-0": run.history}, MD, FORTY, seeded(world, FORTY, range(1)))
    assert said in winners.section(("after-*",), found, MD).findings[0]


def test_what_winners_share_beyond_chance() -> None:
    space, drawn = md_space(), networks(60)
    found = [replace(network, activation="gelu").canonical() for network in networks(12, seed=2)]
    first, *others = shared_choices(found, drawn, space)
    assert (first.choice, first.value, first.counts) == ("activation", "gelu", True)
    assert first.winners.middle == 1 and not any(each.counts for each in others)
    assert shared_choices(found[:3], drawn, space) == []


def test_what_carries_over_to_another_proxy() -> None:
    near = seeded(World(noise=0.0), TWENTY, range(1))
    far = table(World(noise=0.0, rungs=(50,)).run("bigger", [(network, 0) for network in TWENTY[:12]]))
    fid, clip, *_ = orders(near, far)
    assert (fid.networks, clip.networks) == (12, 12)
    assert fid.correlation is not None and fid.correlation.middle == pytest.approx(1)
    few = table(World().run("bigger", [(network, 0) for network in TWENTY[:4]]))
    assert orders(near, few)[0].correlation is None


def test_a_winner_may_lose_under_the_bigger_proxy() -> None:
    winner, first, *rest = TWENTY[:10]
    near = {winner.id: 1.0, MD.id: 0.5, MD_LITE.id: 0.4, first.id: 0.3}
    far = {winner.id: 0.1, MD.id: 1.5, MD_LITE.id: 0.1, first.id: 2.0}
    seen, bigger = (
        World(noise=0.001, truth=lambda network, truths=truths: truths.get(network.id, 0.0))
        for truths in (near, far)
    )
    all_of_them = [MD, MD_LITE, first, *rest]
    runs = [(network, seed) for seed in (3, 4) for network in (*all_of_them, winner)]
    search = seen.run(
        "after-0", [(winner, 0)], confirmations=[("trial 0", winner, 7), ("trial 0", winner, 8)]
    )
    of_table = seeded(seen, all_of_them, range(3))
    found = winners_of({"after-0": search.history}, MD, FORTY, of_table)
    assert found is not None
    both = transfer(
        of_table, table(bigger.run("bigger", runs)), {"md": MD, "md_lite": MD_LITE}, found.winners
    )
    assert [each.name for each in both.networks][:2] == ["table 2", "MD"]
    (own,) = both.winners
    assert (own.name, own.seeds) == ("after-0", 2)
    assert own.near is not None and own.near.clip == pytest.approx(1, abs=0.01)
    assert {verdict.against: verdict.word for verdict in own.verdicts} == {
        "MD": "worse",
        "MD-Lite": "undecided",
    }
    text = " ".join(section(both, "").findings)
    assert f"By FID MD is number 1 of {len(all_of_them)} networks in the table and number 2" in text
    assert "Of 1 winner of searches trained there, against MD: 1 worse" in text


def test_a_rank_correlation_is_known_to_so_many_networks() -> None:
    chance, count = np.random.default_rng(0), networks_needed(0.6, 0.1)
    drawn = chance.multivariate_normal([0, 0], [[1, 0.618], [0.618, 1]], (2000, count))  # Spearman's: .6
    low, high = np.quantile(spearman(drawn), [0.025, 0.975])
    assert (high - low) / 2 == pytest.approx(0.1, rel=0.06)


def test_how_many_seeds_would_do() -> None:
    found = noise_by_rung(seeded(World(noise=0.1), FORTY, range(2)), [n.id for n in FORTY])
    text = limits.section([], found, seeded(World(), TWENTY[:1], range(1)), 36.0).text()
    clip = next(each for each in found if each.metric == CLIP and each.step == RUNGS[-1])
    assert clip.spread is not None
    runs = math.ceil(9 * clip.seeds.value / clip.spread**2)  # s^2 / n is a tenth of the whole variance
    assert f"variance of CLIP between networks is not noise once each is trained with {runs} seed" in text
    pairs = pairs_needed((2 * clip.better_half.value) ** 0.5, 0.01, 0.05)
    assert f"+0.010 in CLIP are told apart in 80% of cases by {pairs:,} seeds of each" in text
    assert "networks of 1/16 of the paper's widths, after 400 steps" in text


def test_goodness_is_of_the_networks_asked_for() -> None:
    of_table = seeded(World(), TWENTY, range(2))
    key = TWENTY[3].id
    values = goodness(of_table, CLIP, 400, {key})
    assert values == {key: {seed: World().scores(TWENTY[3], seed, 400)["clip_embedded"] for seed in (0, 1)}}
