"""Stopping rules by three objectives: each counts; one of unknown noise says nothing where noise counts."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from search.statistics.curves import Curve
from search.statistics.noise import Noise, RungNoise
from search.statistics.pareto import Point
from search.stopping.asha import AshaRule
from search.stopping.base import StoppingRule
from search.stopping.extrapolate import ExtrapolatingRule
from search.stopping.median import MedianRule
from search.stopping.paper import PaperRule
from tests.search.three import NOISE_OF_THREE, START_OF_THREE, three

PEERS = [three(60, 0.3, 0.6), three(50, 0.4, 0.5), three(40, 0.5, 0.4)]
PAPER = PaperRule(NOISE_OF_THREE, 3, 0.5, 1.0, 2.0)
UNSTATED = Noise((RungNoise(100, 0.05, 0.02),))


def reason(rule: StoppingRule, here: Point, peers: list[Point] = PEERS) -> str:
    curves = [Curve((100,), (peer,)) for peer in peers]
    return rule.reason_to_stop(Curve((100,), (here,)), curves, START_OF_THREE, 400)


@pytest.mark.parametrize(
    ("here", "stopped"),
    [
        (three(50, 0.4, 0.5), False),
        (three(50, 0.4, 0.514), False),  # inside the noise: 3 % of .5
        (three(50, 0.4, 0.516), True),
        (three(90, 0.1, 0.469), False),  # ahead in the third, by two deviations
        (three(90, 0.1, 0.471), True),
    ],
)
def test_the_papers_rule_counts_the_third(here: Point, stopped: bool) -> None:
    assert bool(reason(PAPER, here)) == stopped


def test_the_papers_rule_says_by_what() -> None:
    said = re.findall(r"FID|validation_loss|peers|noise|[\d.]+", reason(PAPER, three(70, 0.4, 0.6)))
    assert " ".join(said) == "FID 30.0 peers 50.0 noise 2.5 validation_loss 0.4 peers 0.5 noise 0.015"


def test_an_objective_of_unknown_noise_neither_stops_nor_spares() -> None:
    rule = replace(PAPER, noise=UNSTATED)
    assert not reason(rule, three(50, 0.4, 0.9))
    assert "FID" in reason(rule, three(90, 0.4, 0.01))


def test_the_median_rule_stops_who_is_behind_in_all_three() -> None:
    _, _, said = reason(MedianRule(3), three(55, 0.35, 0.55)).partition(": ")
    assert said.split(" and ") == ["FID 55.0 > 50.0", "CLIP 0.350 < 0.400", "validation_loss 0.55 > 0.5"]
    assert not reason(MedianRule(3), three(55, 0.35, 0.45))


def test_halving_keeps_who_is_on_the_front_of_three() -> None:
    rule = AshaRule(1, 4.0)
    assert re.findall(r"\d+", reason(rule, three(61, 0.29, 0.61))) == ["4", "4", "100", "1"]
    front = [three(60, 0.3, 0.3), three(61, 0.29, 0.4), three(62, 0.28, 0.5)]
    assert reason(rule, three(63, 0.27, 0.6), front)
    assert not reason(AshaRule(1, 2.0), three(63, 0.27, 0.2), front)  # on the front, by its loss alone


def test_an_end_is_expected_of_each() -> None:
    """Curves that end at half their FID and loss and twice their CLIP."""
    starts = [three(80, 0.1, 0.8), three(40, 0.2, 0.4), three(20, 0.3, 0.2), three(10, 0.4, 0.1)]
    curves = [
        Curve((100, 400), (at, three(at.fid / 2, 2 * at.clip, at.values[2] / 2 * math.exp(0.01 * sign))))
        for at, sign in zip(starts, (1, -1, -1, 1), strict=True)
    ]
    rule = ExtrapolatingRule(NOISE_OF_THREE, 3, 0.9)

    def said(here: Point, rule: ExtrapolatingRule = rule) -> str:
        return rule.reason_to_stop(Curve((100,), (here,)), curves, START_OF_THREE, 400)

    hopeless = said(three(60, 0.15, 0.6))
    assert "expected FID 30.0 and CLIP 0.300 and validation_loss 0.3" in hopeless
    assert not said(three(60, 0.15, 0.05))  # it may end ahead of all in the third
    unstated = replace(rule, noise=UNSTATED)
    assert said(three(60, 0.15, 0.6), unstated)  # then the residuals alone say how sure the line is
