"""What tells images from reconstructions: pix2pix's patches (Isola et al., 2017), and both sides' losses.

Norms are of groups, not of batches: a real and a fake batch then mean the same, however they are divided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import gcd, inf
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from space.shared.plain import InputError, check_choices

FEWEST_IMAGES = 256  # of fewer a discriminator knows each by heart
NORM_GROUPS = 32


@dataclass(frozen=True)
class AdversarialSettings:
    """The term by which a discriminator judges reconstructions, from step number `from_step` on.

    With `adaptive` its weight is multiplied by how much larger the gradient of the other terms is at the
    decoder's last convolution (Esser et al., 2021).
    """

    kind: Literal["none", "hinge", "non_saturating"] = "none"
    weight: float = 0.1
    from_step: int = 250
    adaptive: bool = True
    width: int = 64
    layers: int = 3
    learning_rate: float = 1e-4

    def __post_init__(self) -> None:
        check_choices(self)
        for name, least in (("from_step", 0), ("width", 1), ("layers", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: {least} or more")
        if not 0 <= self.weight < inf:
            raise InputError(f"weight: {self.weight} is not possible; allowed: 0 or more, finite")
        if not 0 < self.learning_rate < inf:
            raise InputError(f"learning_rate: {self.learning_rate} is not possible; allowed: above 0, finite")

    @property
    def least_px(self) -> int:
        """The side of images of which one patch is left."""
        return 3 << self.layers

    def check_data(self, images: int, size_px: int) -> None:
        """Raises InputError where there are too few images, or too small ones."""
        if self.kind == "none":
            return
        if images < FEWEST_IMAGES:
            raise InputError(
                f"adversarial.kind: {self.kind} with {images} training images, which a discriminator would "
                f"know by heart; needed: {FEWEST_IMAGES} or more, or adversarial.kind=none"
            )
        if size_px < self.least_px:
            fitting = max((layers for layers in range(1, self.layers) if 3 << layers <= size_px), default=0)
            fits = f"; images of {size_px} px take {fitting}" if fitting else ""
            raise InputError(
                f"adversarial.layers: {self.layers} needs images of {self.least_px} px or more{fits}"
            )


class PatchDiscriminator(nn.Sequential):
    """(B, 3, H, W) images in [-1, 1] to (B, 1, h, w) logits: above 0 is an image, for each patch."""

    def __init__(self, settings: AdversarialSettings) -> None:
        widths = [settings.width * min(2**layer, 8) for layer in range(settings.layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for number, (inputs, outputs) in enumerate(pairwise(widths), start=1):
            stride = 2 if number < settings.layers else 1
            layers += [
                nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1, bias=False),
                nn.GroupNorm(gcd(NORM_GROUPS, outputs), outputs),
                nn.LeakyReLU(0.2),
            ]
        super().__init__(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))


class AdversarialLoss(NamedTuple):
    """From logits: of images and reconstructions for the discriminator, of these alone for the decoder."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def _hinge(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def _logistic(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())


ADVERSARIAL_LOSSES: Mapping[str, AdversarialLoss] = {
    "hinge": AdversarialLoss(_hinge, lambda fake: -fake.mean()),
    "non_saturating": AdversarialLoss(_logistic, lambda fake: F.softplus(-fake).mean()),
}
