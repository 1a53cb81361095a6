"""A small convolutional image tower for 32-pixel images, by a name that open_clip's configuration knows.

open_clip takes image towers that it does not know from timm's registry. Its own ResNets and ViTs throw away
most of the resolution before their first block, which costs them the shapes of objects a few pixels large.
"""

from __future__ import annotations

from typing import Any, ClassVar

from timm.models import register_model
from torch import Tensor, nn

NAME = "mdsearch_conv"
CHANNELS = (16, 32, 48, 64)
GRID = 4  # cells a side whose features are told apart, so that places can be
FEATURES = 128


class ConvTower(nn.Module):
    """(B, 3, H, W) to (B, FEATURES): 3x3 convolutions, halving from the second on, then a GRID x GRID map."""

    num_features = FEATURES
    default_cfg: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(zip((3, *CHANNELS), CHANNELS, strict=False)):
            layers.append(nn.Conv2d(inputs, outputs, 3, stride=1 if index == 0 else 2, padding=1))
            layers += [nn.GroupNorm(4, outputs), nn.SiLU()]
        self.layers = nn.Sequential(*layers)
        self.grid = nn.AdaptiveAvgPool2d(GRID)
        self.out = nn.Linear(CHANNELS[-1] * GRID * GRID, FEATURES)
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.out(self.grid(self.layers(x)).flatten(1)))

    def reset_classifier(self, classes: int) -> None:
        """There is none; open_clip asks timm towers to drop theirs."""


@register_model
def mdsearch_conv(pretrained: bool = False, **_: Any) -> ConvTower:
    """The tower, by its name in timm's registry."""
    if pretrained:
        raise ValueError(f"{NAME} has no pretrained weights of its own")
    return ConvTower()
