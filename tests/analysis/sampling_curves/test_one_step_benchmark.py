"""The tables of `benchmarks/one_step.py`, by hand."""

from __future__ import annotations

import pytest

from analysis.sampling_curves.points import CurvePoint
from benchmarks.one_step import evaluations, over_seeds, worth
from evaluators.protocols.score import Score


def point(steps: int, fid: float, model: str = "base", guidance: float = 2.0) -> CurvePoint:
    return CurvePoint(model, guidance, steps, {"fid": Score("fid", fid, None, None, 200, ())})  # type: ignore[arg-type]


BASE = [point(1, 900.0), point(2, 500.0), point(8, 100.0), point(4, 300.0)]


@pytest.mark.parametrize(
    ("fid", "steps"),
    [
        (1000.0, "fewer than 1"),
        (900.0, "1.0"),
        (700.0, "1.4"),  # half way from 1 to 2 in log steps
        (300.0, "4.0"),
        (200.0, "5.7"),
        (99.0, "more than 8"),
    ],
)
def test_what_a_score_is_worth_in_steps_of_the_base(fid: float, steps: str) -> None:
    assert worth(BASE, "fid", fid, -1) == steps


def test_guidance_takes_two_evaluations_unless_the_network_is_told_it() -> None:
    each = [point(8, 1.0), point(8, 1.0, guidance=1.0), point(4, 1.0, "lcm-seed0")]
    assert [evaluations(one) for one in each] == [16, 8, 4]


def test_a_mean_over_seeds_has_student_s_interval() -> None:
    assert over_seeds([5.0], 1) == "5.0"
    assert over_seeds([1.0, 2.0, 3.0], 2) == "2.00 (-0.48 to 4.48)"  # 4.303 / sqrt 3
