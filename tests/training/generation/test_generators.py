"""Settings that a model cannot follow are refused before anything is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from space.shared.plain import InputError
from tests.training.generation.examples import OURS
from training.generation.generators import open_generator

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 0}, "count: 0 is not possible"),
        ({"guidance": 0.5}, "guidance: 0.5 is not possible; allowed: 1 or more"),
        ({"guidance": float("nan")}, "guidance: nan"),
        ({"seed": -1}, "seed: -1"),
        ({"image_size_px": 24}, "image_size_px: 24, but this model generates 16 px"),
        ({"sampler": "euler"}, "scheduler: 'euler' is not possible; allowed: ddim"),
        ({"steps": 1001}, "steps: 1001 is not possible; allowed: at most 1000"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change: dict[str, Any], said: str, model: Path) -> None:
    with pytest.raises(InputError, match=said):
        open_generator(model, replace(OURS, **change), CPU)
