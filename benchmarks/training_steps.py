"""Networks of benchmarks.builder_networks in the loop that trains ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from benchmarks.builder_networks import Comparison, Contender, Inputs
from benchmarks.measure import wait
from space.shared.seeds import generator
from training.adamw import QuickAdamW
from training.diffusion import Diffusion, DiffusionSettings
from training.loop import TrainingLoop
from training.objectives.base import TrainedPart, TrainingObjective
from training.settings import TrainingSettings

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class LoopComparison(Comparison):
    """Of steps of training. `clock=cpu` counts what this process got of a busy machine; for one thread."""

    clock: Literal["wall", "cpu"] = "wall"
    steps: int = 2  # a round

    def seconds_of(self, loop: TrainingLoop[nn.Module], steps: int) -> float:
        clock = CLOCKS[self.clock]
        wait()
        began = clock()
        loop.train_to(loop.step + steps)
        wait()
        return clock() - began


class OnLatents(TrainingObjective[Inputs, nn.Module]):
    """What `training.objectives.diffusion` does, on random latents and text features. The field `gradient` of
    a batch holds its noise."""

    name: ClassVar[str] = "latents"

    def __init__(self, contender: Contender, c: Comparison, settings: TrainingSettings) -> None:
        self.contender, self.c, self.settings = contender, c, settings
        self.model = contender.network
        device = torch.device(c.device)
        self.diffusion = Diffusion(settings.diffusion, None, device)
        optimizer = QuickAdamW(
            self.model.parameters(),
            device,
            lr=settings.learning_rate,
            betas=(0.9, 0.999),
            weight_decay=settings.weight_decay,
        )
        self.parts = {"model": TrainedPart(self.model, optimizer)}

    def batch(self, step: int, rows: range | None = None) -> Inputs:
        a, c = self.contender.architecture, self.c
        if rows is not None and len(rows) < c.batch:  # halved where it does not fit: that is another
            raise torch.OutOfMemoryError(f"a batch of {c.batch} does not fit")
        own = generator("benchmark", step, device=torch.device(c.device))

        def normal(*shape: int) -> Tensor:
            return torch.randn((c.batch, *shape), generator=own, device=c.device)

        def whole(below: int, *shape: int) -> Tensor:
            return torch.randint(below, (c.batch, *shape), generator=own, device=c.device)

        return Inputs(
            latents=normal(a.latent_channels, c.size, c.size),
            timesteps=whole(self.settings.diffusion.timesteps),
            context=normal(a.context_length, a.context_width),
            pooled=normal(a.pooled_width) if a.pooled_width else None,
            sizes=whole(1024, a.size_embeddings) if a.size_embeddings else None,
            gradient=normal(a.latent_channels, c.size, c.size),
        )

    def loss(self, part: str, batch: Inputs) -> Tensor:
        noisy = self.diffusion.add_noise(batch.latents, batch.gradient, batch.timesteps)
        prediction = self.contender.forward(batch._replace(latents=noisy), self.c)
        return self.diffusion.loss(prediction, batch.latents, batch.gradient, batch.timesteps)

    def validation_loss(self, model: nn.Module) -> float:
        raise NotImplementedError("a benchmark holds nothing out")


def loop_of(contender: Contender, c: Comparison) -> TrainingLoop[nn.Module]:
    """In the memory format of the comparison."""
    if c.memory_format == "channels_last":
        contender.network.to(memory_format=torch.channels_last)
    contender.network.train()
    settings = TrainingSettings(batch_size=c.batch, diffusion=DiffusionSettings("v"), learning_rate=1e-4)
    return TrainingLoop(OnLatents(contender, c, settings), settings, torch.device(c.device), {})
