"""Any `Architecture` as the UNet of an unmodified diffusers pipeline (`StableDiffusionPipeline` and its kin).

unet = PipelineUNet.from_pretrained("runs/mine/unet")   # that `checkpoints.save` wrote
pipeline = StableDiffusionPipeline.from_pretrained("a text-to-image model", unet=unet)
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import FrozenDict, register_to_config
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import Tensor

from space.architecture import SIZE_EMBEDDING_WIDTH, Architecture
from space.shared.plain import InputError
from space.unet import UNet


class PipelineUNet(ModelMixin, ConfigMixin):
    """Our `UNet` behind the interface of diffusers' `UNet2DConditionModel`."""

    _internal_dict: FrozenDict  # the arguments of __init__, kept by ConfigMixin

    @register_to_config
    def __init__(self, architecture: Mapping[str, Any]) -> None:
        """Args: architecture: what its YAML holds, as plain data (`Architecture.to_plain`)."""
        super().__init__()
        self.unet = UNet(Architecture.from_plain(architecture))

    @classmethod
    def wrapping(cls, unet: UNet) -> PipelineUNet:
        """A network that is already there, not copied."""
        with torch.device("meta"):
            wrapper = cls(unet.architecture.to_plain())
        wrapper.unet = unet
        return wrapper

    @property
    def config(self) -> FrozenDict:
        """What is stored (`architecture`) and what pipelines ask for beside it."""
        a = self.unet.architecture
        asked = {
            "in_channels": a.latent_channels,
            "out_channels": a.latent_channels,
            "sample_size": a.latent_size,
            "cross_attention_dim": a.context_width,
            "time_cond_proj_dim": None,
            "addition_time_embed_dim": SIZE_EMBEDDING_WIDTH if a.size_embeddings else None,
        }
        return FrozenDict({**self._internal_dict, **asked})

    @property
    def add_embedding(self) -> SimpleNamespace | None:
        """SDXL's pipeline compares the width of its added conditions with this layer's."""
        width = self.unet.architecture.added_width
        return SimpleNamespace(linear_1=SimpleNamespace(in_features=width)) if width else None

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        *,
        added_cond_kwargs: Mapping[str, Tensor] | None = None,
        return_dict: bool = True,
        **unsupported: Any,
    ) -> UNet2DConditionOutput | tuple[Tensor]:
        """As `UNet2DConditionModel.forward`: (B, C, H, W) latents, one timestep or (B,), (B, L, S) text.

        Raises:
            InputError: for an argument of that forward which our networks have no place for (attention
                masks, ControlNet residuals, ...), unless it is None or empty.
        """
        for name, value in unsupported.items():
            if value is not None and not (isinstance(value, dict) and not value):
                raise InputError(f"{name}: not supported by PipelineUNet; allowed: None")
        timesteps = torch.as_tensor(timestep, device=sample.device).expand(sample.shape[0])
        added = added_cond_kwargs or {}
        output = self.unet(
            sample,
            timesteps,
            encoder_hidden_states,
            pooled=added.get("text_embeds"),
            sizes=added.get("time_ids"),
        )
        return UNet2DConditionOutput(sample=output) if return_dict else (output,)
