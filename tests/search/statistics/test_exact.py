"""What is computed from a network alone has no noise: its value decides, and no seeds are asked for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search.confirmation.race import Race
from search.confirmation.repeats import estimated, known_noise
from search.objectives import FID_AND_CLIP, Objective, objectives_from_plain, objectives_to_plain, with_exact
from search.runs.header import ELSEWHERE, noise_of, objectives_of_header
from search.runs.record import History
from search.statistics.noise import NO_NOISE, Noise, RungNoise, beats, without_noise
from search.statistics.pareto import Point
from search.statistics.verdicts import Evidence, Verdict
from search.stopping.leaders import LeadersSettings
from search.stopping.paper import PaperSettings
from space.budget import LATENCY
from space.shared.plain import to_plain
from tests.search.histories import write_history

LATENCY_TOO = with_exact([*FID_AND_CLIP, Objective(LATENCY, "minimize", "log")])
NOISE = Noise((RungNoise(400, 0.05, 0.02),), degrees_of_freedom=1e9)  # of FID and CLIP, as measured


def point(fid: float, clip: float, ms: float) -> Point:
    return Point((fid, clip, ms), LATENCY_TOO)


def verdict(mine: Point, theirs: Point, noise: Noise = NOISE, seeds: int = 1) -> Verdict:
    runs = {"a": dict.fromkeys(range(seeds), mine), "b": dict.fromkeys(range(seeds), theirs)}
    found = Evidence(runs, 400, noise).verdict("a", "b")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("mine", "theirs", "word"),
    [
        (point(10, 0.5, 99.9), point(10, 0.5, 100.0), "better"),
        (point(10, 0.5, 100.0), point(10, 0.5, 99.9), "worse"),
        (point(10, 0.5, 100.0), point(10, 0.5, 0.1 + 99.9), "undecided"),  # a tie: the two others decide
        (point(5, 0.5, 100.0), point(10, 0.5, 100.0 * (1 + 1e-13)), "better"),
        (point(5, 0.5, 101.0), point(10, 0.5, 100.0), "mixed"),
    ],
)
def test_a_cost_is_decided_by_its_value(mine: Point, theirs: Point, word: str) -> None:
    assert verdict(mine, theirs).word == word


def test_equal_costs_are_equivalent_and_no_worse_within_no_margin() -> None:
    same = point(10, 0.5, 100.0)
    wide = replace(NOISE, equivalent_fid_relative=0.2, equivalent_clip=0.1)
    assert verdict(same, same, wide, seeds=40).word == "equivalent"
    unlike = replace(NOISE, equivalent_clip=0.0, no_worse_fid_relative=0.2, no_worse_clip=0.1)
    assert verdict(same, same, unlike, seeds=40).word == "no worse"


def test_what_has_noise_is_undecided_as_without_the_cost() -> None:
    found = verdict(point(10, 0.5, 50.0), point(10, 0.5, 100.0), NO_NOISE)
    assert found.word == "undecided" and found.difference(LATENCY).middle == pytest.approx(-0.5)
    assert found.difference(LATENCY).known and not found.difference("FID").known
    assert f"{LATENCY} -50%, exact" in found.figures()


def test_the_level_is_shared_by_what_has_noise() -> None:
    both = verdict(point(10, 0.5, 100.0), point(11, 0.4, 100.0))
    alone = Evidence({"a": {0: Point.of(10, 0.5)}, "b": {0: Point.of(11, 0.4)}}, 400, NOISE)
    two = alone.verdict("a", "b")
    assert two is not None and both.differences[:2] == two.differences


def test_single_runs_differ_by_any_cost_and_tie_by_none() -> None:
    one = point(10, 0.5, 100.0)
    assert beats(one, point(10, 0.5, 100.1), NOISE, 400) and not beats(point(10, 0.5, 100.1), one, NOISE, 400)
    assert not beats(one, one, NOISE, 400) and beats(one, point(20, 0.5, 0.1 + 99.9), NOISE, 400)
    assert not beats(point(5, 0.5, 100.1), one, NOISE, 400)  # better in FID, and worse in what is exact
    assert not beats(one, point(10, 0.5, 200.0), NO_NOISE, 400)


def test_a_cost_counts_neither_as_known_nor_as_unknown_noise() -> None:
    assert without_noise(NOISE, LATENCY_TOO) == [] and NOISE.known(LATENCY_TOO)
    assert not NO_NOISE.known(LATENCY_TOO)
    race = Race(("a",), (), (0, 1, 2), 400, LATENCY_TOO, NO_NOISE)
    move = race.at([]).next_move()
    assert move is not None and move.name == "a"


def test_repeats_say_nothing_of_a_cost(tmp_path) -> None:  # type: ignore[no-untyped-def]
    history = write_history(tmp_path, objectives=to_plain(LATENCY_TOO))
    for trial in (*history.trials, *history.confirmations):
        for rung in trial.rungs:
            rung.scores[LATENCY] = trial.cost.gmacs
    noise = noise_of(history)
    assert noise is not None
    assert {each.score for each in estimated([history], noise)} == {"FID", "CLIP"}
    assert all(rung.others == {} for rung in known_noise(history, noise).rungs)


def test_exact_is_what_the_search_computes_and_never_stored() -> None:
    assert [each.exact for each in LATENCY_TOO] == [False, False, True]
    plain = objectives_to_plain(LATENCY_TOO)
    assert all(set(each) == {"name", "direction", "scale", "label"} for each in plain)
    assert objectives_from_plain(plain) == LATENCY_TOO
    assert objectives_of_header({"objectives": plain})[2].exact
    told = objectives_of_header({"objectives": plain, "training": ELSEWHERE})
    assert not any(each.exact for each in told)
    assert History(header={}).header == {} and objectives_of_header({}) == FID_AND_CLIP


@pytest.mark.parametrize("settings", [PaperSettings(), LeadersSettings(further=())])
def test_nobody_is_stopped_for_a_cost(settings: PaperSettings | LeadersSettings) -> None:
    from search.statistics.curves import Curve

    def curve(ms: float, steps: tuple[int, ...]) -> Curve:
        points = tuple(point(10, 0.5, ms) for _ in steps)
        scores = tuple({o.name: v for o, v in zip(p.objectives, p.values, strict=True)} for p in points)
        return Curve(steps, points, scores)

    noise = Noise((RungNoise(200, 0.05, 0.02), RungNoise(400, 0.05, 0.02)))
    peers = [curve(10.0, (200, 400)) for _ in range(5)]
    assert settings.make(noise).reason_to_stop(curve(500.0, (200,)), peers, point(100, 0.0, 10.0), 400) == ""
