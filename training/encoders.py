"""Whether data that was encoded ahead fits the frozen encoders that a training names, and images of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from space.architecture import Architecture
from space.shared.plain import InputError
from training.data.base import CommonSettings
from training.data.dataset import Dataset
from training.data.encoded import EncodedSettings
from training.devices import choose_device
from training.frozen_folders import LATENTS_FOLDER, folder_digests
from training.latents import Codec, LatentSettings, check_fit, latent_space, make_codec, space_differences
from training.settings import TrainingSettings
from training.text import ClipTextEncoder


def check_size(architecture: Architecture, data: CommonSettings, latents: LatentSettings) -> None:
    """Before images are made, which can take minutes. What was encoded says itself what it is of, and a codec
    that is not there yet nothing.

    Raises:
        InputError: the network is for images of another size.
    """
    if isinstance(data, EncodedSettings):
        return
    try:
        codec = make_codec(latents, torch.device("cpu"))
    except InputError:
        return
    check_fit(architecture, data.image_size_px, latents, codec)


def check_encoders(data: Dataset, folders: Mapping[str, str], codec: Codec) -> None:
    """Raises InputError where data was encoded by others than these folders, by the fields that name them.

    An autoencoder may have another decoder: latents are of the same encoder, brought to the same scale.

    Args:
        codec: of the folder of the latents.
    """
    for field, digest in data.encoders.items():
        if folders.get(field) == digest:
            continue
        now = latent_space(codec) if field == LATENTS_FOLDER else None
        if now is None or data.latent_space is None:
            found = [f"{digest}, and {folders.get(field, 'none')} now"]
        else:
            found = space_differences(data.latent_space, now)
        if found:
            raise InputError(
                f"data: was encoded with another {field} than training.{field} names ({'; '.join(found)}); "
                "needed: the same, or mdsearch encode again"
            )


def with_images(data: Dataset, settings: TrainingSettings) -> Dataset:
    """The data set for whoever asks for its images: latents are decoded by the autoencoder that made them.

    Raises:
        InputError: the training names another one.
    """
    if not data.encoders:
        return data
    device = choose_device(settings.device)
    codec = make_codec(settings.latents, device)
    check_encoders(data, folder_digests(settings), codec)

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
