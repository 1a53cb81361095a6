"""How far two images are apart to a network, by the features of several of its layers (Zhang et al., 2018).

- lpips-vgg: LPIPS itself, VGG-16 with learned weights for its channels, as torchmetrics has them.
- efficientnet-lite0: the same without learned weights, on a network whose weights come in a package.
- random: of convolutions that learned nothing, the last resort; it still looks beyond single pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evaluators.networks.efficientnet import EFFICIENTNET, find_efficientnet, load_efficientnet
from evaluators.networks.features import weights_digest
from evaluators.networks.weights import PublishedWeights, WeightsSettings, find_weights, load_tensors
from space.shared.files import file_digest
from space.shared.plain import InputError, entry_of, nearest
from space.shared.seeds import derived_seed

PerceptualName = Literal["none", "lpips-vgg", "efficientnet-lite0", "random"]
LPIPS_VGG, RANDOM_FEATURES = "lpips-vgg", "random"
VGG16_FILE = "vgg16-397923af.pth"  # its name holds the first digits of its SHA-256, as torch.hub has it
RANDOM_WIDTHS = (16, 32, 64)
STAGES = 4  # of EfficientNet's seven: halved once to four times


class LpipsVgg:
    """(B, 3, H, W) images in [-1, 1], twice, to (B,)."""

    name = "lpips-vgg (torchmetrics' weights of its channels)"

    def __init__(self, weights: Path, device: str = "cpu") -> None:
        self.network = lpips_vgg(weights).to(device)
        self.digest = weights_digest(self.network.state_dict())

    def __call__(self, images: Tensor, others: Tensor) -> Tensor:
        distance: Tensor = self.network(images, others)
        return distance.flatten()


def lpips_vgg(weights: Path) -> nn.Module:
    """torchmetrics' LPIPS with torchvision's VGG-16 of a file; the caller's random state is left alone.

    Raises:
        InputError: other weights.
    """
    from torchmetrics.functional.image.lpips import _LPIPS

    state = load_tensors(weights)
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = _LPIPS(pretrained=True, net="vgg", pnet_rand=True)
    own = {name: tensor for name, tensor in network.state_dict().items() if name.startswith("net.slice")}
    try:  # "net.slice2.5.weight" is "features.5.weight" there
        given = {name: state[f"features.{name.split('.', 2)[2]}"] for name in own}
        network.load_state_dict(given, strict=False)
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{weights}: not the weights of torchvision's VGG-16: {str(error)[:200]}") from None
    return network.eval().requires_grad_(False)


class FeatureDistance:
    """Mean over layers of the squared differences of features, each pixel's brought to length 1.

    Args:
        features: (B, 3, H, W) images in [-1, 1] to those of each layer.
    """

    def __init__(self, name: str, network: nn.Module, features: Callable[[Tensor], list[Tensor]]) -> None:
        self.name, self.digest, self.features = name, weights_digest(network.state_dict()), features

    def __call__(self, images: Tensor, others: Tensor) -> Tensor:
        pairs = zip(self.features(images), self.features(others), strict=True)
        each = [(_unit(one) - _unit(other)).square().sum(1).flatten(1).mean(1) for one, other in pairs]
        return torch.stack(each).mean(0)


def _unit(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=1, eps=1e-6)


def _of_efficientnet(weights: WeightsSettings, device: str) -> FeatureDistance:
    network = load_efficientnet(find_efficientnet(weights)).to(device).requires_grad_(False)

    def features(images: Tensor) -> list[Tensor]:
        x = network.bn1(network.conv_stem((images * 127.5 + 0.5) / 128))  # type: ignore[operator]
        found = []
        for stage in list(network.blocks)[:STAGES]:  # type: ignore[arg-type]
            x = stage(x)
            found.append(x)
        return found

    return FeatureDistance(f"{EFFICIENTNET}, stages 1 to {STAGES}, lengths 1", network, features)


def _of_random(weights: WeightsSettings, device: str) -> FeatureDistance:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed("perceptual", 0))
        layers = [
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
            for inputs, outputs in zip((3, *RANDOM_WIDTHS), RANDOM_WIDTHS, strict=False)
        ]
    network = nn.Sequential(*layers).to(device).requires_grad_(False)

    def features(images: Tensor) -> list[Tensor]:
        found, x = [], images
        for layer in network:
            x = F.relu(layer(x))
            found.append(x)
        return found

    return FeatureDistance(f"random convolutions of {RANDOM_WIDTHS} channels, lengths 1", network, features)


def _of_lpips(weights: WeightsSettings, device: str) -> LpipsVgg:
    from torchvision.models import VGG16_Weights

    published = PublishedWeights((VGG16_FILE,), url=VGG16_Weights.IMAGENET1K_V1.url)
    file = find_weights(LPIPS_VGG, published, weights)
    if LPIPS_VGG not in weights.files:
        _check_digest(file)
    return LpipsVgg(file, device)


def _check_digest(file: Path) -> None:
    found, first = file_digest(file).hex(), Path(VGG16_FILE).stem.partition("-")[2]
    if not found.startswith(first):
        raise InputError(f"{LPIPS_VGG}: {file} has the SHA-256 {found}, not {first}...; remove it")


PERCEPTUAL: Mapping[str, Callable[[WeightsSettings, str], LpipsVgg | FeatureDistance]] = {
    LPIPS_VGG: _of_lpips,
    EFFICIENTNET: _of_efficientnet,
    RANDOM_FEATURES: _of_random,
}


def check_files(weights: WeightsSettings, used: Sequence[str]) -> None:
    """Raises InputError for a file of a network that nothing here looks through."""
    for name in weights.files:
        if name not in used:
            raise InputError(f"weights.files.{name}: has no effect here; {nearest(name, used)}")


def perceptual_network(
    name: str, weights: WeightsSettings, device: str = "cpu"
) -> LpipsVgg | FeatureDistance:
    """One by its name. Raises InputError for a name that there is not, or weights that are missing."""
    return entry_of(PERCEPTUAL, name, "perceptual")(weights, device)
