"""T2I-Adapters (Mou et al., 2023) for any `Architecture`: diffusers' own where it has one of that shape.

An adapter makes a map of the image for each level down. It is added before a level's downsampling
where the level has transformer layers, and after it where it has none, as in diffusers' UNet; so maps shrink
from one to the next by 1, 2 or 4. diffusers' `full_adapter` halves each, `full_adapter_xl` the third alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from diffusers import ModelMixin, T2IAdapter
from diffusers.configuration_utils import register_to_config
from diffusers.models.adapter import AdapterBlock
from torch import Tensor, nn

from space.architecture import Architecture
from space.controlnet import CONDITION_CHANNELS
from space.interchange.checkpoints import write_class
from space.interchange.weight_files import write_network

RES_BLOCKS = 2  # of a level
PIPELINE_T2I = ("space.interchange.t2i_adapter", "PipelineT2IAdapter")
STOCK_T2I = ("diffusers", "T2IAdapter")


class PipelineT2IAdapter(T2IAdapter):
    """Layers and names of diffusers' `full_adapter`, but each level halves its map as often as is said."""

    @register_to_config
    def __init__(
        self,
        in_channels: int = CONDITION_CHANNELS,
        channels: Sequence[int] = (320, 640, 1024),
        halvings: Sequence[int] = (0, 0, 1),
        num_res_blocks: int = RES_BLOCKS,
        downscale_factor: int = 16,
    ) -> None:
        """
        Args:
            halvings: of each level's map from the one before it; the first one's are in `downscale_factor`.
        """
        ModelMixin.__init__(self)  # type: ignore[arg-type]  # not the layers of a T2IAdapter
        self.adapter = _Levels(in_channels, channels, halvings, num_res_blocks, downscale_factor)

    def save_pretrained(self, save_directory: str | Path, *arguments: object, **kwargs: object) -> None:
        """As diffusers does, and the file by which a pipeline finds this class."""
        super().save_pretrained(save_directory, *arguments, **kwargs)  # type: ignore[misc]
        write_class(save_directory, *PIPELINE_T2I)


class _Levels(nn.Module):
    def __init__(
        self, inputs: int, channels: Sequence[int], halvings: Sequence[int], blocks: int, factor: int
    ) -> None:
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(factor)
        self.conv_in = nn.Conv2d(inputs * factor**2, channels[0], 3, padding=1)
        self.body = nn.ModuleList()
        for before, width, times in zip([channels[0], *channels], channels, halvings, strict=False):
            block: Any = AdapterBlock(before, width, blocks)
            if times:
                block.downsample = nn.Sequential(*[nn.AvgPool2d(2, 2, ceil_mode=True) for _ in range(times)])
            self.body.append(block)
        self.total_downscale_factor = factor * 2 ** sum(halvings)

    def forward(self, image: Tensor) -> list[Tensor]:
        x, maps = self.conv_in(self.unshuffle(image)), list[Tensor]()
        for block in self.body:
            x = block(x)
            maps.append(x)
        return maps


def t2i_adapter(architecture: Architecture, factor: int, res_blocks: int = RES_BLOCKS) -> T2IAdapter:
    """A new one, which gives zeros whatever the image, for latents whose pixels are `factor` image pixels a
    side. diffusers' own begin at random, so that a network with one gives something else from the start."""
    sizes = _halvings(architecture)
    steps = [after - before for before, after in pairwise(sizes)]
    channels = [level.channels for level in architecture.levels]
    common: dict[str, Any] = {
        "in_channels": CONDITION_CHANNELS,
        "channels": channels,
        "num_res_blocks": res_blocks,
        "downscale_factor": factor * 2 ** sizes[0],
    }
    if all(step == 1 for step in steps):
        adapter: Any = T2IAdapter(**common, adapter_type="full_adapter")
    elif steps == [0, 1, 0, 0, 0, 0, 0][: len(steps)] and len(set(channels[2:])) <= 1:
        adapter = T2IAdapter(**common, adapter_type="full_adapter_xl")
    else:
        adapter = PipelineT2IAdapter(**common, halvings=[0, *steps])
    nn.init.zeros_(adapter.adapter.conv_in.weight)
    for name, parameter in adapter.named_parameters():
        if name.endswith(".bias"):
            nn.init.zeros_(parameter)
    return adapter


def _halvings(a: Architecture) -> list[int]:
    """How often the latents are halved where each level's map is added."""
    last = len(a.levels) - 1
    return [index + (index < last and not any(level.down)) for index, level in enumerate(a.levels)]


def save_t2i_adapter(adapter: Any, folder: str | Path) -> tuple[str, str]:
    """Write a folder that `from_pretrained` of its class reads; returns module and class, as a pipeline's
    index names them. Raises InputError where it cannot be written."""
    kind = type(adapter)
    config = {name: value for name, value in adapter.config.items() if not name.startswith("_")}
    write_network(Path(folder), {"_class_name": kind.__name__, **config}, adapter.state_dict())
    if kind is T2IAdapter:
        return STOCK_T2I
    write_class(folder, *PIPELINE_T2I)
    return PIPELINE_T2I
