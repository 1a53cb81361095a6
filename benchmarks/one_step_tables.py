"""What came out of `benchmarks.one_step`: rows of its tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import inf
from pathlib import Path

import numpy as np
from scipy import stats

from analysis.sampling_curves.points import CurvePoint, Curves, read_curves
from benchmarks.lab import Lab
from evaluators.protocols.score import Score
from training.files import CURVE_NAME

BASE = "base"
DRAWS, NORMAL_95, FAR = 2000, 1.96, 100.0
LCM = "lcm"  # is told the guidance, and so takes one evaluation a step


def curves_of(lab: Lab) -> Curves | None:
    out = lab.folder / "curves"
    return read_curves(out, None, None) if any(out.glob(f"{BASE}/*/scores.json")) else None


def base_rows(lab: Lab) -> list[dict[str, str]]:
    """Steps, evaluations of the network, and both scores with their intervals over images."""
    if (curves := curves_of(lab)) is None:
        return []
    return [
        {
            "DDIM steps": str(point.steps),
            "guidance": f"{point.guidance:g}",
            "evaluations": str(evaluations(point)),
            "FID": _with_interval(point, curves.fid, 1),
            "CLIP": _with_interval(point, curves.clip, 3),
        }
        for point in curves.points
        if point.model == BASE
    ]


def cell_rows(lab: Lab) -> Iterator[dict[str, str]]:
    """Each way to distil with each number of steps and guidance: what its discriminator tells apart at the
    end, means over seeds with Student's intervals, and the evaluations by which the base has that FID; then
    what failed."""
    curves = curves_of(lab)
    points = [] if curves is None else [point for point in curves.points if "-seed" in point.model]
    for name, steps, guidance in sorted(set(map(_cell_point, points))):
        assert curves is not None
        own = [point for point in points if _cell_point(point) == (name, steps, guidance)]
        base = [point for point in curves.points if point.model == BASE]
        row = {
            "distilled": name,
            "steps": str(steps),
            "guidance": f"{guidance:g}",
            "evaluations": str(evaluations(own[0])),
            "seeds": str(len(own)),
        }
        apart = [told for point in own if (told := told_apart(lab.folder / "models" / point.model))]
        row["told apart"] = f"{sum(apart) / len(apart):.0%}" if apart else "-"
        fids, clips = ([point.scores[score] for point in own] for score in (curves.fid, curves.clip))
        row["FID"] = over_seeds([score.value for score in fids], 1, logarithmic=True)
        row["the base needs for that FID"] = base_needs(of_evaluations(base, curves.fid), fids)
        row["CLIP"] = over_seeds([score.value for score in clips], 3)
        yield row
    for name, said in lab.failures().items():
        yield {"distilled": name, "steps": f"failed: {said}"}


def told_apart(model: Path) -> float | None:
    """The share that a discriminator tells apart at the end; None: there is none."""
    lines = (model / CURVE_NAME).read_text(encoding="utf-8").splitlines() if model.is_dir() else []
    found = [told for line in lines if (told := json.loads(line).get("told_apart")) is not None]
    return found[-1] if found else None


def _cell_point(point: CurvePoint) -> tuple[str, int, float]:
    """What its seeds share: the way to distil, steps and guidance."""
    return point.model.rpartition("-seed")[0], point.steps, point.guidance


def adapter_rows(lab: Lab) -> Iterator[dict[str, str]]:
    """Of each measure and adapter: with it, and alone, by each model, over seeds."""
    found: dict[tuple[str, str], dict[str, list[Mapping[str, float]]]] = {}
    for file in sorted(lab.folder.glob("survival/*.json")):
        model, adapter = survived(file)
        for row in json.loads(file.read_text(encoding="utf-8"))["rows"]:
            found.setdefault((row["measure"], adapter), {}).setdefault(model, []).append(row)
    models = sorted(
        {model for each in found.values() for model in each}, key=lambda name: (name != BASE, name)
    )
    for (measure, adapter), by_model in sorted(found.items()):
        unit, digits = (" (dB)", 1) if "PSNR" in measure else ("", 2)
        row = {"measure": measure + unit, "adapter": adapter}
        row["seeds"] = str(min(map(len, by_model.values())))
        for model in models:
            rows = by_model.get(model, [])
            each = (
                over_seeds([one[name] for one in rows], digits) if rows else "-"
                for name in ("value", "alone")
            )
            row[model] = "; alone ".join(each)
        yield row


def survived(file: Path) -> tuple[str, str]:
    """Model and adapter of a file of `evaluate adapter`, without their seeds."""
    model, _, rest = file.stem.rpartition("-")[0].partition("-seed")
    if not rest:  # base-controlnet-seed0
        raise ValueError(f"{file}: names no seed")
    if model.startswith(f"{BASE}-"):
        return BASE, model.removeprefix(f"{BASE}-")
    return model, rest.partition("-")[2].rpartition("-seed")[0]


def evaluations(point: CurvePoint) -> int:
    """Of the network for an image; guidance takes two a step, unless the network is told it (LCM)."""
    return point.steps * (2 if point.guidance != 1 and not point.model.startswith(LCM) else 1)


def over_seeds(values: Sequence[float], digits: int, *, logarithmic: bool = False) -> str:
    """The mean and Student's interval of it; of the logarithm where seeds multiply a score, as an FID."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    seen: np.ndarray = np.log(values) if logarithmic else np.asarray(values)
    half = stats.t.ppf(0.975, len(seen) - 1) * seen.std(ddof=1) / np.sqrt(len(seen))
    ends = seen.mean() + np.array([0.0, -half, half])
    mean, low, high = np.exp(ends) if logarithmic else ends
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def of_evaluations(points: Sequence[CurvePoint], score: str) -> list[tuple[int, Score]]:
    """By whatever guidance."""
    return [(evaluations(point), point.scores[score]) for point in points]


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


