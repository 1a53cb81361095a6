"""Synthetic run folders, written through `Record.append`: any stage of a search, without training."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from search.runs.record import History, Record
from space.architecture import Architecture, Level
from space.choices import LevelRanges, Space, UniformSuggestions
from space.prices.macs import price

RUNGS = (100, 200, 400)
NOISE = [
    {"step": 100, "fid_relative": 0.10, "clip": 0.035},
    {"step": 200, "fid_relative": 0.20, "clip": 0.05},
    {"step": 400, "fid_relative": 0.12, "clip": 0.03},
]
MD = Architecture(
    levels=(
        Level(320, "full", (0,), (0, 0)),
        Level(640, "full", (1,), (1, 1), cross_attention=True),
        Level(1024, "separable", (3, 3), (3, 3, 3), self_attention=True, cross_attention=True),
    )
)
MD_LITE = Architecture.from_plain(
    MD.to_plain()
    | {
        "levels": [
            *MD.to_plain()["levels"][:2],
            MD.to_plain()["levels"][2] | {"channels": 896, "up": [2] * 3},
        ]
    }
)
SPACE = Space(
    levels={
        "level_1": LevelRanges((256, 320, 384)),
        "level_2": LevelRanges(
            (512, 640), layers_down=(0, 1, 2), layers_up=(1, 2), cross_attention=(False, True)
        ),
        "level_3": LevelRanges(
            (768, 896, 1024, 1280),
            ("full", "separable"),
            (2,),
            (1, 2, 3, 4),
            (1, 2, 3, 4),
            (False, True),
            (False, True),
        ),
    },
    feed_forward_ratio=(2, 3, 4),
    activation=("swish", "gelu"),
)
BUDGET = {"parameters_millions": 400.0, "gmacs": 200.0}


def header(**changes: Any) -> dict[str, Any]:
    """A `run` event's fields, as a search writes them."""
    return {
        "name": "synthetic",
        "overrides": [],
        "seed": 0,
        "trials": 12,
        "rungs": list(RUNGS),
        "objectives": {"fid": "fid_embedded_clip", "clip": "clip_embedded"},
        "budget": dict(BUDGET),
        "proxy": {"width_divisor": 16, "latent_channels": 12, "latent_size": 16, "heads": None},
        "data": {"name": "scenes"},
        "training": {"batch": 64, "learning_rate": 0.002},
        "sampler": {"name": "tpe"},
        "stopping": {"name": "paper", "minimum_peers": 3},
        "noise": {"rungs": NOISE, "deviations": 2.0, "measured_under": []},
        "references": ["md", "md_lite"],
    } | changes


def open_run(folder: Path, **changes: Any) -> Record:
    """A run folder with its header and the scores of an untrained network."""
    folder.mkdir(parents=True, exist_ok=True)
    record = Record(folder)
    if not record.history.header:
        record.append("run", **header(**changes))
        record.append(
            "start",
            scores={"fid_embedded_clip": 160.0, "clip_embedded": 0.01, "validation_loss": 1.0},
            protocol={"id": "embedded-v1", "images": 400, "guidance": 2.0},
        )
    return record


def propose(record: Record, architecture: Architecture, **changes: Any) -> str:
    """A priced candidate becomes trial `number`, or a confirmation run; returns its key."""
    number = changes.get("number", len(record.history.trials))
    cost = price(architecture)
    fields = {
        "key": str(number),
        "number": number,
        "purpose": "search",
        "name": f"trial {number}",
        "architecture": architecture.to_plain(),
        "architecture_id": architecture.id,
        "parameters": cost.parameters,
        "macs": cost.macs,
        "attention_macs": cost.attention_macs,
        "proxy_parameters": cost.parameters // 200,
        "seed": 0,
        "steps": RUNGS[-1],
        "source": "sampler",
        "params": None,
        "sampler_attributes": {},
    } | changes
    record.append("proposed", **fields)
    return str(fields["key"])


def score(record: Record, key: str, step: int, fid: float, clip: float, decision: str = "continue") -> None:
    """A trial is evaluated at a rung."""
    record.append(
        "rung",
        key=key,
        step=step,
        scores={
            "fid_embedded_clip": fid,
            "clip_embedded": clip,
            "fid_random_network": fid * 1.7,
            "validation_loss": 0.1 + fid / 400,
        },
        seconds={"training": step / 6, "validation": 0.4, "sampling": 4.5, "features": 0.8, "writing": 0.2},
        decision=decision,
        reason="",
    )


def end(record: Record, key: str, state: str = "complete", reason: str = "") -> None:
    record.append("ended", key=key, state=state, reason=reason)


