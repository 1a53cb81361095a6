"""Gradients of the whole batch, and who holds which tensors: of one process, and what others change of that.

What they wrap is a module whose `forward` is the loss, so that all that an objective trains is seen, however
it calls its networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from space.shared.plain import InputError
from training.objectives.base import TrainingObjective
from training.settings import TrainingSettings


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


def check_shares(settings: TrainingSettings, rivals: str = "") -> None:
    """Raises InputError for what workers with shares of the weights cannot do.

    Args:
        rivals: what trains two networks, if anything does.
    """
    for name, allowed in (("ema_lengths", ()), ("compile", "none"), ("memory_format", "auto")):
        value = getattr(settings, name)
        if value != allowed and value != "contiguous":
            raise InputError(
                f"training.{name}: {value} is not possible beside parallel: fsdp; allowed: "
                f"{allowed or '[]'}, or parallel: ddp"
            )
    if rivals:
        raise InputError(f"parallel: fsdp, where {rivals} trains two networks; allowed: ddp")


class LossModule(nn.Module):
    """The loss of a part as a module of what it trains."""

    def __init__(self, objective: TrainingObjective[Any, Any], name: str) -> None:
        super().__init__()
        self.trained = objective.parts[name].module
        self._loss = partial(objective.loss, name)

    def forward(self, batch: Any) -> Tensor:
        return self._loss(batch)
