"""A trial's other workers: each generates a share of the images, and they are those of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from search.peer import PeerWorker, whole_batches
from search.trial import TrialSettings, trainer_of
from space.proxy import Proxy
from tests.search.test_trial import JOB
from training.data.factory import load_data
from training.data.scenes import ScenesSettings
from training.distributed.ranks import RankGroup
from training.settings import TrainingSettings
from training.trainer import Trainer


@pytest.mark.parametrize(
    ("images", "workers", "ends"),
    [
        (200, 3, [64, 128, 200]),
        (10, 2, [0, 10]),
        (130, 1, [130]),
        (0, 2, [0, 0]),
        (640, 4, [128, 320, 448, 640]),
    ],
)
def test_shares_are_whole_batches(images: int, workers: int, ends: list[int]) -> None:
    shares = whole_batches(images, 64, workers)
    assert [share.stop for share in shares] == ends
    assert [share.start for share in shares] == [0, *ends[:-1]]


def test_shares_are_the_images_of_one(tmp_path: Path) -> None:
    training = TrainingSettings(batch_size=4, sampling_steps=2, validation_images=4, device="cpu")
    data = ScenesSettings(scenes=32, image_size_px=8)
    settings = TrialSettings(str(tmp_path), "", Proxy(), data, training)
    peer, trainer = PeerWorker(settings), trainer_of(settings, load_data(data), JOB, RankGroup())
    peer.begin(JOB, 0, None, RankGroup())
    peer.train_to(2)
    trainer.train_to(2)
    assert isinstance(trainer, Trainer)
    captions = trainer.data.held_out_captions[:5]
    whole = trainer.generate(captions, seed=3, batch_size=2)
    shares = whole_batches(5, 2, 2)
    parts = [peer.generate(captions[each.start : each.stop], each.start, 3, 2) for each in shares]
    assert [len(part) for part in parts] == [2, 3] and np.array_equal(np.concatenate(parts), whole)
