"""How often a race of finalists is wrong, and what it spares: `python -m benchmarks.race [races=1000]`.

Simulated: scores are normal (of the FID the logarithm is) around each network's mean, with the noise of a
run; no training, about a minute. The stated noise is an estimate from as many repeats as it says it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import exp, log1p
from statistics import fmean

import numpy as np

from benchmarks.lab import given_counts, run_as_command
from search.confirmation.race import Move, Race, Standing
from search.named import named_architecture
from search.objectives import FID_AND_CLIP
from search.runs.record import Rung, State, Trial
from search.statistics.noise import Noise, RungNoise
from space.prices.macs import price

MARGIN = 0.05
STEPS, FID_NOISE, CLIP_NOISE, STATED_DEGREES_OF_FREEDOM = 400, 0.2, 0.05, 6
OBJECTIVES = FID_AND_CLIP
NETWORK = named_architecture("md")
COST = price(NETWORK)


class World:
    """Networks whose runs lie around their own means. `ahead` counts in deviations of a run, in both scores;
    of the noise a share is the seed's, the same for all networks."""

    def __init__(self, number: int, ahead: Mapping[str, float] | None = None, shared: float = 0.0) -> None:
        self.chance = np.random.default_rng([number, 1])
        self.ahead, self.shared = ahead or {}, shared
        self.of_seed = self.chance.normal(size=(64, 2))

    def run(self, name: str, seed: int) -> Trial:
        own = self.chance.normal(size=2) * (1 - self.shared**2) ** 0.5
        fid, clip = (own + self.shared * self.of_seed[seed]).tolist()
        ahead = self.ahead.get(name, 0.0)
        return run_of(name, seed, 30 * exp(FID_NOISE * (fid - ahead)), 0.4 + CLIP_NOISE * (clip + ahead))


def run_of(name: str, seed: int, fid: float, clip: float, state: State = "complete") -> Trial:
    """A confirmation run as a record would hold it."""
    trial = Trial(f"{name} {seed}", 0, "confirm", name, NETWORK, COST, seed, STEPS, "simulated", state=state)
    trial.rungs = [Rung(STEPS, {OBJECTIVES[0].name: fid, OBJECTIVES[1].name: clip}, {}, "end")]
    return trial


def stated(number: int) -> Noise:
    """The true noise, as measured with a few repeats."""
    freedom = STATED_DEGREES_OF_FREEDOM
    fid, clip = (np.random.default_rng([number, 2]).chisquare(freedom, 2) / freedom).tolist()
    return Noise(
        (RungNoise(STEPS, FID_NOISE * fid**0.5, CLIP_NOISE * clip**0.5),), degrees_of_freedom=freedom
    )


def race(finalists: int, references: int, seeds: int, noise: Noise) -> Race:
    names = [f"trial {number}" for number in range(finalists)]
    others = [f"reference {number}" for number in range(references)]
    return Race(tuple(names), tuple(others), tuple(range(seeds)), STEPS, OBJECTIVES, noise)


def ran(it: Race, world: World, workers: int = 1) -> list[Trial]:
    """The runs of a whole race in the order of their ends; of several workers the first begun ends first."""
    ended: list[Trial] = []
    under_way: list[Move] = []
    while True:
        running = [run_of(move.name, move.seed, 1.0, 0.0, "running") for move in under_way]
        move = it.at([*ended, *running]).next_move() if len(under_way) < workers else None
        if move is not None:
            under_way.append(move)
        elif under_way:
            first = under_way.pop(0)
            ended.append(world.run(first.name, first.seed))
        else:
            return ended


def ever_told_apart(it: Race, runs: list[Trial]) -> bool:
    """Whether the first two finalists were ever said to differ, looking after every run."""
    standings = (it.at(runs[:count]) for count in range(2, len(runs) + 1))
    verdicts = (standing.evidence.verdict("trial 0", "trial 1") for standing in standings)
    return any(verdict is not None and verdict.word in ("better", "worse", "mixed") for verdict in verdicts)


