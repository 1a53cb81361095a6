"""The running mean of a model's weights, in a copy of it."""

from __future__ import annotations

import copy
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from training.distributed.base import Parallelism

Averaged = TypeVar("Averaged", bound=nn.Module)


class WeightAverage(Generic[Averaged]):
    """An exponential moving average. Its memory grows with the steps taken: the start is forgotten.

    Where workers hold shares of the trained weights, each averages its own; the copy has all of them after
    `gather`.

    Attributes:
        model: the copy.
    """

    def __init__(self, trained: Averaged, decay: float) -> None:
        self.model = copy.deepcopy(trained).requires_grad_(False)
        self._decay, self._shares = decay, list[Any]()
        self._held_by: Parallelism | None = None
        # Listed once: walking through the modules would take a small network a tenth of a step.
        self._averaged: list[Tensor] = list(self.model.parameters())
        self._trained: list[Any] = list(trained.parameters())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After step number `step`, from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        averaged, trained = self._averaged, self._trained
        if self._shares:
            averaged, trained = ([each.to_local() for each in some] for some in (self._shares, trained))
        torch._foreach_lerp_(averaged, trained, 1 - decay)

    def share(self, trained: nn.Module, held: Parallelism) -> None:
        """Of a model whose weights are shares now."""
        self._trained, self._held_by = list(trained.parameters()), held
        self._shares = [held.share(own, of) for own, of in zip(self._averaged, self._trained, strict=True)]

    @torch.no_grad()
    def gather(self) -> None:
        """By all workers at once."""
        if self._held_by is not None:
            for own, share in zip(self._averaged, self._shares, strict=True):
                own.copy_(self._held_by.whole(share))
