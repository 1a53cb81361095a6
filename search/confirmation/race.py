"""Which confirmation run next: a race, in which seeds go where they decide something.

A finalist that is worse than another one is out. A comparison is open while nobody knows who is better and
both of its networks are in; a reference point always is. So "no worse" closes none: the race asks who is
better, and a network that is no worse may still be found to be. Every network gets the first seed. After that
a run goes to the open comparison that should be decided with the fewest further runs, if the difference stays
what it is, and to whichever of its two networks has fewer seeds; comparisons that no allowed number of seeds
should decide come last, fewest seeds first. What is under way counts as planned, and decides nothing yet.
Where nobody has measured what is noise, seeds go on until their repeats say it, also where nothing is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import inf

from search.formats import counted, label
from search.objectives import Objectives
from search.runs.record import Trial
from search.statistics.noise import FEWEST_REPEATS, Noise
from search.statistics.verdicts import OPEN, Evidence, Word, confirmation_runs

FAILURES_ALLOWED = 1  # a network that failed more often, and more often than it ended, gets no more seeds
Pair = tuple[str, str]


@dataclass(frozen=True)
class Move:
    """A run to start: of which network, with which seed, and why."""

    name: str
    seed: int
    why: str


@dataclass(frozen=True)
class Race:
    """Who races, over which seeds at most, and what decides."""

    finalists: tuple[str, ...]
    references: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: int
    objectives: Objectives
    noise: Noise

    def at(self, confirmations: Sequence[Trial]) -> Standing:
        """How the race stands: a function of the recorded runs alone, those under way among them."""
        names = {*self.finalists, *self.references}
        runs = [
            trial
            for trial in confirmations
            if trial.name in names and trial.steps == self.steps and trial.seed in self.seeds
        ]
        return Standing(self, tuple(runs))


@dataclass(frozen=True)
class Standing:
    """How a race stands after `runs`."""

    race: Race
    runs: tuple[Trial, ...]

    @cached_property
    def evidence(self) -> Evidence:
        complete = confirmation_runs(self.runs, self.race.objectives)
        return Evidence(complete.get(self.race.steps, {}), self.race.steps, self.race.noise)

    @cached_property
    def started(self) -> dict[str, set[int]]:
        """Network -> the seeds of its runs, whatever became of them."""
        names = (*self.race.finalists, *self.race.references)
        return {name: {run.seed for run in self.runs if run.name == name} for name in names}

    @cached_property
    def still_in(self) -> tuple[str, ...]:
        """Finalists that no other is known to be better than."""
        beaten = set()
        for name, other in combinations(self.race.finalists, 2):
            word = self._word((name, other))
            beaten |= {name} if word == "worse" else {other} if word == "better" else set()
        return tuple(name for name in self.race.finalists if name not in beaten)

    @property
    def open_pairs(self) -> list[Pair]:
        """Comparisons that matter and are not decided."""
        pairs = [(name, reference) for name in self.still_in for reference in self.race.references]
        pairs += combinations(self.still_in, 2)
        return [pair for pair in pairs if self._word(pair) in OPEN]

    def next_move(self) -> Move | None:
        """The most useful run; None where nothing is open or unknown, or all its seeds have been started."""
        for name, seeds in self.started.items():
            if not seeds and self.race.seeds:
                return Move(name, self.race.seeds[0], "every network gets the first seed")
        possible = {pair: run for pair in self.open_pairs if (run := self._next_run(pair)) is not None}
        if not possible:
            return self._measuring_move()
        pair = min(possible, key=lambda pair: (self._runs_to_decide(pair), self._seeds_started(pair)))
        return Move(*possible[pair], self._why(pair))

    def _measuring_move(self) -> Move | None:
        """A repeat of the network with the fewest, while too few say what is noise here."""
        repeats = sum(max(0, len(seeds) - 1) for seeds in self.started.values())
        if self.race.noise.known(self.race.objectives) or repeats >= FEWEST_REPEATS:
            return None
        runs = {name: run for name in self.started if (run := self._next_run((name, name))) is not None}
        if not runs:
            return None
        fewest = min(runs, key=lambda name: len(self.started[name]))
        return Move(*runs[fewest], f"what is noise is not known after {counted(repeats, 'repeat')}")

    def _word(self, pair: Pair) -> Word:
        verdict = self.evidence.verdict(*pair)
        return verdict.word if verdict else "undecided"

    def _next_run(self, pair: Pair) -> tuple[str, int] | None:
        """The network of the pair that has fewer seeds, with its next one; None where it may have no more."""
        if any(self._withdrawn(name) for name in pair):
            return None
        behind = min(pair, key=lambda name: len(self.started[name]))
        seed = next((seed for seed in self.race.seeds if seed not in self.started[behind]), None)
        return None if seed is None else (behind, seed)

    def _withdrawn(self, name: str) -> bool:
        states = [run.state for run in self.runs if run.name == name]
        failures = states.count("failed")
        return failures > FAILURES_ALLOWED and failures > states.count("complete")

    def _runs_to_decide(self, pair: Pair) -> float:
        """Further runs after which the pair should be decided; infinite where no number is known, or those
        that should do it are under way."""
        seeds = self.evidence.seeds_to_decide(*pair, len(self.race.seeds))
        missing = sum(max(0, (seeds or 0) - len(self.started[name])) for name in pair)
        return missing or inf

    def _seeds_started(self, pair: Pair) -> int:
        return sum(len(self.started[name]) for name in pair)

    def _why(self, pair: Pair) -> str:
        verdict, runs = self.evidence.verdict(*pair), self._runs_to_decide(pair)
        seeds = counted(verdict.seeds if verdict else 0, "shared seed")
        hope = f"; {counted(int(runs), 'further run')} should decide it" if runs < inf else ""
        return f"{label(pair[0])} against {label(pair[1])} is undecided after {seeds}{hope}"
