"""Noise by level of quality, and where else than in the table repeated seeds show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from analysis.evidence.metrics import Metric, goodness, metrics_of, repeated
from analysis.evidence.text import markdown
from analysis.replay.table import RecordedTable
from search.statistics.variance import Variance, variance_within

LEVELS = ("best third", "middle third", "worst third")
FEWEST_IN_A_LEVEL = 3  # of a level, or of runs elsewhere


@dataclass(frozen=True)
class QualityLevel:
    """Repeated networks by the mean FID of their seeds at the end: from which to which, and one run's noise
    of each score at each step."""

    name: str
    networks: int
    from_fid: float
    to_fid: float
    noise: Mapping[tuple[Metric, int], Variance]


def noise_levels(table: RecordedTable) -> list[QualityLevel]:
    """Thirds of the networks with two seeds or more; empty where a third would be too small."""
    fid = metrics_of(table)[0]
    ends = {
        key: fmean(by_seed.values())
        for key, by_seed in repeated(goodness(table, fid, table.rungs[-1])).items()
    }
    order = sorted(ends, key=lambda key: -ends[key])
    if len(order) < FEWEST_IN_A_LEVEL * len(LEVELS):
        return []
    thirds = [order[place * len(order) // 3 : (place + 1) * len(order) // 3] for place in range(3)]
    return [_level(name, table, keys) for name, keys in zip(LEVELS, thirds, strict=True)]


def all_repeated(table: RecordedTable) -> QualityLevel | None:
    """All networks with two seeds or more as one level; None where they are too few."""
    keys = list(repeated(goodness(table, metrics_of(table)[0], table.rungs[-1])))
    return _level("all", table, keys) if len(keys) >= FEWEST_IN_A_LEVEL else None


def _level(name: str, table: RecordedTable, keys: Sequence[str]) -> QualityLevel:
    metrics = metrics_of(table)[:2]
    ends = goodness(table, metrics[0], table.rungs[-1], keys)
    fids = sorted(metrics[0].raw(fmean(by_seed.values())) for by_seed in ends.values())
    noise = {}
    for metric in metrics:
        for step in table.rungs:
            values = goodness(table, metric, step, keys)
            noise[metric, step] = variance_within([list(by_seed.values()) for by_seed in values.values()])
    return QualityLevel(name, len(keys), fids[0], fids[-1], noise)


# ---------------------------------------------------------------------- in words


def deviation_text(metric: Metric, variance: Variance) -> str:
    low, high = (metric.deviation(end) for end in variance.deviation_interval())
    return f"{metric.deviation(variance.deviation)} ({low} to {high})"


def levels_parts(levels: Sequence[QualityLevel]) -> list[str]:
    """What the page says of them; nothing where there are none."""
    if not levels:
        return []
    rows = [
        {"metric": metric.name, "step": str(step)}
        | {_title(each): deviation_text(metric, each.noise[metric, step]) for each in levels}
        for metric, step in levels[0].noise
    ]
    return [
        "### By level of quality\n\nThe same networks in thirds, by the mean FID of their seeds at the end. "
        "What was measured on good networks is not the noise of others: a preset says up to which FID it "
        "was measured.",
        markdown(rows),
    ]


def _title(level: QualityLevel) -> str:
    return f"{level.name}, FID {level.from_fid:,.0f} to {level.to_fid:,.0f} (n = {level.networks})"


def levels_finding(levels: Sequence[QualityLevel], step: int) -> list[str]:
    if not levels:
        return []
    fid, clip = dict.fromkeys(metric for metric, _ in levels[0].noise)
    sizes = "; ".join(
        f"{_title(each)} {deviation_text(fid, each.noise[fid, step])} and "
        f"{deviation_text(clip, each.noise[clip, step])}"
        for each in levels
    )
    return [f"Noise belongs to a level of quality, too, in FID and CLIP: {sizes}."]


def elsewhere_parts(tables: Mapping[str, RecordedTable | None]) -> list[str]:
    """Of runs that are no part of the table, by what they are: the longer training, a bigger proxy."""
    rows = []
    for name, table in tables.items():
        level = None if table is None else all_repeated(table)
        if level is None:
            continue
        for step in dict.fromkeys(step for _, step in level.noise):
            row = {"runs": name, "networks": str(level.networks), "step": f"{step:,}"}
            for (metric, at), variance in level.noise.items():
                if at == step:
                    row[metric.name] = deviation_text(metric, variance)
            rows.append(row)
    if not rows:
        return ["Not recorded yet: repeated seeds of longer training, or of a bigger proxy."]
    return ["### Elsewhere\n\nOne run's noise where other runs repeat networks, all of them.", markdown(rows)]
