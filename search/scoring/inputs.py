"""What a search gives to whatever scores it: images, captions, and how images were generated."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from evaluators.protocols.protocol import CaptionList, Sampling
from search.settings import SearchSettings
from search.trial import evaluation_captions
from training.data.dataset import Dataset

# as recorded: part of the protocols of earlier runs
SEEDS = "picture i from (seed, i); the seed is the trial's, a new one for each confirmation run"


def scored_captions(settings: SearchSettings, data: Dataset) -> list[str]:
    """The prompts of every evaluation."""
    return evaluation_captions(data.held_out_captions, settings.scored_images)


def as_uint8(batch: tuple[Tensor, list[str]]) -> tuple[np.ndarray, list[str]]:
    """A batch as training sees it, float (B, 3, H, W) in [-1, 1], as evaluators do: uint8 (B, H, W, 3)."""
    images, captions = batch
    return ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy(), captions


def caption_list(settings: SearchSettings, data: Dataset) -> CaptionList:
    name = f"first of the held-out captions of {settings.data.title}"
    return CaptionList.of(name, scored_captions(settings, data))


def sampling_of(settings: SearchSettings) -> Sampling:
    training = settings.training
    sampler, steps = training.diffusion.sampler, training.sampling_steps
    return Sampling(sampler, steps, training.guidance, settings.seed, SEEDS)
