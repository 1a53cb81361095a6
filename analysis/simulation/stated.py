"""Learning curves that nobody trained, by stated figures: for planning, where nothing is recorded yet."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from search.objectives import Objectives
from search.statistics.noise import Noise, RungNoise
from search.strategy import Job, Report
from space.shared.plain import InputError
from space.shared.seeds import numbered_seed


@dataclass(frozen=True)
class StatedRung:
    """What candidates look like at one step.

    `fid` and `clip` are those of the median candidate; `fid_spread` is the standard deviation of log FID over
    candidates and `clip_spread` that of CLIP; `correlation` is with the candidate's quality at the end.
    """

    step: int
    fid: float
    clip: float
    fid_spread: float
    clip_spread: float
    correlation: float
    fid_noise: float
    clip_noise: float

    def __post_init__(self) -> None:
        if not 0 <= self.correlation <= 1:
            raise InputError(f"correlation: {self.correlation:g} at step {self.step}; allowed: 0 to 1")


@dataclass(frozen=True)
class StatedCurves:
    """Candidates whose quality is normally distributed, and shows the more the longer they train.

    A candidate's quality q follows from its architecture alone, so every strategy meets the same ones. At a
    rung its log FID is that of the median plus `fid_spread` times (c q + sqrt(1 - c^2) e), with the stated
    correlation c and e of its own; CLIP mirrors it. Noise comes on top, from the seed.
    """

    rungs: tuple[StatedRung, ...]
    fid_start: float
    clip_start: float

    def __post_init__(self) -> None:
        steps = [rung.step for rung in self.rungs]
        if not steps or steps != sorted(set(steps)):
            raise InputError(f"rungs: steps {steps} do not rise; allowed: one rung or more, rising")

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(rung.step for rung in self.rungs)

    @property
    def noise(self) -> Noise:
        return Noise(tuple(RungNoise(rung.step, rung.fid_noise, rung.clip_noise) for rung in self.rungs))

    def start_scores(self, objectives: Objectives) -> dict[str, float]:
        return {objectives[0].name: self.fid_start, objectives[1].name: self.clip_start}

    def quality(self, architecture_id: str) -> float:
        """Standard normal; lower is better, as for FID."""
        return random.Random(numbered_seed(0, f"quality {architecture_id}", 0)).gauss(0, 1)

    def run(
        self, job: Job, objectives: Objectives, seconds: float, evaluation_seconds: float
    ) -> Iterator[Report]:
        """A job's reports; `seconds` of training to the last rung, `evaluation_seconds` at each."""
        identity = job.architecture.id
        quality, before = self.quality(identity), 0
        own = random.Random(numbered_seed(0, f"curve {identity}", 0))
        noise = random.Random(numbered_seed(job.seed, f"noise {identity}", 0))
        for rung in self.rungs:
            hidden = own.gauss(0, 1), own.gauss(0, 1)
            if rung.step not in job.rungs:
                continue
            fid, clip = (rung.correlation * quality + math.sqrt(1 - rung.correlation**2) * e for e in hidden)
            seeds = noise.gauss(0, 1), noise.gauss(0, 1)
            scores = {
                objectives[0].name: rung.fid * math.exp(rung.fid_spread * fid + rung.fid_noise * seeds[0]),
                objectives[1].name: rung.clip - rung.clip_spread * clip + rung.clip_noise * seeds[1],
            }
            training = seconds * (rung.step - before) / self.rungs[-1].step
            before = rung.step
            yield Report(rung.step, scores, {"training": training, "evaluation": evaluation_seconds})
