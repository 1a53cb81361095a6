"""A supernet in training: every architecture of a space within a budget, by weights that they share."""

from __future__ import annotations

import hashlib
import json
from functools import partial

from space.architecture import Architecture
from space.budget import Budget
from space.choices import Space
from space.proxy import Proxy, narrow
from space.shared.plain import to_plain
from space.supernet import Supernet, corners
from training.data.dataset import Dataset
from training.objectives.supernet import SupernetObjective, supernet_of
from training.settings import TrainingSettings
from training.trainer import Trainer


class SupernetTrainer(Trainer):
    """Resumable as any training. `averaged` generates, and is validated, as the architecture that inherits.

    Attributes:
        largest: of the space, at the paper's scale.

    Raises:
        InputError: as `Trainer`.
    """

    def __init__(
        self,
        space: Space,
        budget: Budget,
        proxy: Proxy,
        data: Dataset,
        settings: TrainingSettings,
        *,
        seed: int,
    ) -> None:
        self.largest = corners(space)[0]
        whole = json.dumps([to_plain(part) for part in (space, budget, proxy)], sort_keys=True)
        super().__init__(
            narrow(self.largest, proxy),
            data,
            settings,
            seed=seed,
            objective=partial(SupernetObjective, space=space, budget=budget),
            network=lambda _: Supernet(space, proxy),
            identity={"space": hashlib.sha256(whole.encode()).hexdigest()[:12]},
        )

    def inherit(self, architecture: Architecture) -> None:
        """From now on the averaged model is this architecture of the space, at the paper's scale."""
        supernet_of(self.averaged).choose(architecture)
