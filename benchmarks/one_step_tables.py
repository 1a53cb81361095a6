"""What came out of `benchmarks.one_step`: rows of its tables, of what is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import inf, log, sqrt

import numpy as np
from scipy import stats

from benchmarks.one_step_records import BASE, Adapted, Records, Sampled, Seen, without_seed

DRAWS, NORMAL_95, FAR = 2000, 1.96, 100.0
NEEDED = "the base needs for that FID"


def base_rows(records: Records) -> list[dict[str, str]]:
    """Steps, evaluations of the network, and both scores with their intervals over images."""
    return [
        {
            "DDIM steps": str(each.steps),
            "guidance": f"{each.guidance:g}",
            "evaluations": str(each.evaluations),
            "FID": _over_images(each.fid, 1),
            "CLIP": _over_images(each.clip, 3),
        }
        for each in records.base
    ]


def cell_rows(records: Records) -> Iterator[dict[str, str]]:
    """Each way to distil with each number of steps and guidance: what its discriminator tells apart at the
    end, means over seeds with Student's intervals, and the evaluations by which the base has that FID; then
    what failed."""
    base = [(each.evaluations, each.fid) for each in records.base]
    told = [each for each in records.sampled if each.captions and each.model != BASE]
    for way, steps, guidance in sorted({(each.way, each.steps, each.guidance) for each in told}):
        own = [each for each in told if (each.way, each.steps, each.guidance) == (way, steps, guidance)]
        fids = [each.fid for each in own]
        yield {
            "distilled": way,
            "steps": str(steps),
            "guidance": f"{guidance:g}",
            "evaluations": str(own[0].evaluations),
            "seeds": str(sum(fid.seeds for fid in fids)),
            "told apart": _told_apart(own),
            "FID": over_seeds(fids, 1, logarithmic=True),
            NEEDED: base_needs(base, fids),
            "CLIP": over_seeds([each.clip for each in own if each.clip], 3),
        }
    for name, said in records.failed:
        yield {"distilled": name, "steps": f"failed: {said}"}


def _told_apart(own: Sequence[Sampled]) -> str:
    shares = [(each.told_apart, each.fid.seeds) for each in own if each.told_apart is not None]
    seeds = sum(count for _, count in shares)
    return f"{sum(share * count for share, count in shares) / seeds:.0%}" if seeds else "-"


def untold_rows(records: Records) -> Iterator[dict[str, str]]:
    """Without captions: of the base by steps, with intervals over images; then of each way to distil, over
    seeds."""
    untold = [each for each in records.sampled if not each.captions]
    base = [(each.steps, each.fid) for each in untold if each.model == BASE]
    ways = {(each.way, each.steps) for each in untold}
    for way, steps in sorted(ways, key=lambda each: (each[0] != BASE, *each)):
        fids = [each.fid for each in untold if (each.way, each.steps) == (way, steps)]
        row = {"model": way, "steps": str(steps), "seeds": str(sum(fid.seeds for fid in fids))}
        if way == BASE:
            yield row | {"FID": _over_images(fids[0], 0), NEEDED: "-"}
        else:
            yield row | {"FID": over_seeds(fids, 0, logarithmic=True), NEEDED: base_needs(base, fids)}


def adapter_rows(records: Records) -> Iterator[dict[str, str]]:
    """Of each measure and adapter: with it, and alone, by each model, over seeds."""
    found: dict[tuple[str, str], dict[str, list[Adapted]]] = {}
    for each in records.adapted:
        by_model = found.setdefault((each.measure, without_seed(each.adapter)), {})
        by_model.setdefault(without_seed(each.model), []).append(each)
    models = sorted(
        {model for each in found.values() for model in each}, key=lambda name: (name != BASE, name)
    )
    for (measure, adapter), by_model in sorted(found.items()):
        unit, digits = (" (dB)", 1) if "PSNR" in measure else ("", 2)
        row = {"measure": measure + unit, "adapter": adapter}
        row["seeds"] = str(min(map(len, by_model.values())))
        for model in models:
            rows = by_model.get(model, [])
            alone = over_seeds([each.alone for each in rows], digits)
            row[model] = f"{over_seeds([each.value for each in rows], digits)}; alone {alone}"
        yield row


def over_seeds(values: Sequence[Seen | float], digits: int, *, logarithmic: bool = False) -> str:
    """The mean and Student's interval of it; of the logarithm where seeds multiply a score, as an FID."""
    if not values:
        return "-"
    seen = [each if isinstance(each, Seen) else Seen(each) for each in values]
    seeds, mean, deviation = pooled(seen, logarithmic=logarithmic)
    half = _student(seeds) * deviation / sqrt(seeds) if seeds > 1 else 0.0
    ends = np.array([mean, mean - half, mean + half])
    middle, low, high = np.exp(ends) if logarithmic else ends
    return f"{middle:.{digits}f}" + (f" ({low:.{digits}f} to {high:.{digits}f})" if seeds > 1 else "")


