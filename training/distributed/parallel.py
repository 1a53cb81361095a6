"""Gradients of the whole batch from the shares of workers, each of which holds all weights: torch's DDP.

What is wrapped is a module whose `forward` is the loss, so that all that an objective trains is seen, however
it calls its networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from training.distributed.ranks import Ranks
from training.objectives.base import TrainingObjective


class Parallelism:
    """The losses of an objective's parts, and who holds which of its tensors: here one process does."""

    def __init__(self, objective: TrainingObjective[Any, Any]) -> None:
        self._objective = objective

    def loss(self, part: str, batch: Any, *, is_last: bool) -> Tensor:
        """Its backward pass adds gradients; that of the last of a batch, those of all workers, too."""
        return self._objective.loss(part, batch)

    def whole(self, tensor: Tensor) -> Tensor:
        """Of which each may hold a share. By all workers at once."""
        return tensor

    def share(self, tensor: Tensor, of: Tensor) -> Tensor:
        """What this worker holds of a whole tensor that belongs to a parameter or is one."""
        return tensor

    def shares(self, tensors: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
        """Of a module's own tensors, by name."""
        own = module.state_dict()
        return {name: self.share(each, own.get(name, each)) for name, each in tensors.items()}

    def shares_of_moments(self, kept: Mapping[str, Any], module: nn.Module) -> dict[str, dict[str, Any]]:
        """Of what an optimiser keeps of each parameter, by name."""
        own = dict(module.named_parameters())
        return {
            name: {
                key: self.share(each, own[name]) if isinstance(each, Tensor) and name in own else each
                for key, each in state.items()
            }
            for name, state in kept.items()
        }


class Replicated(Parallelism):
    """Each worker holds all. Made by all at once, which then have the first one's weights."""

    def __init__(self, objective: TrainingObjective[Any, Any], device: torch.device) -> None:
        super().__init__(objective)
        self._wrapped = {
            name: DistributedDataParallel(
                LossModule(objective, name),
                gradient_as_bucket_view=True,
                find_unused_parameters=objective.skips_parameters,
            )
            for name in objective.parts
        }
        if device.type == "cpu":
            for wrapped in self._wrapped.values():
                wrapped.register_comm_hook(None, lambda state, bucket: _mean_in_order(bucket))

    def loss(self, part: str, batch: Any, *, is_last: bool) -> Tensor:
        wrapped = self._wrapped[part]
        with nullcontext() if is_last else wrapped.no_sync():
            loss: Tensor = wrapped(batch)
            return loss


class LossModule(nn.Module):
    """The loss of a part as a module of what it trains."""

    def __init__(self, objective: TrainingObjective[Any, Any], name: str) -> None:
        super().__init__()
        self.trained = objective.parts[name].module
        self._loss = partial(objective.loss, name)

    def forward(self, batch: Any) -> Tensor:
        return self._loss(batch)


def _mean_in_order(bucket: distributed.GradBucket) -> torch.futures.Future[Tensor]:
    """Over workers, always in their order. DDP sorts gradients anew after its first step, and sums of three
    or more would change with where a gradient stands: what is resumed would end with other bits."""
    own = bucket.buffer()
    size = distributed.get_world_size()
    sent = F.pad(own, (0, -len(own) % size))
    received, mean = torch.empty_like(sent), torch.empty_like(sent)
    distributed.all_to_all_single(received, sent)
    first, *others = received.view(size, -1)
    for other in others:
        first += other
    distributed.all_gather_into_tensor(mean, first / size)
    done = torch.futures.Future[Tensor]()
    done.set_result(mean[: len(own)])
    return done


def parallelism(objective: TrainingObjective[Any, Any], ranks: Ranks, device: torch.device) -> Parallelism:
    """By all workers at once."""
    if ranks.size == 1:
        return Parallelism(objective)
    if not ranks.is_sharded:
        return Replicated(objective, device)
    from training.distributed.sharded import Sharded  # half a second, for whoever needs it

    return Sharded(objective, ranks, device)
