"""diffusers' attention processors on our attention: each sees a module of diffusers' own with our layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from diffusers.models.attention_processor import Attention as DiffusersAttention
from diffusers.models.attention_processor import AttnProcessor2_0, FusedAttnProcessor2_0
from torch import Tensor, nn

from space.blocks import Attention
from space.interchange.names import diffusers_name
from space.shared.plain import InputError
from space.unet import UNet


class ProcessorsMixin:
    """What diffusers' `AttentionMixin` offers, for a module that holds our network as `unet`."""

    unet: UNet

    @property
    def attn_processors(self) -> dict[str, Any]:
        """By the names that diffusers' own UNet would give them."""
        return {name: _processor_of(attention) for name, attention in self._attentions()}

    def set_attn_processor(self, processor: Any) -> None:
        """One for all, or one for each of the names of `attn_processors`.

        Raises:
            InputError: names that are none, weights of its own, or attention that is no softmax.
        """
        attentions = dict(self._attentions())
        each = dict(processor) if isinstance(processor, dict) else dict.fromkeys(attentions, processor)
        if each.keys() != attentions.keys():
            name = min(each.keys() - attentions.keys() or attentions.keys() - each.keys())
            raise InputError(f"processor: {name!r}; needed: one for each name of attn_processors")
        calls = {name: _call(attentions[name], chosen) for name, chosen in each.items()}
        for name, call in calls.items():
            attentions[name].processor = call

    def set_default_attn_processor(self) -> None:
        for _, attention in self._attentions():
            attention.processor = None

    def fuse_qkv_projections(self) -> None:
        """One product for query, key and value, or for key and value of the text.

        Raises:
            InputError: layers that are no plain ones (an adapter on them would be left out).
        """
        attentions = [attention for _, attention in self._attentions()]
        for attention in attentions:
            for layer in (attention.query, attention.key, attention.value):
                if layer is not None and type(layer) is not nn.Linear:
                    raise InputError(
                        f"fuse_qkv_projections: not beside {type(layer).__module__}.{type(layer).__name__}; "
                        "allowed: before an adapter is added, or once it is fused and unloaded"
                    )
        for attention in attentions:
            attention.fuse()

    def unfuse_qkv_projections(self) -> None:
        for _, attention in self._attentions():
            attention.fused = None
            attention.processor = None

    def _attentions(self) -> Iterator[tuple[str, Attention]]:
        for name, module in self.unet.named_modules():
            if isinstance(module, Attention):
                yield diffusers_name(f"{name}.processor"), module


class _Call:
    """Stands for a processor on one of our modules."""

    def __init__(self, attention: Attention, processor: Any) -> None:
        self.processor = processor
        query, key = attention.query, attention.key
        with torch.device("meta"):
            self._theirs = DiffusersAttention(
                query_dim=query.in_features,
                cross_attention_dim=key.in_features if not attention.over_itself else None,
                heads=attention.heads,
                dim_head=query.out_features // attention.heads,
                processor=processor,
            )

    def __call__(self, attention: Attention, x: Tensor, source: Tensor | None) -> Tensor:
        theirs = self._theirs  # our layers may have been replaced since: an adapter wraps them
        theirs.to_q, theirs.to_k = attention.query, attention.key
        theirs.to_v = attention.key if attention.value is None else attention.value
        theirs.to_out[0] = attention.out
        output: Tensor = theirs(x, encoder_hidden_states=source)
        return output


def _processor_of(attention: Attention) -> Any:
    if isinstance(attention.processor, _Call):
        return attention.processor.processor
    return AttnProcessor2_0() if attention.fused is None else FusedAttnProcessor2_0()


def _call(attention: Attention, processor: Any) -> _Call | None:
    """None for what our module does by itself."""
    if type(processor) is AttnProcessor2_0 and attention.fused is None:
        return None
    if type(processor) is FusedAttnProcessor2_0 and attention.fused is not None:
        return None
    name = type(processor).__name__
    if attention.kind != "softmax":
        raise InputError(f"processor: {name} on {attention.kind} attention; allowed: AttnProcessor2_0")
    if attention.fused is not None or type(processor) is FusedAttnProcessor2_0:
        raise InputError(
            f"processor: {name}; allowed: FusedAttnProcessor2_0 exactly while projections are fused"
        )
    if isinstance(processor, nn.Module):
        raise InputError(f"processor: {name} holds weights of its own, which PipelineUNet does not support")
    return _Call(attention, processor)
