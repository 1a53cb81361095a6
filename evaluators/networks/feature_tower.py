"""An image tower over a frozen network's features, by a name that open_clip's configuration knows.

A tower that learns from fifteen hundred pictures alone says little of others; one that learned from a million
photographs tells their objects apart, and a layer over it learns what captions call them (as in Zhai et al.,
"LiT", 2022).
"""

from __future__ import annotations

from typing import Any, ClassVar

from timm.models import register_model
from torch import Tensor, nn

OVER_FEATURES = "mdsearch_over_features"
FROZEN_FEATURES = 1280  # of EfficientNet-Lite0
WIDTH_OVER_FEATURES = 128
DROPOUT = 0.5


class FeatureTower(nn.Module):
    """(B, FROZEN_FEATURES) to (B, WIDTH_OVER_FEATURES)."""

    num_features = WIDTH_OVER_FEATURES
    default_cfg: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(FROZEN_FEATURES, affine=False),
            nn.Dropout(DROPOUT),
            nn.Linear(FROZEN_FEATURES, WIDTH_OVER_FEATURES),
            nn.SiLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found

    def reset_classifier(self, classes: int) -> None:
        """There is none; open_clip asks timm towers to drop theirs."""


@register_model
def mdsearch_over_features(pretrained: bool = False, **_: Any) -> FeatureTower:
    """The tower, by its name in timm's registry."""
    if pretrained:
        raise ValueError(f"{OVER_FEATURES} has no pretrained weights of its own")
    return FeatureTower()
