"""The benchmark of values against training anew: planted losses come out in their order."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analysis.evidence.text import MINUS
from benchmarks import evolve
from search.objectives import FID_AND_CLIP, VALIDATION_LOSS
from search.runs.record import History
from space.architecture import Architecture
from space.subnet import Subnet

_, CLIP = FID_AND_CLIP
START = Subnet.of(Architecture.from_yaml(evolve.START))


def planted(network: Architecture) -> dict[str, float]:
    chance = random.Random(network.id)
    return {CLIP.name: 0.5 + 0.2 * chance.random(), VALIDATION_LOSS: 0.1 + chance.random()}


class Planted(evolve.Searches):
    """Shared weights and training anew give a network the same scores."""

    def history(self, name: str, *words: str) -> Any:
        if name == "values":
            each = [START, *(START.without(stage) for stage in START.stages)]
            return History(evolved=[{"inherited": [planted(one.architecture) for one in each]}])
        files = next(word for word in words if word.startswith("enqueue="))[len("enqueue=[") : -1].split(",")
        return SimpleNamespace(trials=[self.trial(Architecture.load(file)) for file in files])

    def trial(self, network: Architecture) -> Any:
        return SimpleNamespace(architecture=network, state="complete", score=planted(network).get)


def test_equal_scores_rank_alike_on_at_least_twelve_networks(tmp_path: Path) -> None:
    rows = evolve.value_rows(Planted(tmp_path, ()), 10, [0, 1])
    assert len(rows) == len({START.without(stage).architecture.id for stage in START.stages}) >= 12
    for row in rows:
        for by in ("CLIP", "loss"):
            assert row[f"{by} shared"] == pytest.approx(row[f"{by} anew"])
    clip, loss = evolve.correlations(rows)
    assert clip[f"CLIP anew ({len(rows)} networks)"] == "1.00 (1.00 to 1.00)"
    assert loss[f"loss anew ({len(rows)} networks)"] == "1.00 (1.00 to 1.00)"


def test_values_against_their_order_correlate_negatively() -> None:
    values = np.random.default_rng(0).normal(size=12)
    rows = [{"CLIP shared": v, "CLIP anew": -v} for v in values.tolist()]
    rows = [row | {"loss shared": row["CLIP shared"], "loss anew": float("nan")} for row in rows]
    (clip, _) = evolve.correlations(rows)
    assert clip["CLIP anew (12 networks)"] == "-1.00 (-1.00 to -1.00)".replace("-", MINUS)
    assert clip["loss anew (0 networks)"] == "-"
