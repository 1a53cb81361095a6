"""Who leads a search, and who cannot be told from the leader: a set, where noise leaves no single rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search.confirmation.repeats import known_noise
from search.runs.files import job_folder
from search.runs.header import noise_of, objectives_of, references_of
from search.runs.record import History, Trial, read_history
from search.runs.scores import best_first, within_noise
from search.statistics.noise import FEWEST_REPEATS
from search.statistics.pareto import Point, best_order, mean_point
from search.statistics.verdicts import Runs, confirmation_runs, verdicts
from space.shared.plain import InputError

TIED_NAMED = 5


@dataclass(frozen=True)
class Lead:
    """`winner` is the best guess, `tied` are the others that no trial is known to be better than, best guess
    first; `beaten` those that the search left tied and the confirmation did not. `known`: whether anything
    says what noise is here; where nothing does, all are tied. `among` complete trials."""

    winner: Trial
    tied: tuple[Trial, ...]
    beaten: tuple[Trial, ...]
    known: bool
    among: int

    def sentence(self) -> str:
        """Of the others, in words: `Within the noise of trial 3: trial 7 and 2 more.`"""
        if self.among == 1:
            return f"No trial but {self.winner.name} was trained to its full length."
        if not self.known:
            return (
                f"{self.winner.name.capitalize()} is a guess: what is noise here is not known, or from "
                "too few repeats, so no trial counts as better than another by one run."
            )
        if not self.tied:
            return f"No trial is within the noise of {self.winner.name}."
        named = [trial.name for trial in self.tied[:TIED_NAMED]]
        more = f" and {len(self.tied) - len(named)} more" if len(self.tied) > len(named) else ""
        return f"Within the noise of {self.winner.name}: {', '.join(named)}{more}."


def lead(history: History) -> Lead | None:
    """Trials within the noise of the best, as the record's repeated seeds refine it, less those that the
    confirmation found worse than another one; None before any trial is complete.

    Those with new seeds stand among themselves in the order of their new runs, since the search's own are
    what they were chosen for, which flatters them; the others keep the places of their one run.
    """
    stated, objectives = noise_of(history), objectives_of(history)
    if stated is None:
        return None
    noise = known_noise(history, stated)
    within = within_noise(history.trials, objectives, noise)
    if not within:
        return None
    losers = _losers(history, {trial.name for trial in within})
    kept = [trial for trial in within if trial.name not in losers] or within  # if each lost to another
    winner, *tied = _by_new_runs(kept, history)
    beaten = tuple(trial for trial in within if trial.name in losers)
    among = len(best_first(history.trials, objectives))
    known = noise.known(objectives) and noise.degrees_of_freedom >= FEWEST_REPEATS
    return Lead(winner, tuple(tied), beaten, known, among)


def trial_folder(run: Path, number: int | None = None) -> Path:
    """Of a trial; without a number of the winner, as best.yaml has it. Raises InputError if there is none."""
    history = read_history(run)
    if number is None:
        leading = lead(history)
        if leading is None:
            raise InputError(f"trial: {run} has no complete trial; name one, or a model=")
        number = leading.winner.number
    if number not in [trial.number for trial in history.trials]:
        raise InputError(f"trial: {run} has no trial {number}; allowed: 0 to {len(history.trials) - 1}")
    return job_folder(run, str(number))


def _losers(history: History, names: set[str]) -> set[str]:
    """Of these networks, those that another of them is better than in its confirmation runs."""
    noise, objectives = noise_of(history), objectives_of(history)
    assert noise is not None
    found = verdicts(history, objectives, noise, references_of(history))
    between = [verdict for verdict in found if {verdict.name, verdict.against} <= names]
    return {v.name for v in between if v.word == "worse"} | {v.against for v in between if v.word == "better"}


def _by_new_runs(trials: list[Trial], history: History) -> list[Trial]:
    """The same trials; those that were trained again change places among themselves."""
    of_length = confirmation_runs(history.confirmations, objectives_of(history))
    runs = next((runs for runs in of_length.values() if any(trial.name in runs for trial in trials)), {})
    raced = [place for place, trial in enumerate(trials) if trial.name in runs]
    means = _means(runs, [trials[place].name for place in raced])
    ordered = list(trials)
    for place, index in zip(raced, best_order(means), strict=True):
        ordered[place] = trials[raced[index]]
    return ordered


def _means(runs: Runs, names: Sequence[str]) -> list[Point]:
    """Mean scores, over the seeds that all have, if any."""
    shared = set.intersection(*(set(runs[name]) for name in names)) if names else set()
    points = [[point for seed, point in runs[name].items() if not shared or seed in shared] for name in names]
    return [mean_point(own) for own in points]
