"""What a search gives to whatever scores it: images, captions, and how images were generated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evaluators.protocols.protocol import CaptionList, Sampling
from search.prompts import evaluation_captions
from search.settings import SearchSettings
from space.shared.captions import read_captions
from space.shared.plain import InputError
from training.data.dataset import Dataset

# as recorded: part of the protocols of earlier runs
SEEDS = "picture i from (seed, i); the seed is the trial's, a new one for each confirmation run"


def scored_captions(settings: SearchSettings, data: Dataset) -> list[str]:
    """The prompts of every evaluation: held-out captions, or those of a file.

    Raises:
        InputError: a file that cannot be read, or has too few.
    """
    file, count = settings.scoring.captions, settings.scored_images
    return captions_of_file(file, count) if file else evaluation_captions(data.held_out_captions, count)


def captions_of_file(file: str, count: int) -> list[str]:
    """The first of `scoring.captions`."""
    texts = read_captions(file, "scoring.captions").texts
    if len(texts) < count:
        raise InputError(
            f"scoring.captions: {file!r} holds {len(texts):,}; needed: {count:,} (scoring.images); "
            f"nearest: scoring.images={len(texts)}"
        )
    return texts[:count]


def as_uint8(batch: tuple[Tensor, list[str]]) -> tuple[np.ndarray, list[str]]:
    """A batch as training sees it, float (B, 3, H, W) in [-1, 1], as evaluators do: uint8 (B, H, W, 3)."""
    images, captions = batch
    return ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy(), captions


def caption_list(settings: SearchSettings, data: Dataset) -> CaptionList:
    file = settings.scoring.captions
    of = f"the held-out captions of {settings.data.title}" if file is None else Path(file).name
    return CaptionList.of(f"first of {of}", scored_captions(settings, data))


def sampling_of(settings: SearchSettings) -> Sampling:
    training = settings.training
    sampler, steps = training.diffusion.sampler, training.sampling_steps
    return Sampling(sampler, steps, training.guidance, settings.seed, SEEDS)
