import math
import random
import re
import time

import pytest
from scipy.stats import linregress

from search.statistics.curves import Curve
from search.statistics.noise import Noise, RungNoise
from search.statistics.pareto import Point
from search.stopping.extrapolate import ExtrapolateSettings, ExtrapolatingRule, predicted
from search.stopping.factory import StoppingSettings, make_rule
from search.stopping.paper import PaperSettings
from space.shared.plain import InputError, from_plain
from tests.search.worlds import preset

NOISE = Noise((RungNoise(100, 0.1, 0.02), RungNoise(400, 0.1, 0.02)))
START = Point.of(100.0, 0.0)
PEERS = [  # the median improved by 50 and .40
    Point.of(60.0, 0.30),
    Point.of(50.0, 0.40),
    Point.of(40.0, 0.50),
]
RULES = ("leaders", "paper", "median", "asha", "extrapolate", "none")


def reason(name: str, here: Point, peers=PEERS, step: int = 100, **numbers) -> str:
    plain = {"name": name, "minimum_peers": 3} if name != "none" else {"name": name}
    rule = make_rule(from_plain(StoppingSettings, plain | numbers), NOISE)
    return rule.reason_to_stop(one_rung(here, step), [one_rung(peer, step) for peer in peers], START, 400)


def one_rung(point: Point, step: int = 100) -> Curve:
    return Curve((step,), (point,))


# the bar: FID 50 +- 5 (a tenth of it), CLIP .40 +- .02
@pytest.mark.parametrize(
    ("here", "stopped"),
    [
        (Point.of(50.0, 0.40), False),  # the median itself
        (Point.of(54.9, 0.381), False),  # behind in both, inside the noise
        (Point.of(55.1, 0.40), True),  # lags in FID, level in CLIP
        (Point.of(50.0, 0.379), True),  # lags in CLIP, level in FID
        (Point.of(90.0, 0.441), False),  # lags in FID, ahead in CLIP: by two deviations
        (Point.of(90.0, 0.439), True),  # lags in FID, in CLIP not far enough ahead
        (Point.of(39.9, 0.01), False),  # lags in CLIP, ahead in FID
        (Point.of(40.1, 0.01), True),  # lags in CLIP, in FID not far enough ahead
        (Point.of(70.0, 0.20), True),  # lags in both
        (Point.of(40.0, 0.50), False),  # ahead in both
    ],
)
def test_the_papers_rule_at_its_edges(here, stopped):
    assert bool(reason("paper", here)) is stopped


def test_the_papers_rule_says_what_lagged_and_by_how_much():
    said = re.findall(r"FID|CLIP|peers|noise|[\d.]+", reason("paper", Point.of(70.0, 0.20)))
    assert " ".join(said) == "FID 30.0 peers 50.0 noise 5.0 CLIP 0.200 peers 0.400 noise 0.020"


def test_a_network_without_cross_attention_is_stopped_though_its_fid_looks_average():
    """The measured figures of the embedded default at step 100: the best FID of all, and no CLIP."""
    peers = [Point.of(67.7, 0.257), Point.of(56.1, 0.248), Point.of(65.3, 0.275), Point.of(54.5, 0.30)]
    assert "CLIP" in reason("paper", Point.of(58.0, -0.01), peers)


def test_nobody_is_stopped_before_enough_peers_are_recorded():
    hopeless = Point.of(99.0, 0.0)
    for name in ("paper", "median", "asha"):
        assert reason(name, hopeless, PEERS[:2]) == ""
        assert reason(name, hopeless, PEERS) != ""


def test_more_deviations_stop_less_and_a_lower_quantile_too():
    here = Point.of(57.0, 0.40)
    assert reason("paper", here) and not reason("paper", here, deviations=2.0)
    assert not reason("paper", here, quantile=0.1)


def test_the_median_rule_needs_both_scores_worse():
    assert reason("median", Point.of(50.1, 0.399)) and not reason("median", Point.of(50.1, 0.401))


def test_asha_keeps_the_best_half_of_all_recorded():
    peers = [Point.of(90 - 10 * n, 0.1 * n) for n in range(5)]
    kept = [not reason("asha", here, [p for p in peers if p is not here]) for here in peers]
    assert kept == [False, False, True, True, True]  # 3 of 5: half, rounded up


