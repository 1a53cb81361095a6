"""Workers each of which holds a share of weights, gradients and moments: torch's FSDP (fully_shard)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from training.distributed.base import LossModule, Parallelism
from training.distributed.ranks import RankGroup
from training.objectives.base import TrainedPart, TrainingObjective

SHARDED_AT_ONCE = 1_000_000  # parameters of a block; one with less is gathered with what is around it


class Sharded(Parallelism):
    """The weights of a block are gathered while it is passed through. Parameters are new ones, of which the
    optimisers are told."""

    def __init__(
        self, objective: TrainingObjective[Any, Any], ranks: RankGroup, device: torch.device
    ) -> None:
        super().__init__(objective)
        mesh = init_device_mesh(device.type, (ranks.size,))
        self._wrapped: dict[str, Any] = {}
        for name, part in objective.parts.items():
            before = dict(part.module.named_parameters())
            part.module.to(memory_format=torch.contiguous_format)  # as fully_shard wants them
            for block in blocks_of(part.module):
                fully_shard(block, mesh=mesh)
            self._wrapped[name] = fully_shard(LossModule(objective, name), mesh=mesh)
            self._give_over(part, before)

    def loss(self, part: str, batch: Any, *, is_last: bool) -> Tensor:
        wrapped = self._wrapped[part]
        wrapped.set_requires_gradient_sync(is_last)
        with warnings.catch_warnings():
            # Nothing changes in place what a block returns.
            warnings.filterwarnings("ignore", message=".*returned a view tensor", category=UserWarning)
            loss: Tensor = wrapped(batch)
            return loss

    def whole(self, tensor: Tensor) -> Tensor:
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def share(self, tensor: Tensor, of: Tensor) -> Tensor:
        if not isinstance(of, DTensor) or isinstance(tensor, DTensor) or tensor.shape != of.shape:
            return tensor
        whole = tensor.detach().to(of.device).contiguous()
        return distribute_tensor(whole, of.device_mesh, of.placements, src_data_rank=None)

    def _give_over(self, part: TrainedPart, before: Mapping[str, nn.Parameter]) -> None:
        """To the optimiser: the parameters of the same names, and its moments as shares."""
        names: dict[Tensor, str] = {parameter: name for name, parameter in before.items()}
        now: dict[str, Any] = dict(part.module.named_parameters())
        optimizer = part.optimizer
        for group in optimizer.param_groups:
            group["params"] = [now[names[parameter]] for parameter in group["params"]]
        kept = {names[parameter]: state for parameter, state in optimizer.state.items()}
        optimizer.state.clear()
        for name, state in self.shares_of_moments(kept, part.module).items():
            optimizer.state[now[name]] = state


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """What stands in lists of modules, the innermost first, and is large enough to be gathered by itself."""
    lists = [each for each in module.modules() if isinstance(each, nn.ModuleList)]
    found = dict.fromkeys(block for one in reversed(lists) for block in one)
    least = max(1, SHARDED_AT_ONCE)
    return [block for block in found if sum(each.numel() for each in block.parameters()) >= least]
