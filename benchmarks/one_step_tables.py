"""What came out of `benchmarks.one_step`: rows of its tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import exp, inf
from pathlib import Path

import numpy as np
from scipy import stats

from analysis.sampling_curves.points import CurvePoint, Curves, read_curves
from benchmarks.lab import Lab

BASE = "base"
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
    """Each way to distil with each number of steps and guidance: mean over seeds, Student's interval of it,
    and the evaluations of the base's best guidance that score so, at its ends; then what failed."""
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
        for column, score, sign, digits in (("FID", curves.fid, -1, 1), ("CLIP", curves.clip, 1, 3)):
            values = [point.scores[score].value for point in own]
            row[column] = over_seeds(values, digits, logarithmic=sign < 0)
            needed = base_needs(best_by_evaluations(base, score, sign), values, sign)
            row[f"the base needs for that {column}"] = needed
        yield row
    for name, said in lab.failures().items():
        yield {"distilled": name, "steps": f"failed: {said}"}


def _cell_point(point: CurvePoint) -> tuple[str, int, float]:
    """What its seeds share: the way to distil, steps and guidance."""
    return point.model.rpartition("-seed")[0], point.steps, point.guidance


def adapter_rows(lab: Lab) -> Iterator[dict[str, str]]:
    """Of each adapter beside each model: the measure with it and by how much it raises that, over seeds."""
    found: dict[tuple[str, str, str], list[Mapping[str, float]]] = {}
    for file in sorted(lab.folder.glob("survival/*.json")):
        model, adapter = survived(file)
        for row in json.loads(file.read_text(encoding="utf-8"))["rows"]:
            found.setdefault((row["measure"], adapter, model), []).append(row)
    for (measure, adapter, model), rows in sorted(found.items()):
        gains = [row["gain"] for row in rows if row["gain"] is not None]
        yield {
            "measure": measure,
            "adapter": adapter,
            "model": model,
            "seeds": str(len(rows)),
            "with it": over_seeds([row["value"] for row in rows], 3),
            "gain": over_seeds(gains, 3) if gains else "-",
            "alone": over_seeds([row["alone"] for row in rows], 3),
        }


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
    mean, low, high = _mean_and_ends(values, logarithmic)
    if len(values) < 2:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _mean_and_ends(values: Sequence[float], logarithmic: bool) -> tuple[float, float, float]:
    """The ends without bounds for one seed."""
    if len(values) < 2:
        return values[0], -inf, inf
    seen = np.log(values) if logarithmic else np.asarray(values)
    mean = float(np.mean(seen))
    half = float(stats.t.ppf(0.975, len(seen) - 1) * np.std(seen, ddof=1) / np.sqrt(len(seen)))
    found = mean, mean - half, mean + half
    return tuple(map(exp, found)) if logarithmic else found  # type: ignore[return-value]


def best_by_evaluations(points: Sequence[CurvePoint], score: str, sign: int) -> list[tuple[int, float]]:
    """(evaluations, goodness) of the best of so many or fewer, by whatever guidance; `sign` 1: higher is
    better."""
    return rising((evaluations(point), sign * point.scores[score].value) for point in points)


def rising(found: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """(evaluations, goodness) of those that are better than all of so many or fewer."""
    best: list[tuple[int, float]] = []
    for count, value in sorted(found, key=lambda each: (each[0], -each[1])):
        if not best or value > best[-1][1]:
            best.append((count, value))
    return best


def worth(best: Sequence[tuple[int, float]], value: float, sign: int) -> float:
    """The evaluations by which the base reaches a value: 0 where its first does better already, inf where it
    never does; in between a line through log evaluations and scores."""
    value *= sign
    if value < best[0][1]:
        return 0.0
    for (fewer, low), (more, high) in pairwise(best):
        if low <= value <= high:
            return float(fewer * (more / fewer) ** ((value - low) / (high - low)))
    return inf if value > best[-1][1] else float(best[-1][0])


def base_needs(best: Sequence[tuple[int, float]], values: Sequence[float], sign: int) -> str:
    """The base's evaluations for the mean of these seeds, and at the ends of its interval; of what is better
    where lower (`sign` -1), by the logarithm."""
    needed = [worth(best, value, sign) for value in _mean_and_ends(values, sign < 0)]
    return _range(*(needed if len(values) > 1 else needed[:1]))


def _range(middle: float, *ends: float) -> str:
    """ "7 (3 to more than all)"."""
    if not ends:
        return _evaluations_text(middle)
    low, high = sorted(ends)
    return f"{_evaluations_text(middle)} ({_evaluations_text(low)} to {_evaluations_text(high)})"


def _evaluations_text(value: float) -> str:
    return "fewer than 1" if value == 0 else "more than all" if value == inf else f"{value:.1f}"


def _with_interval(point: CurvePoint, name: str, digits: int) -> str:
    score = point.scores[name]
    if score.interval is None:
        return f"{score.value:.{digits}f}"
    return f"{score.value:.{digits}f} ({score.interval.low:.{digits}f} to {score.interval.high:.{digits}f})"
