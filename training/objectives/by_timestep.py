"""The loss of each quarter of the noise schedule, from losses that training computes anyway."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BUCKETS = 4
MOST_BATCHES = 4096  # kept where nobody asks


@dataclass(frozen=True)
class ByTimestep:
    """Sums over images, still where they were computed."""

    timesteps: int
    sums: Tensor  # (BUCKETS,)
    counts: Tensor  # (BUCKETS,)

    def read(self) -> dict[str, float]:
        """The mean loss by the first and the last timestep of a bucket; without those that no image fell
        into. Waits for the device."""
        sums, counts = self.sums.tolist(), self.counts.tolist()
        edges = [-(-bucket * self.timesteps // BUCKETS) for bucket in range(BUCKETS + 1)]
        return {
            f"{edges[bucket]}-{edges[bucket + 1] - 1}": sums[bucket] / counts[bucket]
            for bucket in range(BUCKETS)
            if counts[bucket]
        }


class LossByTimestep:
    """Collects the losses of images beside their timesteps: no work until it is asked, and no wait then."""

    def __init__(self, timesteps: int) -> None:
        self._timesteps = timesteps
        self._batches: list[tuple[Tensor, Tensor]] = []

    def add(self, timesteps: Tensor, losses: Tensor) -> None:
        """(B,) each."""
        if len(self._batches) < MOST_BATCHES:
            self._batches.append((timesteps, losses.detach()))

    def take(self) -> ByTimestep | None:
        """Of what was added since the last time; None: nothing."""
        batches, self._batches = self._batches, []
        if not batches:
            return None
        timesteps, losses = (torch.cat(each) for each in zip(*batches, strict=True))
        buckets = torch.arange(BUCKETS, device=timesteps.device)
        own = (timesteps * BUCKETS // self._timesteps)[:, None] == buckets
        return ByTimestep(self._timesteps, (own * losses[:, None]).sum(0), own.sum(0))
