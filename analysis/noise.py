"""Noise as `mdsearch noise` writes it: exact rows for other programs, and a preset of conf/noise."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import yaml

from search.confirmation.repeats import ScoreNoise
from search.objectives import Objectives
from search.statistics.noise import Noise, noise_to_plain, noisy
from search.statistics.variance import Variance

_COLUMNS = """Seeds: pooled over networks that were trained with two seeds or more, with its 95 % interval;
repeats: runs beyond the first of each network. Paired: what is left when a seed's effect on all
networks alike is taken out. Images: by resampling them, at most what more images would cure.
Together: the stated noise, which weighs as many repeats as it was measured with, refined by the
seeds."""


def table_note(objectives: Objectives) -> str:
    """What the columns of the table hold, and which objectives are not in it."""
    of_scale = {"log": "as shares of it", "linear": "as they are"}
    named = [
        f"of {' and '.join(labels)} {words}"
        for scale, words in of_scale.items()
        if (labels := [each.label for each in noisy(objectives) if each.scale == scale])
    ]
    exact = [f"{each.label} is exact: it has no noise." for each in objectives if each.exact]
    return "\n".join(["", f"Standard deviations of one run: {', '.join(named)}.", *exact, _COLUMNS])


def preset(noise: Noise, source: str) -> str:
    """A noise as a file of conf/noise, which says what it was estimated from."""
    head = f"# Noise of one run, from {source}\n"
    plain = noise_to_plain(noise)
    known = [rung for rung in plain["rungs"] if isfinite(rung["fid_relative"] + rung["clip"])]
    if plain["measured_up_to_fid"] is not None:
        plain["measured_up_to_fid"] = float(f"{plain['measured_up_to_fid']:.4g}")
    plain["rungs"] = [_rounded(rung) | {"step": rung["step"]} for rung in known]
    return head + yaml.safe_dump(plain, sort_keys=False)


def measured_up_to(stated: Noise, measured_on: tuple[float, float] | None, with_stated: bool) -> float | None:
    """Up to which FID figures were measured: what is stated and counts, and what the repeats add."""
    counts = with_stated and any(isfinite(rung.fid_relative) for rung in stated.rungs)
    if counts and (stated.measured_up_to_fid is None or measured_on is None):
        return stated.measured_up_to_fid
    ends = [measured_on[1]] if measured_on is not None else []
    return max([*ends, *([stated.measured_up_to_fid or 0.0] if counts else [])], default=None)


def _rounded(deviations: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _rounded(value) if isinstance(value, Mapping) else float(f"{value:.4g}")
        for name, value in deviations.items()
    }


def exact_row(found: ScoreNoise) -> dict[str, Any]:
    low, high = found.seeds.deviation_interval() if found.seeds else (None, None)
    return {
        "step": found.step,
        "score": found.score,
        "stated": _deviation(found.stated),
        "stated_degrees_of_freedom": found.stated.degrees_of_freedom,
        "seeds": _deviation(found.seeds),
        "seeds_low": low,
        "seeds_high": high,
        "repeats": found.seeds.degrees_of_freedom if found.seeds else 0,
        "networks": found.networks,
        "paired": _deviation(found.paired),
        "pictures": found.resampled,
        "together": _deviation(found.together),
        "together_degrees_of_freedom": found.together.degrees_of_freedom,
    }


def _deviation(variance: Variance | None) -> float | None:
    return variance.deviation if variance and variance.degrees_of_freedom else None
