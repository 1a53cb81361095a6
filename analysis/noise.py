"""Noise as `mdsearch noise` writes it: exact rows for other programs, and a preset of conf/noise."""

from __future__ import annotations

from typing import Any

import yaml

from search.confirmation.repeats import ScoreNoise
from search.statistics.noise import Noise
from space.shared.plain import to_plain

NOTE = """
Standard deviations of one run: of FID as shares of the FID, of CLIP as they are. Seeds: pooled over networks
that were trained with two seeds or more, with its 95 % interval; repeats: runs beyond the first of each
network. Paired: what is left when a seed's effect on all networks alike is taken out. Pictures: by resampling
them, at most what more pictures would cure. Together: the stated noise, which weighs as many repeats as it
was measured with, refined by the seeds."""


def preset(noise: Noise, source: str) -> str:
    """A noise as a file of conf/noise, which says what it was estimated from."""
    head = f"# Noise of one run, from {source}\n"
    rounded = [
        {name: float(f"{value:.4g}") for name, value in to_plain(rung).items()} for rung in noise.rungs
    ]
    plain = to_plain(noise) | {"rungs": [rung | {"step": int(rung["step"])} for rung in rounded]}
    return head + yaml.safe_dump(plain, sort_keys=False)


def exact_row(found: ScoreNoise) -> dict[str, Any]:
    low, high = found.seeds.deviation_interval() if found.seeds else (None, None)
    return {
        "step": found.step,
        "score": found.score,
        "stated": found.stated.deviation,
        "stated_degrees_of_freedom": found.stated.degrees_of_freedom,
        "seeds": found.seeds.deviation if found.seeds else None,
        "seeds_low": low,
        "seeds_high": high,
        "repeats": found.seeds.degrees_of_freedom if found.seeds else 0,
        "networks": found.networks,
        "paired": found.paired.deviation if found.paired else None,
        "pictures": found.resampled,
        "together": found.together.deviation,
        "together_degrees_of_freedom": found.together.degrees_of_freedom,
    }
