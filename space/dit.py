"""DiT (Peebles and Xie, 2022), the pure transformer of Table 1: dataclass, module, closed-form cost.

Class-conditional, adaLN-zero, as in the official code. It is a point of comparison, not of the search
space, so it has its own small dataclass beside `Architecture`.
Shapes: B batch, C latent channels, D width, N tokens (patches).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F

from space.blocks import Embedding, sinusoids
from space.kinds import rules
from space.kinds.rules import Cost
from space.shared.plain import InputError, from_plain
from space.shared.strict_yaml import read_yaml

TIME_SINUSOIDS = 256  # sines and cosines of a timestep, in front of the time embedding
NORM_EPS = 1e-6


@dataclass(frozen=True)
class DiT:
    """Defaults are DiT-XL/2 at 512 px (64 x 64 x 4 latents, 1024 tokens)."""

    latent_channels: int = 4
    latent_size: int = 64
    patch: int = 2
    depth: int = 28
    width: int = 1152
    heads: int = 16
    feed_forward_ratio: int = 4
    classes: int = 1000
    learned_variance: bool = True

    @classmethod
    def load(cls, path: str | Path) -> DiT:
        """From a YAML file. Raises InputError, naming the field."""
        try:
            data = read_yaml(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{path}: cannot be read as a DiT: {error}") from None
        dit = from_plain(cls, data, str(path))
        assert isinstance(dit, cls)
        return dit

    @property
    def tokens(self) -> int:
        return (self.latent_size // self.patch) ** 2

    @property
    def outputs(self) -> int:
        """Channels predicted: the noise and, with `learned_variance`, a variance for each of its channels."""
        return self.latent_channels * (2 if self.learned_variance else 1)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "learned_variance" and value < 1:
                raise InputError(f"{name}: {value} is not possible; allowed: 1 or more")
        for name, divisor in (("latent_size", "patch"), ("width", "heads")):
            if getattr(self, name) % getattr(self, divisor):
                raise InputError(
                    f"{name}: {getattr(self, name)} does not divide into {divisor} = {getattr(self, divisor)}"
                )
        if self.width % 4:
            raise InputError(
                f"width: {self.width} is not possible; allowed: multiples of 4 (sines, cosines of 2 axes)"
            )


# ---------------------------------------------------------------------- cost


def dit_price(d: DiT) -> Cost:
    """The whole network for one image, in closed form.

    The position table is fixed sines, no parameters; the label table is looked up, no MACs.
    """
    outputs = d.patch**2 * d.outputs
    total = rules.linear(d.patch**2 * d.latent_channels, d.width, d.tokens)  # patches to tokens
    total += rules.embedding(TIME_SINUSOIDS, d.width) + Cost((d.classes + 1) * d.width, 0)
    block = block_cost(d)
    total += Cost(*(d.depth * part for part in block))
    return total + rules.linear(d.width, 2 * d.width, 1) + rules.linear(d.width, outputs, d.tokens)


def block_cost(d: DiT) -> Cost:
    """adaLN (D -> 6 D, once an image), Q, K, V and out with biases, QK^T and AV, D -> r D -> D."""
    products = 2 * d.tokens * d.tokens * d.width
    hidden = d.feed_forward_ratio * d.width
    total = rules.linear(d.width, 6 * d.width, 1) + Cost(0, products, products)
    total += rules.linear(d.width, 3 * d.width, d.tokens) + rules.linear(d.width, d.width, d.tokens)
    return total + rules.linear(d.width, hidden, d.tokens) + rules.linear(hidden, d.width, d.tokens)


# ---------------------------------------------------------------------- module


class DiTBlock(nn.Module):
    """Self-attention and feed-forward, each shifted, scaled and gated by the condition. (B, N, D) kept."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.modulation = nn.Linear(width, 6 * width)
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS, elementwise_affine=False)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS, elementwise_affine=False)
        self.expand = nn.Linear(width, ratio * width)
        self.reduce = nn.Linear(ratio * width, width)
        _zero(self.modulation)  # adaLN-zero: an untrained block is the identity

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Condition: (B, D)."""
        modulation = self.modulation(F.silu(condition))[:, None].chunk(6, dim=2)
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation
        x = x + gate1 * self._attend(_modulated(self.norm1(x), shift1, scale1))
        h = F.gelu(self.expand(_modulated(self.norm2(x), shift2, scale2)), approximate="tanh")
        return x + gate2 * self.reduce(h)

    def _attend(self, x: Tensor) -> Tensor:
        split = self.query_key_value(x).unflatten(2, (3, self.heads, -1))  # (B, N, 3, heads, D / heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class DiTNetwork(nn.Module):
    """The network that a `DiT` describes. Untrained, it predicts zero."""

    positions: Tensor

    def __init__(self, dit: DiT) -> None:
        super().__init__()
        self.dit = dit
        self.patches = nn.Conv2d(dit.latent_channels, dit.width, dit.patch, stride=dit.patch)
        self.register_buffer(
            "positions", _positions(dit.latent_size // dit.patch, dit.width), persistent=False
        )
        self.time = Embedding(TIME_SINUSOIDS, dit.width)
        self.labels = nn.Embedding(dit.classes + 1, dit.width)  # the last one: no class
        self.blocks = nn.ModuleList(
            DiTBlock(dit.width, dit.heads, dit.feed_forward_ratio) for _ in range(dit.depth)
        )
        self.norm_out = nn.LayerNorm(dit.width, eps=NORM_EPS, elementwise_affine=False)
        self.modulation_out = nn.Linear(dit.width, 2 * dit.width)
        self.out = nn.Linear(dit.width, dit.patch**2 * dit.outputs)
        _zero(self.modulation_out)
        _zero(self.out)

    def forward(self, latents: Tensor, timesteps: Tensor, labels: Tensor) -> Tensor:
        """Predict from noisy latents.

        Args:
            latents: (B, latent_channels, latent_size, latent_size).
            timesteps: (B,), from 0 to the schedule's length (1000).
            labels: (B,) class numbers; `classes` itself stands for no class.

        Returns:
            (B, outputs, latent_size, latent_size): the noise, then the variance if it is learned.
        """
        condition = self.time(sinusoids(timesteps, TIME_SINUSOIDS).to(latents.dtype)) + self.labels(labels)
        x = self.patches(latents).flatten(2).transpose(1, 2) + self.positions.to(latents.dtype)
        for block in self.blocks:
            x = block(x, condition)
        shift, scale = self.modulation_out(F.silu(condition))[:, None].chunk(2, dim=2)
        return self._as_map(self.out(_modulated(self.norm_out(x), shift, scale)))

    def _as_map(self, tokens: Tensor) -> Tensor:
        """(B, N, patch^2 * outputs) -> (B, outputs, H, W)."""
        side, patch = self.dit.latent_size // self.dit.patch, self.dit.patch
        grid = tokens.unflatten(2, (patch, patch, -1)).unflatten(1, (side, side))
        return grid.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale) + shift


def _zero(layer: nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def _positions(side: int, width: int) -> Tensor:
    """(1, side^2, width) fixed sines: the first half of the channels tells the column, the second the row."""
    frequencies = 10_000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angle = torch.arange(side, dtype=torch.float64)[:, None] * frequencies
    axis = torch.cat([angle.sin(), angle.cos()], dim=1)  # (side, width / 2)
    columns = axis[None].expand(side, -1, -1)
    rows = axis[:, None].expand(-1, side, -1)
    return torch.cat([columns, rows], dim=2).reshape(1, side * side, width).float()
