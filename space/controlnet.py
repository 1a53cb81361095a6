"""ControlNet (Zhang et al., 2023) for any `Architecture`: a copy of its half that leads down, with an image.

What it gives is added to the network's skip connections and behind its middle, or, where there is none,
behind its last level down. Convolutions around the copy start at zero, so a fresh one changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from space.architecture import Architecture
from space.shared.plain import InputError
from space.stages import stages
from space.unet import UNet, UNetEncoder
from space.unet_levels import Residuals

CONDITION_CHANNELS = 3  # of an image in [0, 1]
EMBEDDING_WIDTHS = (16, 32, 96, 256)  # each halves the image once more, but for the first


def embedding_widths(factor: int) -> tuple[int, ...]:
    """For latents whose pixels are `factor` image pixels a side. Raises InputError."""
    if factor < 1 or factor & (factor - 1):
        raise InputError(f"latents.factor: {factor}; ControlNet halves its image: powers of two alone")
    widths = [*EMBEDDING_WIDTHS, *[EMBEDDING_WIDTHS[-1]] * factor.bit_length()]
    return tuple(widths[: factor.bit_length()])


def controlled(architecture: Architecture) -> Architecture:
    """What a ControlNet copies of a network: it sees noisy latents alone, and no guidance scale."""
    return replace(architecture, condition_channels=0, guidance_width=0)


class ConditionEmbedding(nn.Module):
    """An image to a map of the latents' size, by convolutions of which the last starts at zero."""

    def __init__(self, widths: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(CONDITION_CHANNELS, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for inner, outer in pairwise(widths):
            self.blocks.append(nn.Conv2d(inner, inner, 3, padding=1))
            self.blocks.append(nn.Conv2d(inner, outer, 3, padding=1, stride=2))
        self.conv_out = _at_zero(nn.Conv2d(widths[-1], outputs, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        x = F.silu(self.conv_in(image))
        for block in self.blocks:
            x = F.silu(block(x))
        embedded: Tensor = self.conv_out(x)
        return embedded


class ControlNet(UNetEncoder):
    """For networks of an architecture; `widths` are those of the image's embedding."""

    def __init__(self, architecture: Architecture, widths: tuple[int, ...] = EMBEDDING_WIDTHS) -> None:
        own = controlled(architecture)
        super().__init__(own)
        self.widths = widths
        self.embedding = ConditionEmbedding(widths, own.levels[0].channels)
        left = [stage.outputs for stage in stages(own) if stage.skip == "push"]
        self.skips = nn.ModuleList(_at_zero(nn.Conv2d(width, width, 1)) for width in left)
        deepest = own.levels[-1].channels
        self.end = _at_zero(nn.Conv2d(deepest, deepest, 1))

    def begin_as(self, unet: UNet) -> None:
        """With a network's weights. Raises InputError where it is of another architecture."""
        weights = unet.state_dict()
        for name, own in self.state_dict().items():
            if name.startswith(("embedding.", "skips.", "end.")):
                continue
            given = weights.get(name)
            if name == "conv_in.weight" and given is not None:  # without what enters beside the latents
                given = given[:, : unet.architecture.latent_channels]
            if given is None or given.shape != own.shape:
                there = "missing" if given is None else str(list(given.shape))
                raise InputError(f"{name}: {there} in the network, {list(own.shape)} in its ControlNet")
            own.copy_(given)

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        context: Tensor,
        condition: Tensor,
        pooled: Tensor | None = None,
        sizes: Tensor | None = None,
    ) -> Residuals:
        """For a network that is given the same.

        Args:
            condition: (B, 3, H, W) image in [0, 1], as large as what the latents are of.

        Raises:
            InputError: an image of another size.
        """
        x, embedded = self.conv_in(latents), self.embedding(condition)
        if embedded.shape[-2:] != x.shape[-2:]:
            raise InputError(
                f"condition: {list(condition.shape[-2:])} px make a map of {list(embedded.shape[-2:])}, but "
                f"the latents are {list(x.shape[-2:])}"
            )
        time = self.embedded(latents, timesteps, pooled, sizes)
        left = self.way_down(x + embedded, time, context)
        end = self.through_middle(left[-1], time, context)
        return Residuals([conv(each) for conv, each in zip(self.skips, left, strict=True)], self.end(end))


def _at_zero(layer: nn.Conv2d) -> nn.Conv2d:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
