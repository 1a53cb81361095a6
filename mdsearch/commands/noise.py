"""`python -m search.noise runs/a [runs/b ...]`: what is noise at each rung, by repeated seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from analysis.rendering import Format, render_table, write_text
from conf.compose import compose, divided, help_text
from search.confirmation.repeats import ScoreNoise, estimated, from_repeats, refined, shown
from search.runs.bundle import histories_of
from search.runs.folder import latest_run
from search.runs.header import noise_of
from search.statistics.noise import Noise
from space.shared.plain import InputError, from_plain, to_plain

INTRO = """
The noise of FID and CLIP at each rung of one run, or of several of one protocol: as stated in its settings,
as repeated seeds of the same networks show it, and the part that more pictures would cure.
"""
EXAMPLES = (
    "python -m search.noise                              the latest run",
    "python -m search.noise runs/a runs/b                repeats of both, pooled",
    "python -m search.noise runs/a out=conf/noise/mine.yaml, then python -m search noise=mine",
    "python -m search.noise runs/a runs/b stated=false out=conf/noise/mine.yaml     from their repeats alone",
    "python -m search.noise recorded:table recorded:seeds-* best=0.5   the better half of the networks",
)


@dataclass(frozen=True)
class NoiseSettings:
    """How the table is written, and where the preset goes."""

    runs_folder: str = "runs"
    format: Format = "table"
    out: str | None = None
    stated: bool = True
    best: float = 1.0

    def __post_init__(self) -> None:
        if self.out is not None and not self.out.endswith(".yaml"):
            raise InputError(f"out: {self.out!r} is no preset; allowed: a file that ends in .yaml")
        if not 0 < self.best <= 1:
            raise InputError(f"best: {self.best:g} is not a share; allowed: above 0, up to 1")


def main(words: list[str]) -> int:
    if any(word in ("-h", "--help") for word in words):
        print(help_text("noise_table", INTRO, EXAMPLES))
        return 0
    sources, chosen = divided(words)
    settings = from_plain(NoiseSettings, compose("noise_table", chosen))
    sources = sources or [str(latest_run(Path(settings.runs_folder).expanduser()))]
    histories = histories_of(sources)
    first, noise = next((name, noise_of(history)) for name, history in histories.items())
    if noise is None:
        raise InputError(f"{first}: states no noise yet; first: python -m search resume={first}")
    found = estimated(list(histories.values()), noise, settings.best)
    print(
        render_table([_exact(each) for each in found], [shown(each) for each in found], settings.format),
        end="",
    )
    if settings.format == "table":
        print(NOTE)
    if settings.out is not None:
        names = ", ".join(Path(run).name for run in histories)
        if settings.best < 1:
            names += f" (the best {settings.best:.0%} of their networks)"
        if settings.stated:
            text = preset(refined(noise, found), f"what was stated and the repeated seeds of {names}")
        else:
            text = preset(from_repeats(noise, found), f"the repeated seeds of {names}")
        write_text(text, settings.out)
    return 0


def preset(noise: Noise, source: str) -> str:
    """A noise as a file of conf/noise, which says what it was estimated from."""
    head = f"# Noise of one run, from {source}\n"
    rounded = [
        {name: float(f"{value:.4g}") for name, value in to_plain(rung).items()} for rung in noise.rungs
    ]
    plain = to_plain(noise) | {"rungs": [rung | {"step": int(rung["step"])} for rung in rounded]}
    return head + yaml.safe_dump(plain, sort_keys=False)


NOTE = """
Standard deviations of one run: of FID as shares of the FID, of CLIP as they are. Seeds: pooled over networks
that were trained with two seeds or more, with its 95 % interval; repeats: runs beyond the first of each
network. Paired: what is left when a seed's effect on all networks alike is taken out. Pictures: by resampling
them, at most what more pictures would cure. Together: the stated noise, which weighs as many repeats as it
was measured with, refined by the seeds."""


def _exact(found: ScoreNoise) -> dict[str, Any]:
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
