"""How well does a rung rank networks as the end does, and as longer training does?"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from analysis.evidence.metrics import (
    SOUND,
    Metric,
    goodness,
    metrics_of,
    sound_networks,
    with_shared_seeds,
)
from analysis.evidence.resampling import bootstrap_interval, mean_spearman
from analysis.evidence.sources import RecordedEvidence
from analysis.evidence.text import Chapter, correlation_text, markdown, missing, with_interval
from analysis.replay.table import RecordedTable
from search.statistics.verdicts import Interval

_TITLE = "Rungs against the end"
FEWEST_TO_CORRELATE = 5


@dataclass(frozen=True)
class RungCorrelation:
    """Spearman's rank correlation of a metric at a rung with the same metric at the last rung.

    `same_run` reads both off one run, so its noise is in both; `other_seed` reads the end off a run with
    another seed, and at the last rung is the ceiling that noise leaves; `short` is how far it is below that
    ceiling, over the same resampled networks; `longer` reads the end off the longer training. None: not
    recorded.
    """

    metric: Metric
    step: int
    same_run: Interval | None
    other_seed: Interval | None
    short: Interval | None
    longer: Interval | None


@dataclass(frozen=True)
class Correlations:
    """Every metric at every rung; over how many networks each kind was taken, and whether the longer runs had
    another seed than the runs that are held against them. `sound` is the same of the sound networks alone."""

    rungs: tuple[RungCorrelation, ...]
    networks: int
    repeated: int
    longer: int
    longer_steps: int
    longer_other_seed: bool
    of_longer: tuple[RungCorrelation, ...]
    sound: Correlations | None = None

    def at(self, name: str, step: int) -> RungCorrelation:
        return next(each for each in self.rungs if (each.metric.name, each.step) == (name, step))


def correlations(table: RecordedTable, spread: Collection[str], long: RecordedTable | None) -> Correlations:
    """Over the space-filling networks of the table, and over those of them that are sound."""
    everything, sound = table.runs.keys() | (long.runs.keys() if long else set()), sound_networks(table)
    return replace(_among(everything, table, spread, long), sound=_among(sound, table, spread, long))


def _among(
    among: Collection[str], table: RecordedTable, spread: Collection[str], long: RecordedTable | None
) -> Correlations:
    spread = {key for key in spread if key in among}
    metrics = metrics_of(table)
    far = Far(table, long, among)
    found = [
        RungCorrelation(
            metric,
            step,
            _of_one_run(table, metric, step, spread) if step != table.rungs[-1] else None,
            *_of_two_runs(table, metric, step, spread),
            far.correlation(metric, step),
        )
        for metric in metrics
        for step in table.rungs
    ]
    end = goodness(table, metrics[0], table.rungs[-1], spread)
    own = [] if long is None else [(m, step) for m in metrics_of(long) for step in long.rungs[:-1]]
    return Correlations(
        tuple(found),
        len(end),
        len(with_shared_seeds(end)[0]),
        len(far.networks),
        long.rungs[-1] if long else 0,
        far.other_seed,
        tuple(
            RungCorrelation(metric, step, _of_one_run(long, metric, step, far.networks), None, None, None)
            for metric, step in own
            if long is not None
        ),
    )


class Far:
    """The longer runs and the table's runs of the same networks: with other seeds, if all have some."""

    def __init__(self, table: RecordedTable, long: RecordedTable | None, among: Collection[str]) -> None:
        self.table, self.long = table, long
        self.networks = [key for key in (long.runs if long else ()) if key in table.runs and key in among]
        seeds = {key: {run.seed for run in table.runs[key]} for key in self.networks}
        own = {key: {run.seed for run in long.runs[key]} for key in self.networks} if long else {}
        shared = (
            set.intersection(*(seeds[key] - own[key] for key in self.networks)) if self.networks else set()
        )
        self.other_seed = bool(shared)
        same = set.intersection(*seeds.values()) if seeds else set()
        self.seeds = sorted(shared) or sorted(same)[:1]

    def end(self, metric: Metric) -> list[float]:
        assert self.long is not None
        values = goodness(self.long, metric, self.long.rungs[-1], self.networks)
        return [values[key][min(values[key])] for key in self.networks]

    def columns(self, metric: Metric, step: int) -> np.ndarray:
        """Networks x seeds of the table."""
        values = goodness(self.table, metric, step, self.networks)
        return np.array([[values[key][seed] for seed in self.seeds] for key in self.networks])

    def correlation(self, metric: Metric, step: int) -> Interval | None:
        if len(self.networks) < FEWEST_TO_CORRELATE or not self.seeds:
            return None
        near = self.columns(metric, step)
        rows = np.column_stack([near, self.end(metric)])
        return bootstrap_interval(rows, mean_spearman([(at, near.shape[1]) for at in range(near.shape[1])]))


