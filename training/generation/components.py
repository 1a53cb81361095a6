"""The parts of a pipeline, loaded whole: what one lacks, its library would fill at random."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from space.interchange.clipped_ddim import ClippedDDIMScheduler
from space.interchange.one_step import OneStepScheduler
from space.interchange.pipeline_autoencoder import PipelineAutoencoder
from space.interchange.pipeline_controlnet import PipelineControlNet
from space.interchange.pipeline_unet import PipelineUNet
from space.interchange.pixel_autoencoder import PixelAutoencoder
from space.interchange.t2i_adapter import PipelineT2IAdapter
from space.shared.plain import InputError
from training.pretrained import check_vocabulary, knows_words, load_whole
from training.told_apart import LOOKED_AT

LIBRARIES = ("diffusers", "transformers")
OUR_SCHEDULERS = (ClippedDDIMScheduler, OneStepScheduler)
OUR_NETWORKS = (
    PipelineUNet, PipelineControlNet, PipelineT2IAdapter, PipelineAutoencoder, PixelAutoencoder,
)  # fmt: skip
OUR_CLASSES = {kind.__name__: kind for kind in (*OUR_NETWORKS, *OUR_SCHEDULERS)}


def load_parts(folder: Path, index: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """The networks of a pipeline by name, and what else is of a class of ours, but for classes that stand
    elsewhere and folders that are missing.

    Raises:
        InputError: one lacks weights, or has them in another shape.
    """
    kinds = {name: _network_class(entry) for name, entry in index.items() if (folder / name).is_dir()}
    return {
        name: kind.from_pretrained(folder / name, local_files_only=True)
        if kind in OUR_SCHEDULERS
        else load_whole(kind, folder / name, "model", dtype=dtype)
        for name, kind in kinds.items()
        if kind is not None
    }


def check_text(components: Mapping[str, Any]) -> None:
    """That captions reach every text encoder.

    Raises:
        InputError: a tokenizer of more tokens than its encoder embeds, or one that loses the captions.
    """
    for name, tokenizer in components.items():
        if not isinstance(tokenizer, transformers.PreTrainedTokenizerBase):
            continue
        encoder = name.replace("tokenizer", "text_encoder")
        if isinstance(components.get(encoder), transformers.PreTrainedModel):
            check_vocabulary(tokenizer, components[encoder], f"model: its {encoder}")
        if not knows_words(tokenizer):
            raise InputError(
                f"model: its {name} makes the same tokens of every text; needed: the vocabulary of the "
                f"{encoder}, in the folder {name!r}"
            )


def cut_text(components: Mapping[str, Any], captions: Sequence[str]) -> list[str]:
    """A line for each tokenizer that is given more than its text encoder reads, which pipelines cut."""
    lines = []
    for name, tokenizer in components.items():
        if isinstance(tokenizer, transformers.PreTrainedTokenizerBase):
            longest, read = tokenizer.model_max_length, captions[:LOOKED_AT]
            if cut := sum(len(ids) > longest for ids in tokenizer(list(read)).input_ids):
                lines.append(
                    f"warning: captions: {cut:,} of {len(read):,} are longer than the {longest} tokens that "
                    f"the {name} takes, and cut"
                )
    return lines


def _network_class(entry: Any) -> Any:
    """The class that an entry of the index names, where it is a network of a library that is known here: of
    ours by its name alone, so that no code of the folder runs."""
    if not isinstance(entry, list) or len(entry) != 2:
        return None
    if entry[1] in OUR_CLASSES:
        return OUR_CLASSES[entry[1]]
    if entry[0] not in LIBRARIES:
        return None
    kind = getattr(importlib.import_module(entry[0]), str(entry[1]), None)
    is_network = isinstance(kind, type) and issubclass(kind, torch.nn.Module)
    return kind if is_network and hasattr(kind, "from_pretrained") else None
