"""What `mdsearch encode` leaves in a folder: shards of latents and text features, and what made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from space.shared.files import replacing, write_whole
from space.shared.plain import InputError
from training.data.pixels import PREPROCESSING

ENCODING_NAME = "encoding.json"
EMPTY_NAME = "empty.safetensors"
SHARD_NAMES = "shard-*.safetensors"
LATENTS_TENSOR, FEATURES_TENSOR = (
    "latents",
    "text",
)  # tensors of a shard: (N, C, H, W), and (M, L, W) of all captions in turn
# What made the shard, and [name, captions] of each image; in one text: a second would stand in any order.
LISTED_IMAGES, MADE_BY = "images", "encoding"
STORED_DTYPES: dict[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
Stored = Literal["bf16", "fp16", "fp32"]


@dataclass(frozen=True)
class Encoding:
    """What a folder was encoded from, and by what.

    Attributes:
        data: the digest of the list of images.
        image_size_px: of the images that were encoded, made by `preprocessing`.
        encoders: digests of the encoders' folders, by the field that names each.
        precision: in which numbers are stored.
        images: of the source, those that could not be read among them.
        shard_images: in each shard but the last.
        format: of the files.
        latents: what makes them, as `training.latents.Vae.space` has it; None in earlier ones, or where it is
            not known.
    """

    data: str
    image_size_px: int
    encoders: dict[str, str]
    precision: Stored
    images: int
    shard_images: int
    preprocessing: str = PREPROCESSING
    format: int = 1
    latents: dict[str, Any] | None = None

    @property
    def shards(self) -> int:
        return -(-self.images // self.shard_images)

    @property
    def deciding(self) -> dict[str, Any]:
        """What tells two encodings apart; `latents` says no more than the encoders' digests."""
        return {name: value for name, value in vars(self).items() if name != "latents"}

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of that."""
        return hashlib.sha256(json.dumps(self.deciding, sort_keys=True).encode()).hexdigest()[:16]


def shard_path(folder: Path, number: int) -> Path:
    return folder / SHARD_NAMES.replace("*", f"{number:06}")


def write_shard(
    file: Path,
    encoding: Encoding,
    latents: Tensor,
    features: Tensor,
    names: Sequence[str],
    captions: Sequence[Sequence[str]],
) -> None:
    """Whole or not at all, and on the disk when this returns: a shard that is there is not made again."""
    from safetensors.torch import save_file

    listed = {MADE_BY: encoding.digest, LISTED_IMAGES: list(zip(names, captions, strict=True))}
    texts = {LISTED_IMAGES: json.dumps(listed)}
    with replacing(file, durable=True) as own:
        save_file(
            {LATENTS_TENSOR: latents.contiguous(), FEATURES_TENSOR: features.contiguous()},
            own,
            metadata=texts,
        )


def listed_images(shard: Any, encoding: Encoding, where: Path) -> list[tuple[str, list[str]]]:
    """Name and captions of each image of an open shard. Raises InputError where another encoding made it."""
    listed = json.loads(shard.metadata()[LISTED_IMAGES])
    if isinstance(listed, list):  # of an earlier version, which did not say what made it
        return listed
    if (made_by := listed[MADE_BY]) != encoding.digest:
        raise InputError(
            f"{where}: was made otherwise (digest {made_by}) than {ENCODING_NAME} beside it says "
            f"({encoding.digest}); deleted, mdsearch encode makes it again"
        )
    images: list[tuple[str, list[str]]] = listed[LISTED_IMAGES]
    return images


def write_encoding(folder: Path, encoding: Encoding, empty: Tensor) -> None:
    """With the features of the empty caption, (L, W)."""
    from safetensors.torch import save_file

    with replacing(folder / EMPTY_NAME) as own:
        save_file({FEATURES_TENSOR: empty.contiguous()}, own)
    write_whole(folder / ENCODING_NAME, json.dumps(vars(encoding), indent=1))


def read_encoding(folder: Path) -> Encoding | None:
    """None where the folder has none. Raises InputError for one that cannot be read."""
    try:
        plain: Mapping[str, Any] = json.loads((folder / ENCODING_NAME).read_text(encoding="utf-8"))
        return Encoding(**plain)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{folder / ENCODING_NAME}: cannot be read as an encoding: {error}") from None


def latent_shape(folder: Path) -> list[int]:
    """(C, H, W) of the latents of the first shard."""
    from safetensors import safe_open

    with safe_open(shard_path(folder, 0), framework="pt") as shard:
        shape: list[int] = shard.get_slice(LATENTS_TENSOR).get_shape()
    return shape[1:]


def read_empty(folder: Path) -> Tensor:
    """Features of the empty caption, (L, W)."""
    from safetensors.torch import load_file

    features: Tensor = load_file(folder / EMPTY_NAME)[FEATURES_TENSOR]
    return features


def latent_spread(folder: Path) -> tuple[int, float, float] | None:
    """How many latents the first shard holds, their mean and their deviation; None where it holds none."""
    from safetensors import safe_open

    with safe_open(shard_path(folder, 0), framework="pt") as shard:
        latents: Tensor = shard.get_tensor(LATENTS_TENSOR).double()
    if not latents.numel():
        return None
    return len(latents), float(latents.mean()), float(latents.std(correction=0))
