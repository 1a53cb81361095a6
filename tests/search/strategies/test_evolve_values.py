"""The benchmark of values against training anew: planted losses come out in their order."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
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
from tests.space.price_lists import made_list

_, CLIP = FID_AND_CLIP
START = Subnet.of(Architecture.from_yaml(evolve.START))


def planted(network: Architecture) -> dict[str, float]:
    chance = random.Random(network.id)
    return {CLIP.name: 0.5 + 0.2 * chance.random(), VALIDATION_LOSS: 0.1 + chance.random()}


@dataclass(frozen=True)
class Planted(evolve.Searches):
    """Shared weights and training anew give a network the same scores. `said`: to the search that values."""

    said: list[str] = field(default_factory=list)

    def history(self, name: str, *words: str) -> Any:
        if name == "values":
            self.said[:] = words
            each = [START, *(START.without(stage) for stage in START.stages)]
            return History(evolved=[{"inherited": [planted(one.architecture) for one in each]}])
        files = next(word for word in words if word.startswith("enqueue="))[len("enqueue=[") : -1].split(",")
        return SimpleNamespace(trials=[self.trial(Architecture.load(file)) for file in files])

    def trial(self, network: Architecture) -> Any:
        return SimpleNamespace(architecture=network, state="complete", score=planted(network).get)


def test_equal_scores_rank_alike_on_at_least_twelve_networks(tmp_path: Path) -> None:
    tried = evolve.tried_stages(Planted(tmp_path, ()), 10, [0, 1])
    rows = evolve.value_rows(tried, evolve.costs(None)["GMAC"])
    assert len(rows) == len({START.without(stage).architecture.id for stage in START.stages}) >= 12
    for row in rows:
        for by in ("CLIP", "loss"):
            assert row[f"{by} shared"] == pytest.approx(row[f"{by} anew"])
    clip, loss = evolve.correlations(rows)
    assert clip[f"CLIP anew ({len(rows)} networks)"] == "1.00 (1.00 to 1.00)"
    assert loss[f"loss anew ({len(rows)} networks)"] == "1.00 (1.00 to 1.00)"


def test_by_a_price_list_a_stage_that_saves_no_time_has_no_value(tmp_path: Path) -> None:
    each = [START.architecture, *(START.without(stage).architecture for stage in START.stages)]
    file = made_list(each, lambda part: 0.0 if part.kind == "full" else 2.0).write(tmp_path / "list.json")
    planted = Planted(tmp_path, ())
    tried = evolve.tried_stages(planted, 10, [0], file)
    assert {"strategy.cost=latency_ms", f"budget.prices={file}"} <= set(planted.said)
    by_ms, by_gmacs = (evolve.value_rows(tried, evolve.costs(file)[unit]) for unit in ("ms", "GMAC"))
    unknown = [math.isnan(row["CLIP shared"]) for row in by_ms]
    assert unknown == [math.isnan(row["CLIP anew"]) for row in by_ms]
    assert sum(unknown) == 1  # without the second conv blocks of level 1, where no layers are
    assert not any(math.isnan(row["CLIP shared"]) for row in by_gmacs)
    (clip, _) = evolve.correlations(by_ms)
    assert clip[f"CLIP anew ({len(by_ms) - 1} networks)"] == "1.00 (1.00 to 1.00)"


@pytest.mark.parametrize(("left_out", "said"), [("values", "0 of 1"), ("anew-0", "13 of 14")])
def test_what_was_interrupted_is_told_in_a_line(
    left_out: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted, whole = Planted(tmp_path, ()), Planted.history

    def interrupted(self: Planted, name: str, *words: str) -> Any:
        history = whole(self, name, *words)
        part = {"values": lambda: History(), "anew-0": lambda: SimpleNamespace(trials=history.trials[1:])}
        return part[name]() if name == left_out else history

    monkeypatch.setattr(Planted, "history", interrupted)
    with pytest.raises(SystemExit, match=rf"{left_out}: {said} ended; the same command goes on"):
        evolve.tried_stages(planted, 10, [0])


def test_values_against_their_order_correlate_negatively() -> None:
    values = np.random.default_rng(0).normal(size=12)
    rows = [{"CLIP shared": v, "CLIP anew": -v} for v in values.tolist()]
    rows = [row | {"loss shared": row["CLIP shared"], "loss anew": float("nan")} for row in rows]
    (clip, _) = evolve.correlations(rows)
    assert clip["CLIP anew (12 networks)"] == "-1.00 (-1.00 to -1.00)".replace("-", MINUS)
    assert clip["loss anew (0 networks)"] == "-"
