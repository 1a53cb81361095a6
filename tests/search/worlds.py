"""A search without training: scores are a stated function of the architecture, so that a whole search takes
milliseconds and what it should find is known."""

from __future__ import annotations

from pathlib import Path

import yaml

from search.ranking import Noise, Objectives, Point, RungNoise
from search.record import Record
from search.sampler import SamplerSettings, make_sampler
from search.stopping import StoppingSettings, make_rule
from search.strategy import ArchitectureSearch
from search.toy import drive
from space.architecture import Architecture
from space.choices import Space
from space.cost import Budget
from space.plain import from_plain
from space.proxy import Proxy

__all__ = [
    "MD_BUDGET",
    "NOISE",
    "RUNGS",
    "START",
    "drive",
    "make_search",
    "md_space",
    "preset",
    "quality",
    "scores_at",
]

CONF = Path(__file__).parents[2] / "conf"
RUNGS = (100, 200, 400)
START = {"fid_embedded_clip": 100.0, "clip_embedded": 0.0}
NOISE = Noise((RungNoise(100, 0.05, 0.02), RungNoise(400, 0.05, 0.02)))
MD_BUDGET = Budget(400, 200)


def preset(group: str, name: str, kind: type) -> object:
    return from_plain(kind, yaml.safe_load((CONF / group / f"{name}.yaml").read_text()), group)


def md_space() -> Space:
    space = preset("space", "md", Space)
    assert isinstance(space, Space)
    return space


def quality(architecture: Architecture) -> float:
    """In this world, text everywhere and a wide innermost level are what counts; from 0 to 1."""
    inner = architecture.levels[-1]
    text = 0.5 * inner.cross_attention
    return text + 0.5 * (inner.channels - 768) / (1280 - 768)


def scores_at(architecture: Architecture, step: int) -> Point:
    progress = quality(architecture) * (step / RUNGS[-1]) ** 0.5
    return Point(100.0 - 90.0 * progress, 0.9 * progress)


def make_search(folder: Path, **changes: object) -> ArchitectureSearch:
    """A search in that world; `changes` replace any argument of `ArchitectureSearch`, or name presets."""
    record = changes.pop("record", None) or Record(folder)
    if not record.history.start_scores:
        record.append("run", name="test", trials=changes.get("trials", 12))
        record.append("start", scores=START, protocol={})
    sampler = changes.pop("sampler", "random")
    stopping = changes.pop("stopping", "none")
    seed = changes.setdefault("seed", 0)
    arguments: dict[str, object] = {
        "space": md_space(),
        "budget": MD_BUDGET,
        "proxy": preset("proxy", "embedded", Proxy),
        "sampler": make_sampler(preset("sampler", sampler, SamplerSettings), seed),
        "rule": make_rule(preset("stopping", stopping, StoppingSettings), NOISE),
        "objectives": Objectives(),
        "rungs": RUNGS,
        "trials": 12,
    }
    return ArchitectureSearch(record, **(arguments | changes))
