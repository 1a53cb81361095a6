import random

import pytest

from search.curves import Curve
from search.ranking import Noise, Point, RungNoise
from search.stopping import StoppingSettings, make_rule
from space.plain import InputError

NOISE = Noise((RungNoise(100, 0.1, 0.02), RungNoise(400, 0.1, 0.02)))
START = Point(100.0, 0.0)
PEERS = [Point(60.0, 0.30), Point(50.0, 0.40), Point(40.0, 0.50)]  # the median improved by 50 and .40
RULES = ("paper", "median", "asha", "none")


def reason(name: str, here: Point, peers=PEERS, step: int = 100, **numbers) -> str:
    settings = StoppingSettings(name=name, minimum_peers=numbers.pop("minimum_peers", 3), **numbers)
    rule = make_rule(settings, NOISE)
    return rule.reason_to_halt(one_rung(here, step), [one_rung(peer, step) for peer in peers], START, 400)


def one_rung(point: Point, step: int = 100) -> Curve:
    return Curve((step,), (point,))


# the bar: FID 50 +- 5 (a tenth of it), CLIP .40 +- .02
@pytest.mark.parametrize(
    ("here", "halted"),
    [
        (Point(50.0, 0.40), False),  # the median itself
        (Point(54.9, 0.381), False),  # behind in both, inside the noise
        (Point(55.1, 0.40), True),  # lags in FID, level in CLIP
        (Point(50.0, 0.379), True),  # lags in CLIP, level in FID
        (Point(90.0, 0.441), False),  # lags in FID, ahead in CLIP: by two deviations
        (Point(90.0, 0.439), True),  # lags in FID, in CLIP not far enough ahead
        (Point(39.9, 0.01), False),  # lags in CLIP, ahead in FID
        (Point(40.1, 0.01), True),  # lags in CLIP, in FID not far enough ahead
        (Point(70.0, 0.20), True),  # lags in both
        (Point(40.0, 0.50), False),  # ahead in both
    ],
)
def test_the_papers_rule_at_its_edges(here, halted):
    assert bool(reason("paper", here)) is halted


def test_the_papers_rule_says_what_lagged_and_by_how_much():
    said = reason("paper", Point(70.0, 0.20))
    assert said == (
        "slower than earlier trials: FID improved by 30.0, peers by 50.0 (noise 5.0); "
        "CLIP by 0.200, peers by 0.400 (noise 0.020)"
    )


def test_a_network_without_cross_attention_is_halted_though_its_fid_looks_average():
    """The measured figures of the embedded default at step 100: the best FID of all, and no CLIP."""
    peers = [Point(67.7, 0.257), Point(56.1, 0.248), Point(65.3, 0.275), Point(54.5, 0.30)]
    assert "CLIP" in reason("paper", Point(58.0, -0.01), peers)


def test_nobody_is_halted_before_enough_peers_are_recorded():
    hopeless = Point(99.0, 0.0)
    for name in ("paper", "median", "asha"):
        assert reason(name, hopeless, PEERS[:2]) == ""
        assert reason(name, hopeless, PEERS) != ""


def test_more_deviations_halt_less_and_a_lower_quantile_too():
    here = Point(57.0, 0.40)
    assert reason("paper", here) and not reason("paper", here, deviations=2.0)
    assert not reason("paper", here, quantile=0.1)


def test_the_median_rule_needs_both_scores_worse():
    assert reason("median", Point(50.1, 0.399)) and not reason("median", Point(50.1, 0.401))


def test_asha_keeps_the_best_half_of_all_recorded():
    peers = [Point(90 - 10 * n, 0.1 * n) for n in range(5)]
    kept = [not reason("asha", here, [p for p in peers if p is not here]) for here in peers]
    assert kept == [False, False, True, True, True]  # 3 of 5: half, rounded up


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_a_function_of_what_is_recorded(name):
    """The contract: the same answer again, whatever the order of the peers, and text or nothing."""
    chance = random.Random(0)
    for _ in range(200):
        peers = [Point(chance.uniform(5, 100), chance.random()) for _ in range(chance.randrange(8))]
        here = Point(chance.uniform(5, 100), chance.random())
        said = reason(name, here, peers)
        assert isinstance(said, str) and said == reason(name, here, peers)
        assert bool(said) == bool(reason(name, here, peers[::-1]))


@pytest.mark.parametrize("name", RULES)
def test_no_rule_halts_a_trial_that_beats_every_peer(name):
    chance = random.Random(1)
    for _ in range(200):
        peers = [Point(chance.uniform(20, 100), chance.uniform(0, 0.5)) for _ in range(chance.randrange(8))]
        assert reason(name, Point(10.0, 0.9), peers) == ""


@pytest.mark.parametrize("name", RULES)
def test_no_rule_breaks_without_any_history(name):
    assert reason(name, Point(50.0, 0.1), [], minimum_peers=1) == ""


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("quantile", 1.0, "between 0 and 1"),
        ("deviations", -1.0, "0 or more"),
        ("reduction", 1.0, "more than 1"),
        ("minimum_peers", 0, "1 or more"),
    ],
)
def test_impossible_numbers_are_refused_by_name(field, value, allowed):
    with pytest.raises(InputError, match=f"{field}: .*allowed: {allowed}"):
        StoppingSettings(**{field: value})


def test_planted_failures_as_they_trained_are_halted_and_md_is_not():
    """Scores at step 125 of the default, as recorded on 2026-11-20 by tests/search/test_planted.py."""
    noise = Noise((RungNoise(125, 0.07, 0.021),))
    rule = make_rule(StoppingSettings(name="paper"), noise)
    start = Point(4971.6, -0.007)
    sound = [Point(4506, 0.074), Point(3993, 0.110), Point(4434, 0.082)]
    without_text, far_too_narrow, md = Point(4556, -0.009), Point(3858, -0.003), Point(4385, 0.072)

    def reason_among(here: Point, peers: list[Point]) -> str:
        curves = [one_rung(peer, 125) for peer in peers]
        return rule.reason_to_halt(one_rung(here, 125), curves, start, 500)

    assert "CLIP" in reason_among(without_text, sound)
    assert "CLIP" in reason_among(far_too_narrow, [*sound, without_text])
    assert reason_among(md, [*sound, without_text, far_too_narrow]) == ""