def _of_one_run(
    table: RecordedTable, metric: Metric, step: int, networks: Collection[str]
) -> Interval | None:
    early = goodness(table, metric, step, networks)
    late = goodness(table, metric, table.rungs[-1], networks)
    if len(late) < FEWEST_TO_CORRELATE:
        return None
    rows = [[early[key][min(by_seed)], by_seed[min(by_seed)]] for key, by_seed in late.items()]
    return bootstrap_interval(np.array(rows), mean_spearman([(0, 1)]))


def _of_two_runs(
    table: RecordedTable, metric: Metric, step: int, networks: Collection[str]
) -> tuple[Interval | None, Interval | None]:
    """The correlation with another seed's end, and how far it is below that of the end itself."""
    late = goodness(table, metric, table.rungs[-1], networks)
    keys, seeds = with_shared_seeds(late)
    if len(keys) < FEWEST_TO_CORRELATE:
        return None, None
    early = goodness(table, metric, step, keys)
    rows = np.array([[values[key][seed] for values in (early, late) for seed in seeds] for key in keys])
    count = len(seeds)
    pairs = list(permutations(range(count), 2))
    of_step = mean_spearman([(one, count + other) for one, other in pairs])
    ceiling = mean_spearman([(count + one, count + other) for one, other in pairs])
    short = bootstrap_interval(rows, lambda samples: ceiling(samples) - of_step(samples))
    return bootstrap_interval(rows, of_step), short if step != table.rungs[-1] else None


# ---------------------------------------------------------------------- in words


def correlation_chapter(evidence: RecordedEvidence, found: Correlations, plot: str) -> Chapter:
    if evidence.table is None or found.networks < FEWEST_TO_CORRELATE:
        return missing(_TITLE, f"{FEWEST_TO_CORRELATE} space-filling networks of full length (run `table`)")
    parts = [_intro(evidence.table, found), markdown([_row(each, found) for each in found.rungs])]
    if found.sound is not None and found.sound.networks >= FEWEST_TO_CORRELATE:
        parts += [_intro_sound(), markdown([_row(each, found.sound) for each in found.sound.rungs])]
    parts.append(plot)
    if found.of_longer:
        parts.append("The rungs of the longer training against its own end, read off one run each:")
        parts.append(markdown([_longer_row(place, found) for place in range(len(found.of_longer))]))
    else:
        parts.append("Not recorded yet: networks of the table trained longer (run `long`).")
    return Chapter(_TITLE, tuple(parts), tuple(_findings(evidence.table, found)))


def _longer_row(place: int, found: Correlations) -> dict[str, str]:
    each, title = found.of_longer[place], f"with step {found.longer_steps}"
    row = {
        "metric": each.metric.name,
        "step": str(each.step),
        f"{title} (n = {found.longer})": with_interval(each.same_run),
    }
    if found.sound is not None and found.sound.longer >= FEWEST_TO_CORRELATE:
        own = found.sound.of_longer[place]
        row[f"{title}, sound (n = {found.sound.longer})"] = with_interval(own.same_run)
    return row


