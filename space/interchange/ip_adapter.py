"""IP-Adapter (Ye et al., 2023) on our network, by diffusers' own projections and processors.

A file numbers its key and value layers 1, 3, 5, ... by the cross-attentions of the network that it is for, in
the order down, up, middle; even numbers are self-attentions, which only LoRA beside them uses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from textwrap import shorten
from types import SimpleNamespace
from typing import Any

import torch
from diffusers.loaders.unet import UNet2DConditionLoadersMixin
from diffusers.models.embeddings import MultiIPAdapterImageProjection
from torch import Tensor, nn

from space.blocks import Attention
from space.interchange.attention_processors import ProcessorsMixin, Prompt
from space.shared.plain import InputError

_KEY = re.compile(r"(\d+)\.(?:to_[kv]_ip\.weight|to_(?:q|k|v|out)_lora\.(?:up|down)\.weight)")
_LORA = "_lora."


class IPAdapterMixin(ProcessorsMixin):
    """What a pipeline's `load_ip_adapter`, `set_ip_adapter_scale`, `unload_ip_adapter` ask of its UNet."""

    device: torch.device
    dtype: torch.dtype

    def _load_ip_adapter_weights(self, state_dicts: Any, low_cpu_mem_usage: bool = False) -> None:
        """Replaces the adapters that are there by these: one, or a list that acts together.

        Raises:
            InputError: naming what does not fit, with nothing changed: how many cross-attentions, a layer,
                the width of the projected images.
        """
        states = state_dicts if isinstance(state_dicts, list) else [state_dicts]
        attentions = list(self._attentions())
        cross = {name: attention for name, attention in attentions if not attention.over_itself}
        if not cross:
            raise InputError("IP-Adapter: this network has no cross-attention that it could stand beside")
        if any(attention.fused is not None for _, attention in attentions):
            raise InputError("IP-Adapter: projections are fused; unfuse_qkv_projections first")
        for state in states:
            _check(state, cross, alternating=_alternating(attentions))
        levels = self.unet.architecture.levels
        like: Any = SimpleNamespace(  # of diffusers' own UNet, what its two conversions look at
            attn_processors={name: item for name, item in self.attn_processors.items() if name in cross},
            config=SimpleNamespace(
                block_out_channels=[level.channels for level in levels],
                cross_attention_dim=self.unet.architecture.context_width,
            ),
            device=self.device,
            dtype=self.dtype,
        )
        projections = [self._projection(like, state["image_proj"], low_cpu_mem_usage) for state in states]
        processors = UNet2DConditionLoadersMixin._convert_ip_adapter_attn_to_diffusers(
            like, states, low_cpu_mem_usage=low_cpu_mem_usage
        )
        for part in (*projections, *processors.values()):
            part.to(device=self.device, dtype=self.dtype)
        self.encoder_hid_proj = MultiIPAdapterImageProjection(projections)
        self.set_attn_processor(self.attn_processors | processors)

    def _load_ip_adapter_loras(self, state_dicts: Any) -> dict[int, dict[str, Tensor]]:
        """The LoRA of face adapters, which a pipeline then loads as any other; {} without."""
        like: Any = SimpleNamespace(attn_processors=self.attn_processors)
        loras: dict[int, dict[str, Tensor]] = UNet2DConditionLoadersMixin._load_ip_adapter_loras(
            like, state_dicts
        )
        return loras

    def prompt(self, text: Tensor, images: Any, masks: Any) -> Prompt:
        """Text and what the adapters make of embedded images: (B, images, D) or (B, images, L, D) of each.

        Raises:
            InputError: not one such tensor for each adapter, or of another batch, which attention would take
                for other tokens.
        """
        if images is None:
            raise InputError(
                "added_cond_kwargs.image_embeds: missing, while an IP-Adapter is loaded; pass "
                "ip_adapter_image_embeds to the pipeline, or unload_ip_adapter first"
            )
        each = [images.unsqueeze(1)] if isinstance(images, Tensor) else list(images)
        assert isinstance(self.encoder_hid_proj, MultiIPAdapterImageProjection)
        if len(each) != self.encoder_hid_proj.num_ip_adapters:
            raise InputError(
                f"added_cond_kwargs.image_embeds: {len(each)} tensors; needed: one for each of "
                f"{self.encoder_hid_proj.num_ip_adapters} IP-Adapters"
            )
        for index, item in enumerate(each):
            if item.ndim not in (3, 4) or item.shape[0] != text.shape[0]:
                raise InputError(
                    f"added_cond_kwargs.image_embeds[{index}]: {list(item.shape)}; needed: [{text.shape[0]}, "
                    "images, numbers] or [.., images, tokens, numbers], the batch that the text has"
                )
        return Prompt(text, self.encoder_hid_proj(each), masks)

    def _projection(self, like: Any, state: Mapping[str, Tensor], low_memory: bool) -> nn.Module:
        convert = UNet2DConditionLoadersMixin._convert_ip_adapter_image_proj_to_diffusers
        try:
            projection: nn.Module = convert(like, state, low_cpu_mem_usage=low_memory)
        except (KeyError, ValueError, RuntimeError) as error:
            why = shorten(str(error), 200, placeholder=" ...")
            raise InputError(f"image_proj: not a projection that diffusers knows ({why})") from error
        last: Any = getattr(projection, "norm_out", None) or projection.norm
        width = self.unet.architecture.context_width
        if last.weight.shape[0] != width:
            raise InputError(
                f"image_proj: makes tokens of {last.weight.shape[0]} numbers; this network's text has {width}"
            )
        return projection


def _check(state: Mapping[str, Any], cross: Mapping[str, Attention], *, alternating: bool) -> None:
    for part in ("image_proj", "ip_adapter"):
        if part not in state:
            raise InputError(f"{part}: missing from the weights of an IP-Adapter")
    layers = state["ip_adapter"]
    held = {match[1] for key in layers if (match := _KEY.fullmatch(key)) and "_ip." in key}
    if len(held) != len(cross):
        raise InputError(
            f"ip_adapter: for a network of {len(held)} cross-attentions; this one has {len(cross)}"
        )
    for key, name, wanted in _wanted(cross):
        if key not in layers:
            raise InputError(f"ip_adapter.{key}: missing; it is for {name}")
        if list(layers[key].shape) != wanted:
            raise InputError(f"ip_adapter.{key}: {list(layers[key].shape)}; {name} takes {wanted}")
    for key in layers:
        if not _KEY.fullmatch(key):
            raise InputError(f"ip_adapter.{key}: not a layer of an IP-Adapter that diffusers knows")
        if _LORA in key and not alternating:
            raise InputError(
                f"ip_adapter.{key}: its LoRA is numbered for layers of self- and cross-attention; this "
                "network has layers with one of them"
            )


def _wanted(cross: Mapping[str, Attention]) -> Iterator[tuple[str, str, list[int]]]:
    """(key of the file, which attention it is for, its shape)."""
    for index, (name, attention) in enumerate(cross.items()):
        for layer in ("to_k_ip", "to_v_ip"):
            shape = [attention.query.out_features, attention.key.in_features]
            yield f"{2 * index + 1}.{layer}.weight", name.removesuffix(".processor"), shape


def _alternating(attentions: list[tuple[str, Attention]]) -> bool:
    kinds = [attention.over_itself for _, attention in attentions]
    return kinds == [True, False] * (len(kinds) // 2)