def base_needs(base: Sequence[tuple[int, Score]], seeds: Sequence[Score]) -> str:
    """The base's evaluations for the mean FID of these seeds, and where they lie in 95 of 100 draws of all
    that is uncertain: of the base over its images, and over seeds, or of one seed over its images."""
    counts = [count for count, _ in base]
    values, spread = np.array([score.value for _, score in base]), np.array([_deviation(s) for _, s in base])
    logs = np.log([score.value for score in seeds])

    def needed(own: np.ndarray, fid: float) -> float:
        return worth(rising(zip(counts, -own, strict=True)), -fid)

    middle = needed(values, float(np.exp(logs.mean())))
    random, one = np.random.default_rng(0), _deviation(seeds[0])
    if len(seeds) > 1:
        wide = logs.std(ddof=1) / np.sqrt(len(logs))
        tails = wide * random.standard_t(len(logs) - 1, DRAWS)  # of two seeds they reach far
        drawn = np.exp(np.minimum(logs.mean() + tails, FAR))
    else:
        drawn = seeds[0].value + one * random.standard_normal(DRAWS)
    bases = values + spread * random.standard_normal((DRAWS, len(values)))
    ends = sorted(map(needed, bases, drawn))
    low, high = ends[DRAWS * 25 // 1000], ends[DRAWS * 975 // 1000]
    texts = [_evaluations_text(each, max(counts)) for each in (middle, low, high)]
    return texts[0] if low == high else f"{texts[0]} ({texts[1]} to {texts[2]})"


def _deviation(score: Score) -> float:
    """Over images; 0 where it is not known."""
    return 0.0 if score.interval is None else (score.interval.high - score.interval.low) / (2 * NORMAL_95)


def _evaluations_text(value: float, most: int) -> str:
    return "<1" if value == 0 else f">{most}" if value == inf else f"{value:.1f}"


def _with_interval(point: CurvePoint, name: str, digits: int) -> str:
    score = point.scores[name]
    if score.interval is None:
        return f"{score.value:.{digits}f}"
    return f"{score.value:.{digits}f} ({score.interval.low:.{digits}f} to {score.interval.high:.{digits}f})"