@pytest.mark.parametrize("name", RULES)
def test_no_rule_stops_a_trial_that_beats_every_peer(name):
    chance = random.Random(1)
    for _ in range(200):
        peers = [some_curve(chance, chance.choice((1, 2))) for _ in range(chance.randrange(12))]
        rule = make_rule(preset("stopping", name, StoppingSettings), NOISE)
        assert rule.reason_to_stop(Curve((100,), (Point.of(10.0, 0.9),)), peers, START, 400) == ""


@pytest.mark.parametrize("name", RULES)
def test_a_decision_among_ten_thousand_peers_takes_no_second(name):
    chance = random.Random(2)
    peers = [some_curve(chance, 2) for _ in range(10_000)]
    rule = make_rule(preset("stopping", name, StoppingSettings), NOISE)
    took = []
    for _ in range(3):  # the fastest: on a busy machine others may be held up
        began = time.process_time()
        rule.reason_to_stop(some_curve(chance, 1), peers, START, 400)
        took.append(time.process_time() - began)
    assert min(took) < 1.0


def some_curve(chance: random.Random, rungs: int) -> Curve:
    points = [Point.of(chance.uniform(20, 100), chance.uniform(0, 0.5)) for _ in range(rungs)]
    return Curve((100, 400)[:rungs], tuple(points))


@pytest.mark.parametrize(
    ("name", "field", "value", "allowed"),
    [
        ("paper", "quantile", 1.0, "between 0 and 1"),
        ("paper", "deviations", -1.0, "0 or more"),
        ("asha", "reduction", 1.0, "more than 1"),
        ("median", "minimum_peers", 0, "1 or more"),
        ("extrapolate", "confidence", 1.0, "from 0.5 to under 1"),
    ],
)
def test_impossible_numbers_are_refused_by_name(name, field, value, allowed):
    with pytest.raises(InputError, match=f"stopping.{field}: .*allowed: {allowed}"):
        from_plain(StoppingSettings, {"name": name, field: value}, "stopping")


def test_planted_failures_as_they_trained_are_stopped_and_md_is_not():
    """Scores at step 125 of the default, as recorded on 2026-11-20 by tests/search/test_planted.py."""
    noise = Noise((RungNoise(125, 0.07, 0.021),))
    rule = make_rule(PaperSettings(), noise)
    start = Point.of(4971.6, -0.007)
    sound = [Point.of(4506, 0.074), Point.of(3993, 0.110), Point.of(4434, 0.082)]
    without_text, far_too_narrow, md = Point.of(4556, -0.009), Point.of(3858, -0.003), Point.of(4385, 0.072)

    def reason_among(here: Point, peers: list[Point]) -> str:
        curves = [one_rung(peer, 125) for peer in peers]
        return rule.reason_to_stop(one_rung(here, 125), curves, start, 500)

    assert "CLIP" in reason_among(without_text, sound)
    assert "CLIP" in reason_among(far_too_narrow, [*sound, without_text])
    assert reason_among(md, [*sound, without_text, far_too_narrow]) == ""


# ---------------------------------------------------------------------- extrapolation

# In FID a straight line of the logarithms with residuals +d, -d, -d, +d of .1, in CLIP one of .01
AT = [Point.of(80.0, 0.1), Point.of(40.0, 0.2), Point.of(20.0, 0.3), Point.of(10.0, 0.4)]
ENDS = [
    Point.of(at.fid / 2 * math.exp(0.1 * sign), 2 * at.clip + 0.01 * sign)
    for at, sign in zip(AT, (1, -1, -1, 1), strict=True)
]
COMPLETE = [Curve((100, 400), pair) for pair in zip(AT, ENDS, strict=True)]
QUIET = Noise((RungNoise(400, 0.0, 0.0),))


def extrapolated(here: Point, peers=COMPLETE, noise: Noise = QUIET, **numbers) -> str:
    rule = ExtrapolatingRule(noise, **({"minimum_peers": 4, "confidence": 0.9} | numbers))
    return rule.reason_to_stop(Curve((100,), (here,)), peers, START, 400)


