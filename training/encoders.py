"""Whether data that was encoded ahead fits the frozen encoders that a training names, and images of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from space.shared.plain import InputError
from training.data.dataset import Dataset
from training.devices import choose_device
from training.frozen_folders import folder_digests
from training.latents import make_codec
from training.settings import TrainingSettings
from training.text import ClipTextEncoder


def check_encoders(data: Dataset, folders: Mapping[str, str]) -> None:
    """Raises InputError where the data was encoded by others than these folders, by the fields that name
    them."""
    for field, digest in data.encoders.items():
        if folders.get(field) != digest:
            raise InputError(
                f"data: was encoded with another {field} ({digest}) than training.{field} names "
                f"({folders.get(field, 'none')}); needed: the same, or mdsearch encode again"
            )


def with_images(data: Dataset, settings: TrainingSettings) -> Dataset:
    """The data set for whoever asks for its images: latents are decoded by the autoencoder that made them.

    Raises:
        InputError: the training names another one.
    """
    if not data.encoders:
        return data
    check_encoders(data, folder_digests(settings))
    device = choose_device(settings.device)
    codec = make_codec(settings.latents, device)

    def decode(latents: Tensor) -> Tensor:
        return codec.decode(latents.to(device)).float().cpu()

    return data.decoded_by(decode)


def frozen_parts_of(settings: TrainingSettings) -> list[Callable[[], object]]:
    """What loads each of the folders that a training names. Each raises InputError where it cannot."""
    looks: list[Callable[[], object]] = []
    text = settings.text.folder
    if settings.latents.codec == "vae":
        looks.append(lambda: make_codec(settings.latents, torch.device("cpu")))
    if settings.text.encoder == "clip" and text is not None:
        looks.append(lambda: ClipTextEncoder(text, 0, 0, is_read=False))
    return looks
