"""Any `Architecture` as the UNet of an unmodified diffusers pipeline (`StableDiffusionPipeline` and its kin).

unet = PipelineUNet.from_pretrained("runs/mine/unet")   # that `checkpoints.save` wrote
pipeline = StableDiffusionPipeline.from_pretrained("a text-to-image model", unet=unet)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import FrozenDict, register_to_config
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from diffusers.utils.torch_utils import apply_freeu
from torch import Tensor

from space.architecture import SIZE_EMBEDDING_WIDTH, Architecture
from space.coordinates import COORDINATES, with_coordinates
from space.interchange.checkpoints import PIPELINE_UNET, write_class
from space.interchange.diffusers_config import diffusers_config
from space.interchange.ip_adapter import IPAdapterMixin
from space.interchange.lora import LoraMixin
from space.interchange.names import ADDED_CONDITIONS
from space.shared.plain import InputError
from space.unet import UNet
from space.unet_levels import Residuals, WayUp


class PipelineUNet(ModelMixin, ConfigMixin, LoraMixin, IPAdapterMixin):
    """Our `UNet` behind the interface of diffusers' `UNet2DConditionModel`."""

    _internal_dict: FrozenDict  # the arguments of __init__, kept by ConfigMixin
    _supports_gradient_checkpointing = True
    _repeated_blocks = ("TransformerLayer",)

    @register_to_config
    def __init__(self, architecture: Mapping[str, Any], coordinates: bool = False) -> None:
        """
        Args:
            architecture: what its YAML holds, as plain data (`Architecture.to_plain`).
            coordinates: whether two of its channels are coordinates, which pipelines then need not know of.
        """
        super().__init__()
        self.encoder_hid_proj = None
        self.unet = UNet(Architecture.from_plain(architecture))

    @classmethod
    def wrapping(cls, unet: UNet, *, coordinates: bool = False) -> PipelineUNet:
        """A network that is already there, not copied."""
        with torch.device("meta"):
            wrapper = cls(unet.architecture.to_plain(), coordinates)
        wrapper.unet = unet
        return wrapper

    @property
    def config(self) -> FrozenDict:
        """What is stored (`architecture`) and what pipelines ask for beside it; where diffusers has a layout
        for the architecture, all that its own config would say."""
        stored = self._internal_dict
        return FrozenDict({**_asked(self.unet.architecture, stored["coordinates"]), **stored})

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """From the `config` of another one, or what a folder stores; what follows from the architecture is
        left out."""
        if isinstance(config, Mapping):
            if "architecture" not in config:
                raise InputError("architecture: missing (required); this is not the config of a PipelineUNet")
            asked = _asked(Architecture.from_plain(config["architecture"], "architecture"), False)
            # nor does diffusers' note of what was left at a default, which an argument by position is for it
            left_out = {*asked, "_use_default_values"}
            config = {key: value for key, value in config.items() if key not in left_out}
        return super().from_config(config, return_unused_kwargs, **kwargs)

    def save_pretrained(self, save_directory: str | Path, *arguments: Any, **kwargs: Any) -> None:
        """As diffusers does, but without IP-Adapters; and the file by which a pipeline finds this class.

        Raises:
            InputError: LoRA on its layers, whose names would not be found again.
        """
        self.check_plain("save_pretrained")
        with self.network_alone():
            super().save_pretrained(  # type: ignore[misc]
                save_directory, *arguments, **kwargs
            )
        write_class(save_directory, *PIPELINE_UNET)

    @property
    def add_embedding(self) -> SimpleNamespace | None:
        """SDXL's pipeline compares the width of its added conditions with this layer's."""
        width = self.unet.architecture.added_width
        return SimpleNamespace(linear_1=SimpleNamespace(in_features=width)) if width else None

    def __getattr__(self, name: str) -> Any:
        if name in ("down_blocks", "up_blocks") and name not in self._modules:  # what scales IP-Adapters
            raise AttributeError(f"{name}: not before load_ip_adapter, nor after unload_ip_adapter")
        return super().__getattr__(name)

    # ------------------------------------------------------------------ FreeU

    def enable_freeu(self, s1: float, s2: float, b1: float, b2: float) -> None:
        """Si et al. (2023): skips scaled by s1 and s2, what comes from below by b1 and b2, in the two
        innermost levels."""
        factors = {"s1": s1, "s2": s2, "b1": b1, "b2": b2}
        for name, factor in factors.items():
            if not factor > 0:
                raise InputError(f"{name}: {factor!r} is not possible; allowed: above 0")
        for index, up in enumerate(self._ups()):
            up.reweigh = partial(apply_freeu, index, **factors)  # type: ignore[arg-type]

    def disable_freeu(self) -> None:
        for up in self._ups():
            up.reweigh = None

    def _ups(self) -> Iterator[WayUp]:
        return (module for module in self.unet.up if isinstance(module, WayUp))

    # ------------------------------------------------------------------ forward

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        *,
        timestep_cond: Tensor | None = None,
        cross_attention_kwargs: Mapping[str, Any] | None = None,
        added_cond_kwargs: Mapping[str, Tensor] | None = None,
        down_block_additional_residuals: Sequence[Tensor] | None = None,
        mid_block_additional_residual: Tensor | None = None,
        down_intrablock_additional_residuals: Sequence[Tensor] | None = None,
        return_dict: bool = True,
        **unsupported: Any,
    ) -> UNet2DConditionOutput | tuple[Tensor]:
        """As `UNet2DConditionModel.forward`: (B, C, H, W) latents, one timestep or (B,), (B, L, S) text.

        Raises:
            InputError: for an argument or a condition of that forward which our networks have no place for
                (attention masks, ...) or lack the adapter (images, their masks, scales), unless it is None
                or empty.
        """
        for name, value in unsupported.items():
            if value is not None and not (isinstance(value, dict) and not value):
                raise InputError(f"{name}: not supported by PipelineUNet; allowed: None")
        if (down_block_additional_residuals is None) != (mid_block_additional_residual is None):
            raise InputError(
                "down_block_additional_residuals, mid_block_additional_residual: ControlNet gives both; "
                "T2I-Adapter's are down_intrablock_additional_residuals"
            )
        residuals = Residuals(
            down_block_additional_residuals or (),
            mid_block_additional_residual,
            down_intrablock_additional_residuals or (),
        )
        asked = {name: value for name, value in (cross_attention_kwargs or {}).items() if value is not None}
        conditions = dict(added_cond_kwargs or {})
        context: Any = encoder_hidden_states
        if self.encoder_hid_proj is not None:
            images, masks = conditions.pop("image_embeds", None), asked.pop("ip_adapter_masks", None)
            context = self.prompt(encoder_hidden_states, images, masks)
        coordinates = self._internal_dict["coordinates"]
        with self.scaled(asked) if asked else nullcontext():
            output = self.unet(
                with_coordinates(sample, self.unet.architecture.condition_channels)
                if coordinates
                else sample,
                torch.as_tensor(timestep, device=sample.device).expand(sample.shape[0]),
                context,
                **_conditions(conditions),
                guidance=timestep_cond,
                residuals=residuals,
            )
        output = output[:, :-COORDINATES] if coordinates else output
        return UNet2DConditionOutput(sample=output) if return_dict else (output,)


