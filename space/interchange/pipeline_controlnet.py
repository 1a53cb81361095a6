"""A ControlNet of any `Architecture` in an unmodified `StableDiffusionControlNetPipeline`.

controlnet = PipelineControlNet.from_pretrained("trained/canny/controlnet")   # that `save_controlnet` wrote
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, ModelMixin
from diffusers.configuration_utils import FrozenDict, register_to_config
from diffusers.models.controlnets.controlnet import ControlNetOutput
from torch import Tensor

from space.architecture import Architecture
from space.controlnet import CONDITION_CHANNELS, EMBEDDING_WIDTHS, ControlNet
from space.coordinates import COORDINATES, with_coordinates
from space.interchange.checkpoints import write_class
from space.interchange.controlnet_files import PIPELINE_CONTROLNET
from space.interchange.names import ADDED_CONDITIONS
from space.shared.plain import InputError, entry_of


class PipelineControlNet(ControlNetModel):
    """Our `ControlNet` behind the interface of diffusers' own, which pipelines ask it to be one of."""

    _internal_dict: FrozenDict  # the arguments of __init__, kept by ConfigMixin
    _repeated_blocks = ("TransformerLayer",)

    @register_to_config
    def __init__(
        self,
        architecture: Mapping[str, Any],
        widths: Sequence[int] = EMBEDDING_WIDTHS,
        coordinates: bool = False,
    ) -> None:
        """
        Args:
            architecture: what its YAML holds, as plain data (`Architecture.to_plain`).
            widths: of the image's embedding.
            coordinates: whether two of its channels are coordinates, which pipelines then need not know of.
        """
        ModelMixin.__init__(self)  # type: ignore[arg-type]  # not the layers of a ControlNetModel
        self.network = ControlNet(Architecture.from_plain(architecture, "architecture"), tuple(widths))

    @property
    def config(self) -> FrozenDict:
        """What is stored, and what pipelines ask for beside."""
        a, stored = self.network.architecture, self._internal_dict
        asked = {
            "in_channels": a.input_channels - COORDINATES * stored["coordinates"],
            "conditioning_channels": CONDITION_CHANNELS,
            "cross_attention_dim": a.context_width,
            "controlnet_conditioning_channel_order": "rgb",
            "global_pool_conditions": False,
        }
        return FrozenDict({**asked, **stored})

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        controlnet_cond: Tensor,
        conditioning_scale: float | Tensor = 1.0,
        *,
        added_cond_kwargs: Mapping[str, Tensor] | None = None,
        guess_mode: bool = False,
        return_dict: bool = True,
        **unsupported: Any,
    ) -> ControlNetOutput | tuple[list[Tensor], Tensor]:
        """As `ControlNetModel.forward`.

        Raises:
            InputError: for an argument of that forward which our networks have no place for.
        """
        for name, value in unsupported.items():
            if value is not None and not (isinstance(value, dict) and not value):
                raise InputError(f"{name}: not supported by PipelineControlNet; allowed: None")
        residuals = self.network(
            with_coordinates(sample) if self._internal_dict["coordinates"] else sample,
            torch.as_tensor(timestep, device=sample.device).expand(sample.shape[0]),
            encoder_hidden_states,
            controlnet_cond,
            **_named(added_cond_kwargs or {}),
        )
        end, places = residuals.middle, len(residuals.skips)
        assert end is not None
        scales = torch.ones(places + 1, device=sample.device, dtype=sample.dtype)
        if guess_mode:  # from a tenth, outside, to the whole, behind the middle
            scales = torch.logspace(-1, 0, places + 1, device=sample.device, dtype=sample.dtype)
        *down, middle = (
            residual * scale * conditioning_scale
            for residual, scale in zip([*residuals.skips, end], scales, strict=True)
        )
        if not return_dict:
            return down, middle
        return ControlNetOutput(tuple(down), middle)

    def save_pretrained(self, save_directory: str | Path, *arguments: Any, **kwargs: Any) -> None:
        """As diffusers does, and the file by which a pipeline finds this class."""
        super().save_pretrained(save_directory, *arguments, **kwargs)  # type: ignore[misc]
        write_class(save_directory, *PIPELINE_CONTROLNET)


def _named(added: Mapping[str, Tensor]) -> dict[str, Tensor]:
    given = {name: value for name, value in added.items() if value is not None}
    return {entry_of(ADDED_CONDITIONS, name, "added_cond_kwargs"): value for name, value in given.items()}
