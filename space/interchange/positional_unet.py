"""A UNet as exporters and runtimes call it: its further conditions, as far as it has them, by position."""

from __future__ import annotations

from torch import Tensor, nn

from space.architecture import Architecture
from space.unet import UNet

CONDITION_WIDTHS = {"pooled": "pooled_width", "sizes": "size_embeddings", "guidance": "guidance_width"}


def further_conditions(a: Architecture) -> dict[str, int]:
    """What `UNet(a)` takes beside text, by its arguments, each with its width."""
    return {name: width for name, field in CONDITION_WIDTHS.items() if (width := getattr(a, field))}


class PositionalUNet(nn.Module):
    """`first` to `third` are the further conditions in their order, each of shape (B, width)."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet, self.conditions = unet, tuple(further_conditions(unet.architecture))

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        first: Tensor | None = None,
        second: Tensor | None = None,
        third: Tensor | None = None,
    ) -> Tensor:
        given = zip(self.conditions, (first, second, third), strict=False)
        predicted: Tensor = self.unet(sample, timestep, encoder_hidden_states, **dict(given))
        return predicted