def _asked(a: Architecture, coordinates: bool) -> dict[str, Any]:
    beside = COORDINATES * coordinates
    inpaints = a.condition_channels == a.latent_channels - beside + 1  # a mask, and latents with a hole
    try:
        layout = diffusers_config(a)
    except InputError:
        layout = {}
    blocks = [len(level.down) for level in a.levels]
    return {
        **{key: value for key, value in layout.items() if not key.startswith("_")},
        "in_channels": _Inputs(a.input_channels - beside) if inpaints else a.input_channels - beside,
        "out_channels": a.latent_channels - beside,
        "sample_size": a.latent_size,
        "cross_attention_dim": a.context_width,
        "layers_per_block": blocks[0] if len(set(blocks)) == 1 else _Uneven(blocks),
        "time_cond_proj_dim": a.guidance_width or None,
        "addition_time_embed_dim": SIZE_EMBEDDING_WIDTH if a.size_embeddings else None,
    }


class _Inputs(int):
    """Channels for latents, a mask and latents with a hole, of any number of latent channels. Pipelines ask
    for 9, which is that of latents with four: it is equal to that, too."""

    def __eq__(self, other: object) -> bool:
        return other == 9 or int(self) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = int.__hash__


class _Uneven(list[int]):
    """Blocks of each level. Pipelines add 1 for the way up, and count by it in scales of single layers."""

    def __add__(self, more: Any) -> Any:
        return _Uneven(number + more for number in self) if isinstance(more, int) else super().__add__(more)

    def __index__(self) -> int:
        raise InputError(
            f"scale: by layers needs as many blocks in each level, here {list(self)}; allowed: a number, or "
            "the `scale` of single attn_processors"
        )


def _conditions(added: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for name, value in added.items():
        if name not in ADDED_CONDITIONS and value is not None:
            raise InputError(
                f"added_cond_kwargs.{name}: not supported by PipelineUNet; allowed: "
                f"{', '.join(ADDED_CONDITIONS)}, and image_embeds with an IP-Adapter (load_ip_adapter)"
            )
    return {ours: added[name] for name, ours in ADDED_CONDITIONS.items() if added.get(name) is not None}
