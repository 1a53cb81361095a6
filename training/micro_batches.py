"""How a batch is divided: into shares of workers, and those into parts whose gradients are taken at once."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from space.shared.plain import InputError
from training.distributed.ranks import RankGroup
from training.failures import is_out_of_memory
from training.settings import TrainingSettings


class MicroBatch(NamedTuple):
    """Images whose gradients are taken at once, their share of the batch's loss, and whether none follow."""

    rows: range
    share: float
    is_last: bool


class MicroBatches:
    """The parts of a batch that one worker takes.

    Attributes:
        most: images of a part.
        is_halved: since memory ran out, which it may once.

    Raises:
        InputError: some worker would have nothing to do.
    """

    def __init__(self, settings: TrainingSettings, ranks: RankGroup) -> None:
        self._batch_size, self._ranks = settings.batch_size, ranks
        self.most, self.is_halved = settings.micro_batch or settings.batch_size, False
        if ranks.size > self._batch_size:
            raise InputError(
                f"workers: {ranks.size} share batches of {self._batch_size} images (batch_size); allowed: at "
                f"most {self._batch_size}"
            )

    def parts(self) -> list[MicroBatch]:
        """All workers have as many, since each waits for the others in each: where one would have fewer, it
        takes its last image again, for nothing."""
        size, most = self._batch_size, self.most
        own = self._share(self._ranks.rank)
        rows = [range(start, min(start + most, own.stop)) for start in range(own.start, own.stop, most)]
        shares = [len(each) / size for each in rows]
        missing = ceil(self._largest_share() / most) - len(rows)
        rows, shares = rows + [own[-1:]] * missing, shares + [0.0] * missing
        lasts = [False] * (len(rows) - 1) + [True]
        return list(map(MicroBatch, rows, shares, lasts))

    def can_halve(self, error: BaseException) -> bool:
        return is_out_of_memory(error) and not self.is_halved and self._at_once() > 1

    def halved(self) -> int:
        return (self._at_once() + 1) // 2

    def shrink(self, most: int | None) -> None:
        """Memory ran out before: not again. None: it did not."""
        if most is not None and most < self.most:
            self.most, self.is_halved = most, True

    def _share(self, rank: int) -> range:
        size, workers = self._batch_size, self._ranks.size
        return range(size * rank // workers, size * (rank + 1) // workers)

    def _largest_share(self) -> int:
        return ceil(self._batch_size / self._ranks.size)

    def _at_once(self) -> int:
        return min(self.most, self._largest_share())
