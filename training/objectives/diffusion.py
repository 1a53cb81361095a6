"""Learning to take noise away: the objective of a search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from space.shared.seeds import generator
from training.adamw import QuickAdamW
from training.data.dataset import Dataset, Examples
from training.devices import moved
from training.model import Model
from training.objectives.base import TrainedPart, TrainingObjective
from training.objectives.by_timestep import ByTimestep, LossByTimestep
from training.settings import TrainingSettings
from training.text import Tokens

# Images: of a batch that many workers share, the one that validates could not hold all.
VALIDATED_AT_ONCE = 64


class DiffusionBatch(NamedTuple):
    """What one step learns from."""

    images: Tensor  # (B, 3, image size, image size) in [-1, 1]; latents if they were encoded ahead
    tokens: Tokens | Tensor  # of the captions, "" where they are dropped; their features if they were, too
    noise: Tensor  # (B, C, H, W) as the latents
    timesteps: Tensor  # (B,)


class DiffusionObjective(TrainingObjective[DiffusionBatch, Model]):
    """The error of the network's prediction at random noise levels.

    Images, noise, timesteps and dropped captions derive from (seed, step) alone: two architectures with one
    seed see the same in the same order.
    """

    name: ClassVar[str] = "diffusion"

    def __init__(self, model: Model, data: Dataset, settings: TrainingSettings, seed: int) -> None:
        self.model, self.data, self.settings, self.seed = model, data, settings, seed
        optimizer = QuickAdamW(
            model.parameters(),
            model.device,
            lr=settings.learning_rate,
            betas=(settings.betas[0], settings.betas[1]),
            weight_decay=settings.weight_decay,
        )
        self.parts = {"model": TrainedPart(model, optimizer)}
        self._by_timestep = LossByTimestep(settings.diffusion.timesteps)

    def batch(self, step: int, rows: range | None = None) -> DiffusionBatch:
        s, device = self.settings, self.model.device
        part = range(s.batch_size) if rows is None else rows
        first, cut = step * s.batch_size, slice(part.start, part.stop)
        examples = self.data.examples(range(first + part.start, first + part.stop), self.seed)
        # Of the whole batch, so that it is the same however it is divided.
        own = generator("step", self.seed, step, device=device)
        noise = torch.randn((s.batch_size, *self.model.latent_shape), generator=own, device=device)[cut]
        if len(part) < s.batch_size:
            noise = noise.clone()  # or all of the batch's would stay in memory with it
        timesteps = torch.randint(s.diffusion.timesteps, (s.batch_size,), generator=own, device=device)[cut]
        dropped = torch.rand(s.batch_size, generator=own, device=device)[cut] < s.caption_dropout
        tokens = self._tokens(examples, dropped.tolist())
        return DiffusionBatch(moved(examples.inputs, device), tokens, noise, timesteps)

    def loss(self, part: str, batch: DiffusionBatch) -> Tensor:
        losses = self._losses(self.model, batch)
        self._by_timestep.add(batch.timesteps, losses)
        return losses.mean()

    def by_timestep(self) -> ByTimestep | None:
        return self._by_timestep.take()

    def validation_loss(self, model: Model) -> float:
        return self.mean_held_out(model, self._losses)

    @torch.no_grad()
    def mean_held_out(self, model: Model, losses: Callable[[Model, DiffusionBatch], Tensor]) -> float:
        """The mean of what a model makes of held-out images, each at a fixed noise level: (B,) of a batch."""
        s = self.settings
        model.eval()
        count = min(s.validation_images, len(self.data.held_out_captions))
        at_once, total = min(s.micro_batch or s.batch_size, VALIDATED_AT_ONCE), 0.0
        for start in range(0, count, s.batch_size):
            indices = range(start, min(start + s.batch_size, count))
            for batch in self._held_out(indices, count, at_once):
                total += float(losses(model, batch).mean()) * len(batch.timesteps)
        return total / count

    def _held_out(self, indices: range, count: int, at_once: int) -> Iterator[DiffusionBatch]:
        """Some at a time, with the noise that they have whatever `at_once` is."""
        s, device = self.settings, self.model.device
        own = generator("validation", indices.start, s.batch_size)
        noise = torch.randn((len(indices), *self.model.latent_shape), generator=own)
        for first in range(0, len(indices), at_once):
            part = indices[first : first + at_once]
            examples = self.data.held_out_examples(part)
            # Evenly spread over the noise levels, by steps that are prime to most counts.
            spread = [(index * 619 % count + 0.5) / count for index in part]
            timesteps = torch.tensor([int(share * s.diffusion.timesteps) for share in spread], device=device)
            tokens = self._tokens(examples, [False] * len(part))
            own_noise = noise[first : first + at_once].to(device)
            yield DiffusionBatch(moved(examples.inputs, device), tokens, own_noise, timesteps)

    def _tokens(self, examples: Examples, dropped: list[bool]) -> Tokens | Tensor:
        """What the network is told, nothing where the caption is dropped; on the device."""
        device = self.model.device
        if examples.features is not None and examples.empty is not None:
            gone = torch.tensor(dropped).view(-1, 1, 1)
            return moved(torch.where(gone, examples.empty, examples.features), device)
        kept = ["" if drop else text for drop, text in zip(dropped, examples.captions, strict=True)]
        return moved(self.model.text_encoder.tokenize(kept), device)

    def _losses(self, model: Model, batch: DiffusionBatch) -> Tensor:
        """(B,): of each image."""
        encoded = batch.tokens if isinstance(batch.tokens, Tensor) else None
        latents = batch.images if encoded is not None else model.codec.encode(batch.images)
        noisy = model.diffusion.add_noise(latents, batch.noise, batch.timesteps)
        with self.settings.autocast(model.device):
            context = model.text_encoder(batch.tokens) if encoded is None else encoded
            prediction = model(noisy, batch.timesteps, context)
        return model.diffusion.losses(prediction, latents, batch.noise, batch.timesteps)
