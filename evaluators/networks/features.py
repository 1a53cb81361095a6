"""What looks at images (features, similarities), and a random network whose features see pixel noise."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from space.shared.plain import InputError

Images = np.ndarray | Sequence[np.ndarray]
"""(N, H, W, 3) uint8; or, for networks that resize by themselves, N of (H, W, 3), each in its own size."""
CHUNK = 64  # images per forward pass, always: a shape of its own may choose a kernel that rounds differently


class ImageFeatures(Protocol):
    """Images to vectors, the same whatever the batch they come in."""

    name: str
    digest: str  # of the weights, so that two runs know whether they measured by the same metric network
    width: int
    preparation: str  # how images become its input, in words: resize, filter, range

    def __call__(self, images: Images) -> np.ndarray:
        """(N, H, W, 3) uint8 to (N, width) float64. Raises ValueError on another dtype or shape."""


class TextSimilarity(Protocol):
    """How well images agree with their captions, by a network with an image and a text tower."""

    name: str
    digest: str
    preparation: str

    def text_similarity(self, images: Images, captions: Sequence[str]) -> np.ndarray:
        """(N, H, W, 3) uint8 and N captions to (N,) float64 cosines. Raises ValueError on anything else."""

    def embeddings(self, images: Images, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """What the cosines are of: (N, width) float64 of the images, and as many of their captions."""

    def too_long(self, captions: Sequence[str]) -> int:
        """How many of the captions the text tower cuts."""


@dataclass(frozen=True)
class Networks:
    """What looks at images: features for distances between sets, similarities for the CLIP scores."""

    features: tuple[ImageFeatures, ...]
    similarities: tuple[TextSimilarity, ...] = ()

    @property
    def digests(self) -> dict[str, str]:
        """Name -> digest of the weights; measurements of other weights do not merge."""
        every: list[ImageFeatures | TextSimilarity] = [*self.features, *self.similarities]
        return {network.name: network.digest for network in every}


def together(images: Sequence[np.ndarray]) -> Images:
    """Images (H, W, 3) as one array where they have one size, else as they are."""
    return np.stack(images) if len({image.shape for image in images}) == 1 else images


def check_images(images: Images) -> None:
    """Raises ValueError where these are not (N, H, W, 3) uint8 images, or a list of such, at least one."""
    if isinstance(images, (list, tuple)) and images:
        for image in images:
            check_images(image[None])
        return
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise ValueError(
            f"images must be a uint8 array, got {getattr(images, 'dtype', type(images).__name__)}"
        )
    if images.ndim != 4 or images.shape[-1] != 3 or not images.size:
        raise ValueError(f"images must have the shape (N, H, W, 3) and not be empty, got {images.shape}")


def in_chunks(
    network: Callable[[Tensor], Tensor],
    images: Images,
    prepare: Callable[[Images], Tensor] | None = None,
    chunk: int = CHUNK,
) -> np.ndarray:
    """`network` over images, always `chunk` at a time; its rows as float64.

    `prepare` makes the network's input of a chunk; (chunk, 3, H, W) float32 in [-1, 1] without one. The last
    chunk is filled up with black images, whose rows are dropped. Products are never rounded to TF32.
    """
    check_images(images)
    outputs = []
    with torch.inference_mode(), _exact_convolutions():
        for start in range(0, len(images), chunk):
            some = list(images[start : start + chunk])
            padded = together([*some, *[np.zeros_like(some[0])] * (chunk - len(some))])
            outputs.append(network((prepare or to_network)(padded))[: len(some)].double().cpu().numpy())
    return np.concatenate(outputs)


def _exact_convolutions() -> AbstractContextManager[None]:
    """On CUDA, cuDNN's convolutions in full float32, which it does not do unless asked."""
    cudnn = torch.backends.cudnn
    return cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False)


def to_network(images: Images) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [-1, 1], channels last in memory. Raises ValueError for
    images of several sizes."""
    if not isinstance(images, np.ndarray):
        raise ValueError("images of several sizes, and this network resizes none")
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of named tensors, their types and shapes."""
    sha = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.numpy().tobytes())
    return sha.hexdigest()[:16]


@dataclass(frozen=True)
class RandomConvSettings:
    """Channels of each 3x3 layer; between layers the image is halved."""

    channels: tuple[int, ...] = (32, 64, 96)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.channels or min(self.channels) < 1:
            raise InputError(f"channels: {list(self.channels)}; allowed: one layer or more, each 1 or wider")
        if self.seed < 0:
            raise InputError(f"seed: {self.seed} is not possible; allowed: 0 or more")


class RandomConv:
    """Mean activations, per channel and layer, of an untrained convolutional network.

    Trained features learn to look away from what their captions don't mention, pixel noise above all.
    Random filters look at every frequency: the first layers see noise and blur, the last ones colour and
    layout. Filters come from numpy's generator, which is the same everywhere and in every torch.
    """

    name = "random-conv"
    preparation = "as it is, to [-1, 1]"

    def __init__(self, settings: RandomConvSettings) -> None:
        rng = np.random.default_rng([settings.seed, 0xC0])
        widths = (3, *settings.channels)
        self._filters = [
            torch.from_numpy(
                (rng.standard_normal((outputs, inputs, 3, 3)) * np.sqrt(2 / (9 * inputs))).astype(np.float32)
            ).contiguous(memory_format=torch.channels_last)
            for inputs, outputs in zip(widths, settings.channels, strict=False)
        ]
        self.width = sum(settings.channels)
        self.digest = weights_digest({str(index): item for index, item in enumerate(self._filters)})

    def __call__(self, images: Images) -> np.ndarray:
        return in_chunks(self._forward, images)

    def _forward(self, x: Tensor) -> Tensor:
        means = []
        for index, filters in enumerate(self._filters):
            if index and min(x.shape[-2:]) > 1:
                x = F.avg_pool2d(x, 2)
            x = F.relu(F.conv2d(x, filters, padding=1))
            means.append(x.mean(dim=(2, 3)))
        return torch.cat(means, dim=1)
