"""Workers each of which holds all weights: torch's DistributedDataParallel."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from training.distributed.base import LossModule, Parallelism
from training.objectives.base import TrainingObjective


class Replicated(Parallelism):
    """Each worker holds all. Made by all at once, which then have the first one's weights."""

    def __init__(self, objective: TrainingObjective[Any, Any]) -> None:
        super().__init__(objective)
        # A step of a supernet leaves parameters out, and some networks have such as change nothing. Where
        # those may be, DDP also sums gradients as they stand from the first step on, rather than as it finds
        # them then: what is resumed goes on with the same bits.
        self._wrapped = {
            name: DistributedDataParallel(
                LossModule(objective, name), gradient_as_bucket_view=True, find_unused_parameters=True
            )
            for name in objective.parts
        }

    def loss(self, part: str, batch: Any, *, is_last: bool) -> Tensor:
        wrapped = self._wrapped[part]
        with nullcontext() if is_last else wrapped.no_sync():
            loss: Tensor = wrapped(batch)
            return loss