def _row(each: RungCorrelation, found: Correlations) -> dict[str, str]:
    row = {
        "metric": each.metric.name,
        "step": str(each.step),
        f"same run (n = {found.networks})": with_interval(each.same_run),
    }
    if found.repeated >= FEWEST_TO_CORRELATE:
        row[f"another seed (n = {found.repeated})"] = with_interval(each.other_seed)
        row["below the ceiling by"] = with_interval(each.short)
    if found.longer >= FEWEST_TO_CORRELATE:
        row[f"at {found.longer_steps} steps (n = {found.longer})"] = with_interval(each.longer)
    return row


def _intro(table: RecordedTable, found: Correlations) -> str:
    text = (
        f"Spearman's rank correlation of a metric at a rung with the same metric at step {table.rungs[-1]}, "
        "over the space-filling networks, with the 95 % interval of a bootstrap over networks. *Same run* "
        "reads both off one run: what its seed did is in both, which flatters. *Another seed* reads the end "
        "off a run with another seed (the mean over all pairs of seeds); at the last rung that is the "
        "ceiling which noise leaves to any forecast from one run of one run."
    )
    if found.longer:
        whose = "with other seeds" if found.longer_other_seed else "with the same seed, which flatters"
        text += f" The longer training is held against runs of the table {whose}."
    return text


def _intro_sound() -> str:
    return (
        f"The same among networks that are {SOUND}: what a search has to tell apart in the end. The figures "
        "above are carried by the networks that fail, which is seen early and under every seed. An interval "
        "that holds zero leaves undecided whether the rung says anything."
    )


def _soonest(table: RecordedTable, found: Correlations, name: str) -> str:
    """From which rung on the order is not known to be worse than that of a full run."""
    rungs = [found.at(name, step) for step in table.rungs[:-1]]
    enough = [each for each in rungs if each.short is not None and each.short.low <= 0]
    if not enough or enough[0].short is None:
        return f"By {name} no earlier rung orders networks as well as a full run of one seed does."
    first = enough[0]
    return (
        f"By {name} the order at step {first.step} is the first that is not known to say less of another "
        f"seed's end than a full run does (below it by {with_interval(first.short)})."
    )


def _findings(table: RecordedTable, found: Correlations) -> list[str]:
    lines = []
    first, last = table.rungs[0], table.rungs[-1]
    for name in ("CLIP", "FID"):
        early, end = found.at(name, first), found.at(name, last)
        text = f"The order of networks by {name} at step {first} correlates with that at step {last} by "
        text += with_interval(early.same_run)
        if early.other_seed is not None:
            text += f" in the same run and by {with_interval(early.other_seed)} with another seed's, where "
            text += f"{with_interval(end.other_seed)} is what two runs of full length agree by"
        lines.append(f"{text}.{_sound_finding(table, found, name)}")
        if early.other_seed is not None:
            lines.append(_soonest(table, found, name))
        if end.longer is not None:
            text = f"{name} at step {last} correlates with {name} at step {found.longer_steps} by "
            text += correlation_text(end.longer, found.longer)
            if found.sound is not None and found.sound.longer >= FEWEST_TO_CORRELATE:
                own = found.sound.at(name, last).longer
                text += f", among the sound by {correlation_text(own, found.sound.longer)}"
            lines.append(f"{text}.")
    return lines


def _sound_finding(table: RecordedTable, found: Correlations, name: str) -> str:
    """What the same figures are among the sound networks; empty where too few are."""
    sound = found.sound
    if sound is None or sound.networks < FEWEST_TO_CORRELATE:
        return ""
    early, end = sound.at(name, table.rungs[0]), sound.at(name, table.rungs[-1])
    text = f" Among networks that are {SOUND} it is {correlation_text(early.same_run, sound.networks)} in the"
    text += " same run"
    if sound.repeated >= FEWEST_TO_CORRELATE:
        ceiling = correlation_text(end.other_seed, sound.repeated)
        text += f" and {correlation_text(early.other_seed, sound.repeated)} with another seed's, where two "
        text += f"runs of full length agree by {ceiling}"
    return f"{text}."
