"""By its name, how the workers of a training share it."""

from __future__ import annotations

from typing import Any

import torch

from training.distributed.base import Parallelism
from training.distributed.ddp import Replicated
from training.distributed.ranks import RankGroup
from training.objectives.base import TrainingObjective


def parallelism(
    objective: TrainingObjective[Any, Any], ranks: RankGroup, device: torch.device
) -> Parallelism:
    """By all workers at once."""
    if ranks.size == 1:
        return Parallelism(objective)
    if not ranks.is_sharded:
        return Replicated(objective)
    from training.distributed.fsdp import Sharded  # half a second, for whoever needs it

    return Sharded(objective, ranks, device)
