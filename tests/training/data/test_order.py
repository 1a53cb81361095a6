"""Which images a step sees."""

from __future__ import annotations

import numpy as np

from training.data.order import batch_indices


def test_an_epoch_shows_every_image_once() -> None:
    epochs = [
        np.concatenate([batch_indices(24, 8, step, seed=0) for step in range(first, first + 3)])
        for first in (0, 3)
    ]
    assert [sorted(epoch) for epoch in epochs] == [list(range(24))] * 2
    assert (epochs[0] != epochs[1]).any()


def test_a_batch_goes_on_in_the_next_epoch() -> None:
    """Of 10 images, steps 0 to 4 of four see positions 0 to 19: two epochs, the third batch in both."""
    seen = np.concatenate([batch_indices(10, 4, step, seed=5) for step in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert (batch_indices(10, 4, 2, seed=5) == seen[8:12]).all()
    assert (batch_indices(10, 4, 2, seed=6) != seen[8:12]).any()
