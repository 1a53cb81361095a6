"""How batches are divided among workers, and those shares into micro-batches."""

from __future__ import annotations

import pytest

from space.shared.plain import InputError
from training.distributed.ranks import RankGroup
from training.micro_batches import MicroBatch, MicroBatches
from training.settings import TrainingSettings


def parts(batch_size: int, micro_batch: int | None, rank: int = 0, size: int = 1) -> list[MicroBatch]:
    settings = TrainingSettings(batch_size=batch_size, micro_batch=micro_batch)
    return MicroBatches(settings, RankGroup(rank, size)).parts()


def test_one_worker_takes_all_in_parts() -> None:
    assert parts(8, None) == [MicroBatch(range(8), 1.0, True)]
    assert parts(8, 3) == [
        MicroBatch(range(3), 3 / 8, False),
        MicroBatch(range(3, 6), 3 / 8, False),
        MicroBatch(range(6, 8), 2 / 8, True),
    ]


def test_a_worker_with_fewer_parts_than_others_takes_its_last_image_again_for_nothing() -> None:
    assert parts(5, 2, 0, 2) == [MicroBatch(range(2), 2 / 5, False), MicroBatch(range(1, 2), 0.0, True)]
    assert parts(5, 2, 1, 2) == [MicroBatch(range(2, 4), 2 / 5, False), MicroBatch(range(4, 5), 1 / 5, True)]


@pytest.mark.parametrize("batch_size", [7, 8, 30])
@pytest.mark.parametrize("micro_batch", [None, 1, 2, 5])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_all_rows_are_taken_once_in_as_many_parts_by_each(
    batch_size: int, micro_batch: int | None, size: int
) -> None:
    of_all = [parts(batch_size, micro_batch, rank, size) for rank in range(size)]
    taken = [row for own in of_all for part in own if part.share for row in part.rows]
    assert taken == list(range(batch_size))
    assert len({len(own) for own in of_all}) == 1 and all(len(part.rows) for own in of_all for part in own)
    assert sum(part.share for own in of_all for part in own) == pytest.approx(1)
    assert all([part.is_last for part in own] == [False] * (len(own) - 1) + [True] for own in of_all)


def test_more_workers_than_images_are_refused() -> None:
    with pytest.raises(InputError, match=r"workers: 4 share batches of 3 images .*at most 3"):
        parts(3, None, 0, 4)


def test_memory_that_ran_out_halves_what_a_worker_takes_once() -> None:
    halved = MicroBatches(TrainingSettings(batch_size=20), RankGroup(0, 3))  # shares of 6 and 7
    assert halved.can_halve(MemoryError()) and halved.halved() == 4
    halved.shrink(4)
    assert (halved.most, halved.is_halved) == (4, True) and not halved.can_halve(MemoryError())
    single = MicroBatches(TrainingSettings(batch_size=3), RankGroup(0, 3))
    assert not single.can_halve(MemoryError()) and not halved.can_halve(ValueError())
