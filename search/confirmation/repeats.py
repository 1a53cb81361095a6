"""The noise of a protocol, estimated: from networks trained with several seeds, and from resampled images.

Repeats are full-length runs of one network under different seeds, of one record or of several of the same
protocol: confirmation runs, and trials that other runs tried too. A trial that was chosen for confirmation
is left out: its own scores are what it was chosen for, and lie away from its mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from statistics import median

from search.objectives import FID, Objective, Objectives
from search.runs.compatibility import NO_DECAY, protocol_difference
from search.runs.header import objectives_of
from search.runs.record import History, Rung, Trial
from search.runs.scores import point_of
from search.statistics.noise import Noise, RungNoise
from search.statistics.pareto import Point, best_order, mean_point
from search.statistics.variance import UNKNOWN, Variance, variance_within, within_paired
from space.shared.plain import InputError


@dataclass(frozen=True)
class ScoreNoise:
    """The noise of one objective at one rung, as standard deviations of a run on its even scale: of CLIP, or
    of the logarithm of FID, which is a share of the FID.

    `seeds` is pooled over networks, `paired` with what a seed does to all of them alike taken out (None: no
    repeats). `resampled` is the part that more images would cure, at most (None: not recorded). `together`
    is the stated noise refined by `seeds`; it and `stated` have no degrees of freedom where nothing is known.
    """

    step: int
    objective: Objective
    stated: Variance
    seeds: Variance | None
    paired: Variance | None
    networks: int
    resampled: float | None

    @property
    def score(self) -> str:
        return self.objective.label

    @property
    def together(self) -> Variance:
        return self.seeds.with_prior(self.stated) if self.seeds else self.stated


def estimated(histories: Sequence[History], noise: Noise, best: float = 1.0) -> list[ScoreNoise]:
    """At each rung of the records, of each objective that has noise.

    Args:
        best: the share of the repeated networks that count, by where their seeds end on average. A network
            that still learns what the best have learned differs more from seed to seed than they do.

    Runs of other lengths count too where their learning rate does not decay: then a shorter run is the
    beginning of a longer one.

    Raises:
        InputError: records of different protocols.
    """
    first, *others = histories
    for other in others:
        if differences := _differences(first, other):
            names = [str(history.header.get("name", "a run")) for history in (first, other)]
            raise InputError(f"{' and '.join(names)} do not share a protocol: {'; '.join(differences)}")
    objectives, runs = objectives_of(first), list(_full_length(histories))
    if best < 1:
        among = _best_of(_repeated_means(runs, objectives), best)
        runs = [trial for trial in runs if trial.architecture.id in among]
    steps = sorted({step for history in histories for step in history.header.get("rungs", [])})
    return [found for step in steps for found in _at(step, runs, objectives, noise)]


def _differences(first: History, other: History) -> list[str]:
    decays = first.header.get("training", {}).get("decay", NO_DECAY) != NO_DECAY
    return [each for each in protocol_difference(first, other) if decays or not each.startswith("rungs: ")]


def fid_range(histories: Sequence[History], best: float = 1.0) -> tuple[float, float] | None:
    """The lowest and the highest mean FID, at the end, of the repeated networks that count (`estimated`);
    None where there is no FID, or nothing repeated."""
    objectives = objectives_of(histories[0])
    if objectives[0].label != FID:
        return None
    means = _repeated_means(list(_full_length(histories)), objectives)
    fids = sorted(means[key].values[0] for key in _best_of(means, best))
    return (fids[0], fids[-1]) if fids else None


def refined(noise: Noise, found: Sequence[ScoreNoise]) -> Noise:
    """The stated noise with what the repeats say, for the rungs that were estimated. It weighs as much as
    the rung that is known least."""
    if not found:
        return noise
    together: dict[int, dict[Objective, float | None]] = {}
    for each in found:
        known = each.together
        deviation = known.deviation if known.degrees_of_freedom else None
        together.setdefault(each.step, {})[each.objective] = deviation
    rungs = tuple(RungNoise.of(step, deviations) for step, deviations in together.items())
    counts = [n for each in found if (n := each.together.degrees_of_freedom)]
    return replace(noise, rungs=rungs, degrees_of_freedom=min(counts, default=noise.degrees_of_freedom))


def from_repeats(noise: Noise, found: Sequence[ScoreNoise]) -> Noise:
    """What the repeats say alone.

    Raises:
        InputError: no network was trained with two seeds.
    """
    if not found or any(each.seeds is None for each in found):
        raise InputError("stated: false, but no network was trained with two seeds; allowed: true")
    return refined(noise, [replace(each, stated=UNKNOWN) for each in found])


def known_noise(history: History, stated: Noise) -> Noise:
    """The stated noise, refined by the repeated seeds of the record itself."""
    return refined(stated, estimated([history], stated))


def noise_row(found: ScoreNoise) -> dict[str, str]:
    """In words under column titles, for a table."""
    words = _as_share if found.objective.scale == "log" else _as_is
    interval = [words(end) for end in found.seeds.deviation_interval()] if found.seeds else []
    return {
        "step": str(found.step),
        "score": found.score,
        "stated": words(found.stated.deviation) if found.stated.degrees_of_freedom else "-",
        "seeds": words(found.seeds.deviation) if found.seeds else "-",
        "between": " and ".join(interval) or "-",
        "repeats": f"{found.seeds.degrees_of_freedom:g}" if found.seeds else "0",
        "paired": words(found.paired.deviation) if found.paired else "-",
        "images": "-" if found.resampled is None else words(found.resampled),
        "together": words(found.together.deviation) if found.together.degrees_of_freedom else "-",
    }


def _as_share(deviation: float) -> str:
    return f"{deviation:.1%}"


def _as_is(deviation: float) -> str:
    return f"{deviation:.3f}"


def _full_length(histories: Sequence[History]) -> Iterator[Trial]:
    """Runs that were to reach the last rung: others were trained on another schedule."""
    for history in histories:
        confirmed = {trial.name for trial in history.confirmations}
        chosen = [trial for trial in history.trials if trial.name not in confirmed]
        length = max(history.header.get("rungs", [0]))
        yield from (trial for trial in [*chosen, *history.confirmations] if trial.steps == length)


def _repeated_means(runs: Sequence[Trial], objectives: Objectives) -> dict[str, Point]:
    """Where the seeds of each repeated network end on average."""
    ends: dict[str, dict[int, Point]] = {}
    longest = max((trial.steps for trial in runs), default=0)
    for trial in runs:
        if (trial.state, trial.steps) == ("complete", longest) and (
            point := point_of(trial, objectives)
        ) is not None:
            ends.setdefault(trial.architecture.id, {}).setdefault(trial.seed, point)
    return {key: mean_point(list(by_seed.values())) for key, by_seed in ends.items() if len(by_seed) > 1}


def _best_of(means: Mapping[str, Point], share: float) -> set[str]:
    order = best_order(list(means.values()))
    return {list(means)[place] for place in order[: ceil(share * len(means))]}


def _at(step: int, runs: Sequence[Trial], objectives: Objectives, noise: Noise) -> Iterator[ScoreNoise]:
    points: dict[str, dict[int, Point]] = {}
    for trial in runs:
        point = point_of(trial, objectives, step)
        if point is not None:  # an equal network with an equal seed is the same run once more
            points.setdefault(trial.architecture.id, {}).setdefault(trial.seed, point)
    repeated = {network: by_seed for network, by_seed in points.items() if len(by_seed) > 1}
    rungs = [rung for trial in runs for rung in trial.rungs if rung.step == step]

    for place, objective in enumerate(objectives):
        if objective.exact:
            continue
        values = {
            name: {seed: point.even[place] for seed, point in by_seed.items()}
            for name, by_seed in repeated.items()
        }
        stated, resampled = noise.at(step).deviation(objective), _resampled(rungs, objective)
        yield ScoreNoise(
            step,
            objective,
            UNKNOWN if stated is None else Variance(stated**2, noise.degrees_of_freedom),
            _known(variance_within([list(by_seed.values()) for by_seed in values.values()])),
            _known(within_paired(values)),
            len(values),
            median(resampled) if resampled else None,
        )


def _resampled(rungs: Sequence[Rung], objective: Objective) -> list[float]:
    """What resampling the images does to a score; a share of it on the log scale."""
    found = [
        (rung.deviations[objective.name], rung.scores[objective.name])
        for rung in rungs
        if objective.name in rung.deviations
    ]
    if objective.scale == "log":
        return [deviation / score for deviation, score in found if score > 0]
    return [deviation for deviation, _ in found]


def _known(variance: Variance) -> Variance | None:
    return variance if variance.degrees_of_freedom else None
