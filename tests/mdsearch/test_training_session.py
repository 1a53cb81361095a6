"""By what a model is scored while it is trained."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import search.scoring.evaluator
from evaluators.scorers.embedded import EvaluatorSettings
from mdsearch.training_session import embedded_scores
from search.settings import SearchSettings
from space.shared.plain import to_plain
from training.data.base import CommonSettings
from training.data.dataset import Dataset, SplitImages
from training.data.emoji import Design, EmojiImages, EmojiSettings
from training.data.factory import load_data
from training.data.scenes import ScenesSettings
from training.settings import TrainingSettings


def few_designs(settings: EmojiSettings) -> Dataset:
    designs = [Design(f"{n:X}", f"first{n % 8} second{n // 8}", None) for n in range(40)]
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    return SplitImages(settings, EmojiImages(designs, pixels))


@pytest.mark.parametrize("name", ["scenes", "emoji"])
def test_data_of_few_images_are_scored_through_a_network_of_photographs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[SearchSettings] = []
    monkeypatch.setattr(
        search.scoring.evaluator, "prepare_evaluator", lambda settings, *_: asked.append(settings)
    )
    settings: CommonSettings = ScenesSettings(scenes=40, image_size_px=16)
    data = (
        load_data(settings) if name == "scenes" else few_designs(settings := EmojiSettings(image_size_px=16))
    )
    trainer: Any = SimpleNamespace(data=data, settings=TrainingSettings())
    embedded_scores({"data": to_plain(settings, all_fields=True)}, 3, trainer, tmp_path)
    [one] = asked
    assert isinstance(one.evaluators, EvaluatorSettings) and (one.seed, one.data) == (3, settings)
    through = 160 if name == "emoji" else None
    assert one.evaluators.clip.efficientnet_px == through
    assert one.evaluators.fid == ("efficientnet-lite0" if name == "emoji" else "embedded-clip")
