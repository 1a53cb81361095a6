"""The default rule: worked out by hand at its edges, and what noise alone does to it."""

import math
import random
from dataclasses import replace

import pytest

from search.objectives import FID_AND_CLIP, Objective
from search.statistics.curves import Curve
from search.statistics.noise import NO_NOISE, Noise, RungNoise
from search.statistics.pareto import Point
from search.stopping.factory import StoppingSettings
from search.stopping.leaders import LeadersSettings
from space.shared.plain import InputError, from_plain
from tests.search.worlds import drive, make_search

LOSS = "validation_loss"
FID, CLIP = (each.name for each in FID_AND_CLIP)
NOISE = Noise((RungNoise(100, 0.1, 0.02, {LOSS: 0.05}),))
FID_AND_CLIP_ALONE = Noise((RungNoise(100, 0.1, 0.02),))
START = Point.of(100.0, 0.0)
ONE_RUN = math.sqrt(1 + 1 / 2)  # deviations of one run off the mean of two


def curve(*rungs: tuple[float, float, float], steps=(100, 400)) -> Curve:
    """(FID, CLIP, loss) at each rung."""
    return Curve(
        steps[: len(rungs)],
        tuple(Point.of(fid, clip) for fid, clip, _ in rungs),
        tuple({FID: fid, CLIP: clip, LOSS: loss, "fid_random_conv": 1.0} for fid, clip, loss in rungs),
    )


PEERS = [
    curve((25.0, 0.50, 0.3), (20.0, 0.7, 0.2)),  # ahead here, but no leader in the end
    curve((40.0, 0.30, 0.4), (10.0, 0.9, 0.1)),
    curve((62.5, 0.50, 0.9), (11.0, 0.8, 0.1)),  # with the one above: FID 50, CLIP .40, loss .6
    curve((10.0, 0.90, 0.1)),  # stopped, or still on its way
    Curve(),
]


def behind(fid: float = 0.0, clip: float = 0.0, loss: float = 0.0) -> Curve:
    """A trial that is so many deviations behind the two leaders."""
    return curve(
        (
            50.0 * math.exp(0.1 * ONE_RUN * fid),
            0.40 - 0.02 * ONE_RUN * clip,
            0.6 * math.exp(0.05 * ONE_RUN * loss),
        )
    )


def reason(trial: Curve, peers=PEERS, noise=NOISE, **numbers) -> str:
    return LeadersSettings(**numbers).make(noise).reason_to_stop(trial, peers, START, 400)


@pytest.mark.parametrize(
    ("trial", "stopped"),
    [
        (behind(), False),
        (behind(2.0, 2.0, 1.9), False),
        (behind(2.0, 2.0, 2.1), True),
        (behind(-3.0, 3.0, 5.9), False),  # the early FID of a network without cross-attention
        (behind(-3.0, 3.0, 6.1), True),
        (behind(9.0, -1.0, -2.1), False),  # one score alone that is far behind
    ],
)
def test_the_mean_over_all_scores_decides(trial, stopped):
    assert bool(reason(trial)) is stopped


def test_it_says_behind_whom_and_in_what():
    assert reason(behind(2.0, 3.0, 4.0)) == (
        "behind the best 2 complete trials at step 100 by 3.0 deviations of one run on average: "
        "FID 63.9, theirs 50.0 (+2.0); CLIP 0.327, theirs 0.400 (+3.0); "
        "validation loss 0.7665, theirs 0.6 (+4.0)"
    )


def test_a_score_of_unknown_noise_says_nothing():
    trial = behind(1.0, 1.0, 9.0)
    assert reason(trial) and not reason(trial, noise=FID_AND_CLIP_ALONE)
    assert not reason(behind(99.0, 99.0, 99.0), noise=NO_NOISE)


def test_scores_that_only_some_recorded_say_nothing():
    trial = behind(1.0, 1.0, 9.0)
    assert not reason(replace(trial, scores=()))
    assert not reason(trial, [replace(peer, scores=()) for peer in PEERS])
    assert reason(replace(behind(2.1, 2.1), scores=()))
    broken = replace(trial, scores=(dict(trial.scores[0]) | {LOSS: math.nan},))
    assert not reason(broken)


def test_leaders_are_complete_and_two_at_least():
    trial = behind(5.0, 5.0, 5.0)
    assert reason(trial, PEERS[1:3]) and not reason(trial, PEERS[1:2] + PEERS[3:])
    assert not reason(trial, minimum_peers=4)


def test_a_tenth_of_many_leads():
    """Of 40 complete ones the best four; each as far ahead of the next in the end."""
    peers = [
        curve((50.0 + (place >= 4), 0.4, 0.6), (10.0 + place, 0.9 - place / 100, 0.1)) for place in range(40)
    ]
    assert "the best 4 complete trials" in (said := reason(behind(4.0, 4.0, 4.0), peers[::-1]))
    assert "theirs 50.0" in said
    assert "the best 20 complete" in reason(behind(4.0, 4.0, 4.0), peers, leading_share=0.5)


def test_a_score_that_is_an_objective_counts_once():
    objectives = (*FID_AND_CLIP, Objective(LOSS, "minimize", "log"))

    def with_loss(one: Curve) -> Curve:
        pairs = zip(one.points, one.scores, strict=True)
        return replace(
            one, points=tuple(Point((*at.values, of[LOSS]), objectives) for at, of in pairs), scores=()
        )

    peers = [with_loss(peer) for peer in PEERS]
    for loss in (1.9, 2.1):
        trial = behind(2.0, 2.0, loss)
        assert bool(reason(with_loss(trial), peers)) is bool(reason(trial))


@pytest.mark.parametrize("together", [0.0, 0.7, 1.0])
def test_noise_alone_stops_no_more_than_it_says(together):
    """A trial as good as its leaders: at two deviations one in 44 at most, however scores go together."""
    chance, count = random.Random(0), 3000

    def noisy() -> Curve:
        common = chance.gauss(0, 1)
        fid, clip, loss = (
            math.sqrt(together) * common + math.sqrt(1 - together) * chance.gauss(0, 1) for _ in range(3)
        )
        here = 50.0 * math.exp(0.1 * fid), 0.4 - 0.02 * clip, 0.6 * math.exp(0.05 * loss)
        return curve(here, (chance.uniform(10, 11), chance.uniform(0.8, 0.9), 0.1))

    stopped = 0
    for _ in range(count):
        peers = [noisy() for _ in range(5)]
        trial = noisy()
        stopped += bool(reason(Curve(trial.steps[:1], trial.points[:1], trial.scores[:1]), peers))
    expected = {0.0: 0.0003, 0.7: 0.0131, 1.0: 0.0228}[together]
    assert stopped / count <= expected + 3 * math.sqrt(expected / count)
    assert stopped / count >= expected - 3 * math.sqrt(expected / count)


def test_a_search_from_nothing_stops_weak_candidates(tmp_path):
    search = make_search(tmp_path, trials=12, stopping="leaders")
    drive(search)
    states = [trial.state for trial in search.history.trials]
    assert states[:2] == ["complete"] * 2 and states.count("halted") >= 3


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("leading_share", 0.0, "above 0, up to 1"),
        ("deviations", -1.0, "0 or more"),
        ("minimum_peers", 0, "1 or more"),
        ("further", [{"name": LOSS}, {"name": LOSS}], "each once"),
    ],
)
def test_impossible_numbers_are_refused_by_name(field, value, allowed):
    with pytest.raises(InputError, match=f"allowed: {allowed}"):
        from_plain(StoppingSettings, {"name": "leaders", field: value}, "stopping")