def ever_called_no_worse(it: Race, runs: list[Trial]) -> bool:
    """Whether the first finalist was ever said to be no worse than the second, looking after every run."""
    standings = (it.at(runs[:count]) for count in range(2, len(runs) + 1))
    verdicts = (standing.evidence.verdict("trial 0", "trial 1") for standing in standings)
    return any(verdict is not None and verdict.word in ("no worse", "equivalent") for verdict in verdicts)


def one_score(noise: Noise) -> Noise:
    """Margins by which a network that is worse by `MARGIN` in FID may have any CLIP score."""
    return replace(noise, no_worse_fid_relative=MARGIN, no_worse_clip=100.0)


def is_found(standing: Standing, name: str) -> bool:
    """Whether `name` is known to be better than everybody."""
    return standing.still_in == (name,) and not standing.open_pairs


def is_found_by_plan(world: World, it: Race, name: str) -> bool:
    """Whether a plan without a race, all seeds for all networks and one look at the end, finds that."""
    names = (*it.finalists, *it.references)
    standing = it.at([world.run(other, seed) for seed in it.seeds for other in names])
    evidence, count = standing.evidence, len(it.seeds)
    halves = [variance.half_width(count, it.noise.level / 2) for variance in evidence.pair_noise.variances]
    mine = list(evidence.runs[name].values())
    for other in names:
        theirs = list(evidence.runs[other].values())
        gains = zip(*(a.gains_over(b) for a, b in zip(mine, theirs, strict=True)), strict=True)
        bounded = list(zip(map(fmean, gains), halves, strict=True))
        beyond = any(gain > half for gain, half in bounded)
        if other != name and not (beyond and all(gain > -half for gain, half in bounded)):
            return False
    return True


def main(words: list[str]) -> int:
    races = given_counts(words, {"races": 1000})["races"]
    print(f"{races} races each; level {stated(0).level:.2%}")
    for shared in (0.0, 0.5):
        its = [race(2, 0, 8, stated(number)) for number in range(races)]
        worlds = [World(number, shared=shared) for number in range(races)]
        wrong = sum(ever_told_apart(it, ran(it, world)) for it, world in zip(its, worlds, strict=True))
        print(f"equal networks told apart, the seed's share of the noise {shared}: {wrong / races:.1%}")
    its = [race(2, 0, 8, one_score(stated(number))) for number in range(races)]
    worse = [World(number, {"trial 0": -log1p(MARGIN) / FID_NOISE}) for number in range(races)]
    wrong = sum(ever_called_no_worse(it, ran(it, world)) for it, world in zip(its, worse, strict=True))
    print(f"worse by the margin called no worse: {wrong / races:.1%}")
    few = races // 5
    for ahead in (2.0, 3.0, 4.0, 6.0):
        worlds = [World(number, {"trial 1": ahead}) for number in range(few)]
        its = [race(3, 2, 12, stated(number)) for number in range(few)]
        ended = [ran(it, world) for it, world in zip(its, worlds, strict=True)]
        hits = sum(is_found(it.at(runs), "trial 1") for it, runs in zip(its, ended, strict=True))
        print(
            f"{ahead:g} deviations ahead of 4: {fmean(map(len, ended)):.1f} runs, found {hits / few:.1%}",
            end="",
        )
        for seeds in (2, 3, 4, 6, 8):
            worlds = [World(number, {"trial 1": ahead}) for number in range(few)]
            plans = [race(3, 2, seeds, stated(number)) for number in range(few)]
            hits = sum(is_found_by_plan(w, plan, "trial 1") for w, plan in zip(worlds, plans, strict=True))
            print(f"; plan of {5 * seeds} runs {hits / few:.1%}", end="")
        print()
    return 0


if __name__ == "__main__":
    run_as_command(main, __doc__)