def pooled(seen: Sequence[Seen], *, logarithmic: bool) -> tuple[int, float, float]:
    """How many seeds, their mean and standard deviation (0 of one), of values and of means of several."""

    def scaled(value: float) -> float:
        return log(value) if logarithmic else value

    parts = [(each.seeds, scaled(each.value)) for each in seen]
    seeds = sum(count for count, _ in parts)
    mean = sum(count * value for count, value in parts) / seeds
    squares = sum(count * (value - mean) ** 2 for count, value in parts)
    for each in seen:
        if each.seeds > 1 and each.low is not None and each.high is not None:
            half = (scaled(each.high) - scaled(each.low)) / 2
            squares += (each.seeds - 1) * each.seeds * (half / _student(each.seeds)) ** 2
    return seeds, mean, sqrt(squares / (seeds - 1)) if seeds > 1 else 0.0


def _student(seeds: int) -> float:
    return float(stats.t.ppf(0.975, seeds - 1))


def rising(found: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """(evaluations, goodness) of those that are better than all of so many or fewer."""
    best: list[tuple[int, float]] = []
    for count, value in sorted(found, key=lambda each: (each[0], -each[1])):
        if not best or value > best[-1][1]:
            best.append((count, value))
    return best


def worth(best: Sequence[tuple[int, float]], value: float) -> float:
    """The evaluations by which the base reaches a goodness: 0 where its first does better already, inf where
    it never does; in between a line through log evaluations and goodness."""
    if value < best[0][1]:
        return 0.0
    for (fewer, low), (more, high) in pairwise(best):
        if low <= value <= high:
            return float(fewer * (more / fewer) ** ((value - low) / (high - low)))
    return inf if value > best[-1][1] else float(best[-1][0])


def base_needs(base: Sequence[tuple[int, Seen]], fids: Sequence[Seen]) -> str:
    """The base's evaluations for the mean FID of these seeds, and where they lie in 95 of 100 draws of all
    that is uncertain: of the base over its images, and over seeds, or of one seed over its images (where
    that is not recorded, as of the base with the nearest FID)."""
    counts = [count for count, _ in base]
    values, spread = np.array([fid.value for _, fid in base]), np.array([_deviation(fid) for _, fid in base])
    seeds, mean, deviation = pooled(fids, logarithmic=True)

    def needed(own: np.ndarray, fid: float) -> float:
        return worth(rising(zip(counts, -own, strict=True)), -fid)

    middle = needed(values, float(np.exp(mean)))
    random = np.random.default_rng(0)
    if seeds > 1:
        drawn = mean + deviation / np.sqrt(seeds) * random.standard_t(seeds - 1, DRAWS)
        drawn = np.exp(np.minimum(drawn, FAR))  # of two seeds they reach far
    else:
        like = spread[np.argmin(np.abs(np.log(values) - mean))]
        drawn = fids[0].value + (_deviation(fids[0]) or like) * random.standard_normal(DRAWS)
    bases = values + spread * random.standard_normal((DRAWS, len(values)))
    ends = sorted(map(needed, bases, drawn))
    low, high = ends[DRAWS * 25 // 1000], ends[DRAWS * 975 // 1000]
    texts = [_evaluations_text(each, max(counts)) for each in (middle, low, high)]
    return texts[0] if low == high else f"{texts[0]} ({texts[1]} to {texts[2]})"


def _deviation(fid: Seen) -> float:
    """Over images; 0 where it is not known."""
    return 0.0 if fid.low is None or fid.high is None else (fid.high - fid.low) / (2 * NORMAL_95)


def _evaluations_text(value: float, most: int) -> str:
    return "<1" if value == 0 else f">{most}" if value == inf else f"{value:.1f}"


def _over_images(score: Seen | None, digits: int) -> str:
    if score is None:
        return "-"
    if score.low is None:
        return f"{score.value:.{digits}f}"
    return f"{score.value:.{digits}f} ({score.low:.{digits}f} to {score.high:.{digits}f})"
