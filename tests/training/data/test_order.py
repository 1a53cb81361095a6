"""Which images a step sees."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from training.data.order import BlockOrder, indices_at

COUNTS = (5, 1, 0, 9, 7, 3, 12)  # of the samples in shards


def test_an_epoch_shows_every_image_once() -> None:
    epochs = [indices_at(range(first, first + 24), 24, seed=0) for first in (0, 24)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(24))] * 2
    assert (epochs[0] != epochs[1]).any()


def test_a_batch_goes_on_in_the_next_epoch() -> None:
    """Of 10 images, places 0 to 19 are two epochs; those of the third batch of four are in both."""
    seen = indices_at(range(20), 10, seed=5)
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert (indices_at(range(8, 12), 10, seed=5) == seen[8:12]).all()
    assert (indices_at(range(8, 12), 10, seed=6) != seen[8:12]).any()


def test_the_order_of_before_places_is_kept() -> None:
    """Recorded results were trained in it."""
    assert indices_at(range(6, 14), 10, seed=5).tolist() == [5, 7, 9, 6, 6, 7, 5, 9]


@pytest.mark.parametrize("block", [1, 4, 10, 37, 1000])
def test_an_epoch_of_blocks_shows_every_sample_once(block: int) -> None:
    epochs, samples = BlockOrder(COUNTS, block).at(range(2 * 37), seed=3)
    assert epochs.tolist() == [0] * 37 + [1] * 37
    assert sorted(samples[:37]) == sorted(samples[37:]) == list(range(37))
    assert (samples[:37] != samples[37:]).any()
    assert (samples != BlockOrder(COUNTS, block).at(range(2 * 37), seed=4)[1]).any()


def test_a_block_holds_the_samples_of_shards_that_follow_each_other() -> None:
    """So few of them need be at hand."""
    counts = [10] * 20
    _, samples = BlockOrder(counts, 40).at(range(200), seed=0)
    for first in range(0, 200, 40):
        block = samples[first : first + 40]
        assert len(set(block // 10)) == 4
        assert (np.diff(block) != 1).any()
    assert len(set(samples[:40] // 10) & set(samples[40:80] // 10)) == 0


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("devices", [1, 2, 4])
def test_the_order_is_that_of_places_whoever_reads_them(workers: int, devices: int) -> None:
    """Each device takes its part of a global batch of 12, each of its workers a part of that."""
    _, whole = BlockOrder(COUNTS, 8).at(range(60), seed=1)
    seen: dict[int, int] = {}
    for device in range(devices):
        for worker in range(workers):
            order = BlockOrder(COUNTS, 8)
            for step in range(5):
                part = np.array_split(range(12 * step, 12 * (step + 1)), devices)[device]
                places = np.array_split(part, workers)[worker]
                seen |= dict(zip(places.tolist(), order.at(places, seed=1)[1].tolist(), strict=True))
    assert [seen[place] for place in range(60)] == whole.tolist()


def test_going_on_at_any_place_gives_the_tail() -> None:
    _, whole = BlockOrder(COUNTS, 8).at(range(100), seed=1)
    for place in (1, 8, 36, 37, 99):
        assert BlockOrder(COUNTS, 8).at(range(place, 100), seed=1)[1].tolist() == whole[place:].tolist()


def test_a_place_far_on_needs_no_more_than_the_first_one() -> None:
    """Memory stands for work here: one number a shard, one a sample of a block."""
    order = BlockOrder([10_000] * 15_000, 1 << 14)  # the paper's 150 million
    peaks = []
    for place in (0, 10**12):
        tracemalloc.start()
        order.at(range(place, place + 64), seed=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 2e6 and peaks[1] < 1.5 * peaks[0]