def test_a_prediction_worked_out_by_hand():
    """Slope 1 and offset -log 2; residuals of .1 with 2 degrees of freedom: a deviation of sqrt(4 x .01 / 2);
    at the mean of the four the line adds 1/4."""
    logs = [math.log(at.fid) for at in AT]
    found = predicted(logs, [math.log(end.fid) for end in ENDS], sum(logs) / 4)
    assert found.value == pytest.approx(sum(logs) / 4 - math.log(2))
    assert found.deviation == pytest.approx(0.1 * 2**0.5) and found.freedom == 2
    assert found.widening == pytest.approx(1.25**0.5)
    # the .9 quantile of Student's t with 2 degrees of freedom: .8 sqrt(2 / (1 - .8^2)) = 1.8856
    assert found.reach(0.9, 0.0) == pytest.approx(1.885618 * 0.1 * 2**0.5 * 1.25**0.5)
    assert found.reach(0.9, 1.0) == pytest.approx(1.885618 * 1.25**0.5)  # never less than the noise


def test_the_line_is_scipys():
    chance = random.Random(0)
    for count in (3, 4, 9, 40):
        at = [chance.gauss(0, 1) for _ in range(count)]
        ends = [2 + 0.7 * x + chance.gauss(0, 0.3) for x in at]
        fit, found = linregress(at, ends), predicted(at, ends, 1.3)
        assert found.value == pytest.approx(fit.intercept + 1.3 * fit.slope)
        # the deviation of the fitted line at 0 and in its slope, told apart from the residuals'
        at_zero = predicted(at, ends, 0.0)
        assert at_zero.deviation * math.sqrt(at_zero.widening**2 - 1) == pytest.approx(fit.intercept_stderr)


def test_a_rung_never_promises_the_more_for_being_worse():
    assert predicted([1.0, 2.0, 3.0], [3.0, 2.0, 1.0], 3.0).value == pytest.approx(2.0)


@pytest.mark.parametrize("at", [[], [1.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
def test_no_line_through_too_few_or_through_one_place(at):
    assert predicted(at, at, 1.0) is None


def test_stopped_is_who_would_not_reach_the_front_even_at_best():
    """The best complete trial has FID 5.5 and CLIP .81, which AT[3] at this rung promised."""
    assert extrapolated(AT[3]) == ""  # nobody is ahead of it
    said = extrapolated(Point.of(60.0, 0.15))
    for part in (
        "step 400", "expected FID 30.0 and CLIP 0.300", "best 21.7 and 0.332", "90%", "4 complete trials",
        "has 18.1 and 0.390",
    ):  # fmt: skip
        assert part in said
    assert extrapolated(Point.of(11.0, 0.39)) == ""  # behind, but it may well end on the front
    assert extrapolated(Point.of(60.0, 0.39)) == ""  # in CLIP it may
    assert extrapolated(Point.of(60.0, 0.15), confidence=0.999) == ""  # a wider interval lets it go on
    assert extrapolated(Point.of(60.0, 0.15), noise=Noise((RungNoise(400, 2.0, 0.5),))) == ""  # so does noise


def test_only_complete_peers_teach_it_and_enough_of_them():
    hopeless = Point.of(75.0, 0.1)
    assert extrapolated(hopeless)
    assert extrapolated(hopeless, COMPLETE, minimum_peers=5) == ""
    stopped = [Curve((100,), (at,)) for at in AT]
    assert extrapolated(hopeless, COMPLETE[:3] + stopped) == ""


def test_two_peers_are_too_few_for_extrapolation_and_it_says_so():
    with pytest.raises(InputError, match=r"minimum_peers: 2 .*allowed: 3 or more"):
        ExtrapolateSettings(minimum_peers=2)


def test_who_would_reach_the_front_is_seldom_stopped():
    """Curves whose ends scatter around a line: of those that would reach the front of 12 complete ones, no
    more are stopped than the confidence allows, and of the others a good part is."""
    chance = random.Random(0)

    def curve() -> Curve:
        good = chance.random()
        early = Point.of(100 * math.exp(-good + chance.gauss(0, 0.1)), 0.2 * good + chance.gauss(0, 0.02))
        late = Point.of(60 * math.exp(-2 * good + chance.gauss(0, 0.15)), 0.5 * good + chance.gauss(0, 0.03))
        return Curve((100, 400), (early, late))

    would, stopped = {True: 0, False: 0}, {True: 0, False: 0}
    for _ in range(400):
        peers, trial = [curve() for _ in range(12)], curve()
        on_front = not any(peer.points[1].dominates(trial.points[1]) for peer in peers)
        would[on_front] += 1
        stopped[on_front] += bool(extrapolated(trial.points[0], peers))
    assert stopped[True] <= 0.1 * would[True]
    assert stopped[False] >= 0.7 * would[False]
