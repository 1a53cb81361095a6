"""The world of `search.toy` over the default space, where everything of a search can be chosen."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from search import toy
from search.objectives import FID_AND_CLIP
from search.runs.record import Record
from search.samplers.factory import SamplerSettings, make_sampler
from search.statistics.pareto import Point
from search.stopping.factory import StoppingSettings, make_rule
from search.strategies.base import SearchTask
from search.strategies.independent import ArchitectureSearch
from search.toy import NOISE, RUNGS, drive
from space.architecture import Architecture
from space.budget import Budget
from space.choices import Space
from space.proxy import Proxy
from space.shared.plain import from_plain, to_plain

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
START = {"fid_embedded_clip": toy.START.fid, "clip_embedded": toy.START.clip}
MD_BUDGET = Budget(400, 200)
MD_WIDTHS = 768, 1280


def preset(group: str, name: str, kind: type) -> object:
    return from_plain(kind, yaml.safe_load((CONF / group / f"{name}.yaml").read_text()), group)


@cache
def md_space() -> Space:
    space = preset("space", "md", Space)
    assert isinstance(space, Space)
    return space


def quality(architecture: Architecture) -> float:
    return toy.quality(architecture, MD_WIDTHS)


def scores_at(architecture: Architecture, step: int) -> Point:
    return toy.scores_at(architecture, step, MD_WIDTHS)


def make_search(folder: Path, **changes: object) -> ArchitectureSearch:
    """A search in that world; `changes` replace any argument of `ArchitectureSearch`, or name presets."""
    record = changes.pop("record", None) or Record(folder)
    if not record.history.start_scores:
        record.append("run", name="test", trials=changes.get("trials", 12), space=to_plain(md_space()))
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
        "objectives": FID_AND_CLIP,
        "rungs": RUNGS,
        "trials": 12,
    }
    return ArchitectureSearch(record, SearchTask(**(arguments | changes)))


def made_by(worker: Callable[[], Any]) -> Any:
    """Settings, as a backend takes them, of which such a worker is made."""
    return SimpleNamespace(worker=worker, run_folder="runs/made-up")