def confirm(
    record: Record, name: str, architecture: Architecture, points: Sequence[tuple[float, float]]
) -> None:
    """Complete confirmation runs of a network, a seed each from 1000 on."""
    for index, (fid, clip) in enumerate(points):
        key = f"{name.replace(' ', '-')}-seed{1000 + index}-steps{RUNGS[-1]}"
        number = len(record.history.confirmations)
        propose(
            record,
            architecture,
            key=key,
            number=number,
            purpose="confirm",
            name=name,
            seed=1000 + index,
            source="confirmation",
        )
        score(record, key, RUNGS[-1], fid, clip, "end")
        end(record, key)


def final_scores(architecture: Architecture) -> tuple[float, float]:
    """FID and CLIP that a network of this kind might reach: larger is better, blind to text is bad."""
    parameters = price(architecture).parameters / 387e6
    reads = architecture.cross_attention_layers > 0
    return (11 / parameters**0.5 if reads else 34 / parameters**0.3), (
        0.5 * parameters**0.2 if reads else 0.02
    )


def write_history(
    folder: Path,
    *,
    ended: int = 12,
    running: int = 0,
    failed: Sequence[int] = (5,),
    confirmation_seeds: int = 2,
    seed: int = 0,
    **header_changes: Any,
) -> History:
    """A run folder with a record: random candidates, over-budget and duplicate ones refused, late ones that
    lag stopped at the second rung, `failed` numbers failed, then the best confirmed beside MD and MD-Lite."""
    generator = random.Random(seed)
    with mock.patch("os.fsync"):  # thousands of events, and nothing here outlives the test
        record = open_run(folder, **({"trials": ended + running} | header_changes))
        seen: dict[str, int] = {}
        while len(record.history.trials) < ended + running:
            suggestions = UniformSuggestions(generator)
            architecture = SPACE.sample(suggestions)
            number = len(record.history.trials)
            if not _refused(record, architecture, number, seen):
                seen[architecture.id] = number
                key = propose(record, architecture, params=suggestions.params)
                if number < ended:
                    _train(record, key, number, architecture, number in failed, generator)
        _confirm_the_best(record, confirmation_seeds, generator)
        record.close()
    return record.history


def _refused(record: Record, architecture: Architecture, number: int, seen: dict[str, int]) -> bool:
    cost = price(architecture)
    clauses = [f"{cost.parameters / 1e6:.1f} M parameters > 400"] if cost.parameters > 400e6 else []
    clauses += [f"{cost.gmacs:.1f} GMACs > 200"] if cost.gmacs > 200 else []
    # this small space runs out of networks
    duplicate = seen.get(architecture.id) if len(seen) < 300 else None
    if not clauses and duplicate is None:
        return False
    record.append(
        "rejected",
        before_trial=number,
        kind="budget" if clauses else "duplicate",
        architecture_id=architecture.id,
        parameters=cost.parameters,
        gmacs=round(cost.gmacs, 3),
        reason="; ".join(clauses) or f"the network of trial {duplicate}",
    )
    return True


def _train(
    record: Record, key: str, number: int, architecture: Architecture, fails: bool, generator: random.Random
) -> None:
    fid, clip = final_scores(architecture)
    for place, step in enumerate(RUNGS):
        left = (6.0, 2.8, 1.0)[place]
        at_fid = fid * left * generator.lognormvariate(0, 0.08)
        at_clip = max(clip * (0.35, 0.7, 1.0)[place] + generator.gauss(0, 0.02), -0.02)
        if fails and place == 1:
            end(record, key, "failed", "diverged: the loss is not a number at step 137")
            return
        if place == 1 and number > 3 and at_clip < 0.15:
            score(record, key, step, at_fid, at_clip, "halt")
            end(
                record,
                key,
                "halted",
                f"slower than earlier trials: CLIP by {at_clip:.3f}, peers by 0.304 (noise 0.050)",
            )
            return
        score(record, key, step, at_fid, at_clip, "end" if step == RUNGS[-1] else "continue")
    end(record, key)


def _confirm_the_best(record: Record, seeds: int, generator: random.Random) -> None:
    from search.objectives import FID_AND_CLIP
    from search.runs.scores import best_first

    best = best_first(record.history.trials, FID_AND_CLIP)[:1]
    if not best or not seeds:
        return
    for name, architecture in ((best[0].name, best[0].architecture), ("md", MD), ("md_lite", MD_LITE)):
        fid, clip = final_scores(architecture)
        points = [
            (fid * generator.lognormvariate(0, 0.1), clip + generator.gauss(0, 0.02)) for _ in range(seeds)
        ]
        confirm(record, name, architecture, points)
