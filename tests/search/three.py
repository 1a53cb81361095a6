"""The toy world with a third objective, a loss on the log scale, that tells against the two others."""

from __future__ import annotations

from search.objectives import FID_AND_CLIP, Objective
from search.statistics.noise import Noise, RungNoise
from search.statistics.pareto import Point
from search.toy import RUNGS, START, quality, scores_at
from space.architecture import Architecture

THREE = (*FID_AND_CLIP, Objective("validation_loss", "minimize", "log"))
START_OF_THREE = Point((*START.values, 1.0), THREE)
OTHERS = {"validation_loss": 0.03}
NOISE_OF_THREE = Noise(
    tuple(RungNoise(step, 0.05, 0.02, OTHERS) for step in (100, 200, 400)),
    measured_under=(),
    equivalent_others={"validation_loss": 0.02},
)


def three(fid: float, clip: float, loss: float) -> Point:
    return Point((fid, clip, loss), THREE)


def scores_of_three(architecture: Architecture, step: int) -> Point:
    """The better a network is in the others, the less its loss falls."""
    loss = 1.0 - 0.8 * (1.0 - quality(architecture)) * (step / RUNGS[-1]) ** 0.5
    return Point((*scores_at(architecture, step).values, loss), THREE)
