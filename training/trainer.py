"""One candidate in training: one architecture, one data set, one seed, resumable at any step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from space.architecture import Architecture
from space.shared.seeds import derived_seed
from space.unet import UNet
from training.data.dataset import Dataset
from training.devices import choose_device
from training.diffusion import PROCESS
from training.distributed.ranks import RankGroup
from training.encoders import check_encoders
from training.execution import CompiledBlocks, OnStep, keep_activations, lay_out
from training.files import SAMPLES_NAME
from training.frozen_folders import folder_digests
from training.generation.grid import save_grid
from training.kept import KeptTraining
from training.model import Model, ModelSettings
from training.objectives.base import TrainingObjective
from training.objectives.diffusion import DiffusionObjective
from training.settings import TrainingSettings
from training.text import TEXT_HEADS
from training.told_apart import check_told_apart, unread_text

MakesObjective = Callable[[Model, Dataset, TrainingSettings, int], TrainingObjective[Any, Model]]


class Trainer(KeptTraining[Model]):
    """One candidate in training; `averaged` is what generates.

    What a step learns from derives from (seed, step) alone, and initial weights from the seed: see the
    objective.

    Args:
        network: makes the network; by default the UNet.
        identity: what a state has to be of beside architecture, data and seed.
        vocabulary: of a text encoder that is there already; None: the words of the data.
        ranks: the workers that share each batch.

    Attributes:
        parameters: of the UNet.
        compiled: blocks, if the settings say so.

    Raises:
        InputError: architecture, data and settings do not fit; or captions are the same to the text encoder;
            or nothing can be compiled here.
    """

    def __init__(
        self,
        architecture: Architecture,
        data: Dataset,
        settings: TrainingSettings,
        *,
        seed: int,
        objective: MakesObjective = DiffusionObjective,
        network: Callable[[Architecture], nn.Module] = UNet,
        identity: Mapping[str, str | int] = MappingProxyType({}),
        vocabulary: Sequence[str] | None = None,
        ranks: RankGroup | None = None,
    ) -> None:
        self.architecture, self.data, self.seed = architecture, data, seed
        device = choose_device(settings.device)
        with random_of("weights", seed):
            known = data.vocabulary if vocabulary is None else vocabulary
            model = Model(architecture, _model_settings(data, settings, known), device, network)
        check_told_apart(model.text_encoder, data.train_captions)
        with random_of("objective", seed):
            made = objective(model, data, settings, seed)
        trained = [part.module for part in made.parts.values()]
        lay_out(trained, settings.memory_format)  # averages copy the layout, too
        own: dict[str, str | int] = {"architecture": architecture.id, "data": data.digest, "seed": seed}
        own |= (folders := folder_digests(settings))
        own[PROCESS] = settings.diffusion.process
        if settings.text.encoder == "small":  # that of its heads no weight tells
            own[TEXT_HEADS] = settings.text.heads
        check_encoders(data, folders, model.codec)
        super().__init__(made, settings, device, own | dict(identity), ranks)
        self.parameters = sum(parameter.numel() for parameter in model.unet.parameters())
        keep_activations(trained, settings.checkpointing)
        self.compiled = CompiledBlocks(trained, device.type) if settings.compile == "blocks" else None

    def train_to(self, step: int, on_step: OnStep | None = None) -> None:
        """As any loop; compiling is said, and how much of a step it is."""
        if self.compiled is not None:
            on_step = self.compiled.telling(self.say, self.settings.steps, on_step)
        super().train_to(step, on_step)

    def generate(
        self, captions: Sequence[str], *, seed: int, batch_size: int = 64, first: int = 0
    ) -> np.ndarray:
        """(N, H, W, 3) uint8 by the averaged weights; image i starts from noise of (seed, i) alone. The
        captions are those of a longer series from number `first` on."""
        with self.settings.autocast(self.device):
            return self.averaged.generate(captions, seed=seed, batch_size=batch_size, first=first)

    def unread_text(self) -> list[str]:
        """What of the captions does not reach the network: a line for each reason."""
        encoder, data = self.averaged.text_encoder, self.data
        return [
            *unread_text(encoder, data.train_captions, "training captions"),
            *unread_text(encoder, data.held_out_captions, "held-out captions"),
        ]

    def save_weights(self, folder: str | Path) -> None:
        """The averaged weights, for `training.model.load_model` and `mdsearch generate`."""
        self.averaged.save(folder)

    def save_images(self, folder: Path, count: int, seed: int) -> None:
        """Of the first held-out captions, as a grid."""
        images = self.generate(self.data.held_out_captions[:count], seed=seed)
        save_grid(images, folder / SAMPLES_NAME, enlarge=max(1, min(3, 192 // images.shape[1])))


def _model_settings(data: Dataset, settings: TrainingSettings, vocabulary: Sequence[str]) -> ModelSettings:
    return ModelSettings(
        image_size_px=data.image_size_px,
        vocabulary=tuple(vocabulary),
        guidance=settings.guidance,
        sampling_steps=settings.sampling_steps,
        diffusion=settings.diffusion,
        latents=settings.latents,
        text=settings.text,
    )


@contextmanager
def random_of(purpose: str, seed: int) -> Iterator[None]:
    """Random numbers of this purpose and seed, and the global ones as they were afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(purpose, seed))
        yield
