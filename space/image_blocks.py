"""The blocks that only an autoencoder has; B batch, C channels, H x W feature map, N = H * W tokens."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from space.blocks import IMAGE_EPS


class PlainBlock(nn.Module):
    """TAESD's block: three 3x3 convolutions with relu, no norm: (B, inputs, H, W) -> (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv3 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))
        return F.relu(self.shortcut(x) + h)


class MapAttention(nn.Module):
    """SD's attention in the middle of its autoencoder: one head over all pixels, added to its input."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=IMAGE_EPS)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        h = self.out(self._attended(self.norm(x).flatten(2).transpose(1, 2)))
        return x + h.transpose(1, 2).unflatten(2, x.shape[-2:])

    def _attended(self, tokens: Tensor) -> Tensor:
        """(B, N, C) in and out; kernels ask for a dimension of heads."""
        query, key, value = (each(tokens).unsqueeze(1) for each in (self.query, self.key, self.value))
        return F.scaled_dot_product_attention(query, key, value).flatten(1, 2)


class PaddedDownsample(nn.Conv2d):
    """Stride-2 3x3 convolution, padded at the right and below alone: (B, C, H, W) -> (B, C, H / 2, W / 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class NormedConv(nn.Module):
    """Group norm, swish and a 3x3 convolution: (B, inputs, H, W) -> (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, inputs, eps=IMAGE_EPS)
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.silu(self.norm(x)))
