"""Inception-v3's 2048 pooled features, as clean-fid takes them, and as pytorch-fid does.

Both are the network of 2015 that FID was defined on. It differs from torchvision's in its pooling: averages
leave out the border (`count_include_pad=False`), and the last block takes maxima.

- clean-fid (Parmar et al., 2022): NVIDIA's TorchScript file, images resized by Pillow's bicubic filter, a
  channel at a time in float32, so that nothing is rounded and shrinking does not alias.
- pytorch-fid: a state dict, images resized inside by bilinear interpolation without anti-aliasing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from evaluators.networks.features import Images, in_chunks, weights_digest
from evaluators.networks.weights import PublishedWeights, is_torchscript, load_tensors, load_torchscript
from space.shared.plain import InputError

SIZE_PX, WIDTH = 299, 2048
CLEAN_FID = PublishedWeights(
    ("inception-2015-12-05.pt",),
    url="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
    sha256="f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
)
PYTORCH_FID = PublishedWeights(  # its name holds the first digits of its SHA-256, as torch.hub has it
    ("pt_inception-2015-12-05-6726825d.pth",),
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
)


class Inception(ABC):
    """Images to 2048 features; how they become the network's input is what the two of them differ in."""

    name: str
    preparation: str
    width = WIDTH

    def __init__(self, weights: Path, device: str = "cpu") -> None:
        self._network, self.digest = load_inception(weights, device)
        self._device, self._weights = device, weights

    def __call__(self, images: Images) -> np.ndarray:
        """(N, H, W, 3) uint8, or images of any sizes, to (N, 2048) float64."""
        chunk = 64 if self._device == "cuda" else 4  # 5.7 GMACs an image: filling up must not cost minutes
        features = in_chunks(self._network, images, self.prepare, chunk)
        if features.shape[1] != WIDTH:
            raise InputError(
                f"{self._weights}: a network of {features.shape[1]} features; needed: Inception's {WIDTH:,}"
            )
        return features

    @abstractmethod
    def prepare(self, images: Images) -> Tensor:
        """(N, H, W, 3) uint8, or images of any sizes, to (N, 3, 299, 299) float32 on the device."""


class CleanInception(Inception):
    """As clean-fid takes it: usually with its TorchScript file, always with its resize."""

    name = "inception-v3"
    preparation = "Pillow bicubic to 299 px in float32, cut to [0, 255], (x - 128) / 128; fp32"

    def prepare(self, images: Images) -> Tensor:
        with ThreadPoolExecutor(max(1, torch.get_num_threads())) as pool:  # Pillow frees the interpreter
            resized = torch.from_numpy(np.stack(list(pool.map(clean_resize, images))))
        return ((resized.permute(0, 3, 1, 2) - 128) / 128).to(self._device)


class PytorchInception(Inception):
    """As pytorch-fid takes it: resized without anti-aliasing."""

    name = "inception-v3-pytorch"
    preparation = "bilinear to 299 px without anti-aliasing, 2 x / 255 - 1; fp32"

    def prepare(self, images: Images) -> Tensor:
        if not isinstance(images, np.ndarray):
            return torch.cat([self.prepare(image[None]) for image in images])
        x = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).float() / 255
        return 2 * F.interpolate(x, (SIZE_PX, SIZE_PX), mode="bilinear", align_corners=False) - 1


def clean_resize(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 to (299, 299, 3) float32, what the filter overshoots cut to [0, 255]."""
    channels = [
        Image.fromarray(image[:, :, channel].astype(np.float32)).resize(
            (SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC
        )
        for channel in range(3)
    ]
    return np.stack([np.asarray(channel).clip(0, 255) for channel in channels], axis=2)


# ---------------------------------------------------------------------- the network


def load_inception(weights: Path, device: str = "cpu") -> tuple[Callable[[Tensor], Tensor], str]:
    """The network from its input (B, 3, 299, 299) to (B, 2048), and the digest of its weights.

    Raises:
        InputError: a file that is neither clean-fid's TorchScript nor pytorch-fid's state dict.
    """
    if is_torchscript(weights):
        script = load_torchscript(weights, device).eval()
        if not hasattr(script, "layers"):
            raise InputError(f"{weights}: a TorchScript file without `layers`, which clean-fid's has")
        return partial(_run_layers, script.layers), weights_digest(script.state_dict())
    state = load_tensors(weights)
    network = fid_inception()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"{weights}: not the state dict of pytorch-fid's Inception: {str(error)[:300]}"
        ) from None
    network.fc = nn.Identity()
    return network.eval().to(device), weights_digest(state)


def _run_layers(layers: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return layers(x).flatten(1)


def fid_inception() -> nn.Module:
    """Inception-v3 as FID has it, with 1,008 logits and weights that are not initialised to any purpose."""
    from torchvision.models import inception as tv

    class A(tv.InceptionA):
        def _forward(self, x: Tensor) -> list[Tensor]:
            return [*super()._forward(x)[:-1], self.branch_pool(_inner_average(x))]

    class C(tv.InceptionC):
        def _forward(self, x: Tensor) -> list[Tensor]:
            return [*super()._forward(x)[:-1], self.branch_pool(_inner_average(x))]

    class E(tv.InceptionE):
        pool = staticmethod(_inner_average)

        def _forward(self, x: Tensor) -> list[Tensor]:
            return [*super()._forward(x)[:-1], self.branch_pool(self.pool(x))]

    blocks = [tv.BasicConv2d, A, tv.InceptionB, C, tv.InceptionD, E, tv.InceptionAux]
    network = tv.Inception3(1008, aux_logits=False, inception_blocks=blocks, init_weights=False)
    network.Mixed_7c.pool = partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)
    return network


def _inner_average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
