"""diffusers' attention processors on our attention: each sees a module of diffusers' own with our layers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from diffusers.models.attention_processor import Attention as DiffusersAttention
from diffusers.models.attention_processor import (
    AttnProcessor2_0,
    FusedAttnProcessor2_0,
    IPAdapterAttnProcessor,
    IPAdapterAttnProcessor2_0,
    IPAdapterXFormersAttnProcessor,
)
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from space.blocks import ATTENTIONS, Attention
from space.interchange.names import diffusers_name
from space.shared.plain import InputError
from space.unet import UNet

_OF_IMAGES = (IPAdapterAttnProcessor, IPAdapterAttnProcessor2_0, IPAdapterXFormersAttnProcessor)
_PLACES = ("down_blocks", "up_blocks", "mid_block")
_HELD = (*_PLACES, "encoder_hid_proj")


class Prompt(NamedTuple):
    """What cross-attention with IP-Adapters attends to, in the place of the text alone.

    Attributes:
        text: (B, L, S).
        images: (B, images, tokens, S) of each adapter.
        masks: diffusers' `ip_adapter_masks`: (1, images, H, W) of each adapter.
    """

    text: Tensor
    images: list[Tensor]
    masks: Any = None


class ProcessorsMixin:
    """What diffusers' `AttentionMixin` offers, for a module that holds our network as `unet`.

    Processors with weights are parts of that module, under the names that diffusers gives them
    (`down_blocks.0.attentions...processor`), so that they move, train and are found with it.
    """

    unet: UNet
    _modules: dict[str, Any]  # as a torch module has them
    encoder_hid_proj: nn.Module | None  # of IP-Adapters, once there are some
    _apart: dict[str, Any] | None = None  # the processors from before projections were fused

    @property
    def attn_processors(self) -> dict[str, Any]:
        """By the names that diffusers' own UNet would give them, in its order: down, up, middle."""
        return {name: _processor_of(attention) for name, attention in self._attentions()}

    def set_attn_processor(self, processor: Any) -> None:
        """One for all, or one for each of the names of `attn_processors`.

        Raises:
            InputError: names that are none, attention that is no softmax, or one that leaves out the images
                of an IP-Adapter.
        """
        attentions = dict(self._attentions())
        each = dict(processor) if isinstance(processor, dict) else dict.fromkeys(attentions, processor)
        if each.keys() != attentions.keys():
            name = min(each.keys() - attentions.keys() or attentions.keys() - each.keys())
            raise InputError(f"processor: {name!r}; needed: one for each name of attn_processors")
        images = self.encoder_hid_proj is not None
        if images:
            _refuse_without_images(each, attentions)
        calls = {name: _call(attentions[name], chosen, images) for name, chosen in each.items()}
        for name, call in calls.items():
            attentions[name].processor = call
        self._hold({name: chosen for name, chosen in each.items() if isinstance(chosen, nn.Module)})

    def set_default_attn_processor(self) -> None:
        fused = {name for name, attention in self._attentions() if attention.fused is not None}
        default = {name: AttnProcessor2_0() for name in self.attn_processors}
        self.set_attn_processor(default | {name: FusedAttnProcessor2_0() for name in fused})

    def fuse_qkv_projections(self) -> None:
        """One product for query, key and value, or for key and value of the text.

        Raises:
            InputError: layers that are no plain ones (an adapter on them would be left out); an IP-Adapter.
        """
        if self.encoder_hid_proj is not None:
            raise InputError("fuse_qkv_projections: not beside an IP-Adapter; unload_ip_adapter first")
        attentions = [attention for _, attention in self._attentions()]
        for attention in attentions:
            for layer in (attention.query, attention.key, attention.value):
                if layer is not None and type(layer) is not nn.Linear:
                    raise InputError(
                        f"fuse_qkv_projections: not beside {type(layer).__module__}.{type(layer).__name__}; "
                        "allowed: before an adapter is added, or once it is fused and unloaded"
                    )
        self._apart = self._apart or self.attn_processors
        for attention in attentions:
            attention.fuse()
        self.set_attn_processor(FusedAttnProcessor2_0())

    def unfuse_qkv_projections(self) -> None:
        for _, attention in self._attentions():
            attention.fused = None
        if self._apart:
            self.set_attn_processor(self._apart)
        self._apart = None

    @contextmanager
    def network_alone(self) -> Iterator[None]:
        """Without what processors and IP-Adapters hold, while the network is saved; says so."""
        held = {name: self._modules.pop(name) for name in _HELD if name in self._modules}
        if any(part is not None for part in held.values()):
            warnings.warn("saved without the weights of IP-Adapters and attention processors", stacklevel=4)
        try:
            yield
        finally:
            self._modules.update(held)

    def _hold(self, processors: Mapping[str, nn.Module]) -> None:
        for name in _PLACES:
            self._modules.pop(name, None)
        if processors:  # a place a level, also without processors: pipelines count them
            self.down_blocks = nn.ModuleList(nn.Module() for _ in self.unet.down)
            self.up_blocks = nn.ModuleList(nn.Module() for _ in self.unet.up)
        for name, processor in processors.items():
            *path, last = name.split(".")
            place: Any = self
            for part in path:
                if part not in place._modules:
                    place.add_module(part, nn.Module())
                place = place.get_submodule(part)
            place.add_module(last, processor)

    def _attentions(self) -> Iterator[tuple[str, Attention]]:
        named = [item for item in self.unet.named_modules() if isinstance(item[1], Attention)]
        for name, module in sorted(named, key=lambda item: item[0].startswith("middle.")):
            yield diffusers_name(f"{name}.processor"), module


class _Call:
    """Stands for a processor on one of our modules; with `images`, cross-attention needs a `Prompt`."""

    def __init__(self, attention: Attention, processor: Any, images: bool) -> None:
        self.processor, self._images = processor, images
        query, key = attention.query, attention.key
        with torch.device("meta"):
            self._theirs = DiffusersAttention(
                query_dim=query.in_features,
                cross_attention_dim=key.in_features if not attention.over_itself else None,
                heads=attention.heads,
                dim_head=query.out_features // attention.heads,
                processor=processor,
            )

    def __call__(self, attention: Attention, x: Tensor, source: Tensor | Prompt | None) -> Tensor:
        theirs = self._theirs  # our layers may have been replaced since: an adapter wraps them
        theirs.to_q, theirs.to_k = attention.query, attention.key
        theirs.to_v = attention.key if attention.value is None else attention.value
        theirs.to_out[0] = attention.out
        given: dict[str, Any] = {"encoder_hidden_states": source}
        if isinstance(source, Prompt):
            given = {"encoder_hidden_states": (source.text, source.images), "ip_adapter_masks": source.masks}
        elif self._images and source is not None:  # the processor would take the text's end for the images
            raise InputError("context: without images, while a PipelineUNet around it holds an IP-Adapter")
        with nullcontext() if attention.kind == "softmax" else _Weighing(attention.kind):
            output: Tensor = theirs(x, **given)
        return output


class _Weighing(TorchFunctionMode):
    """While diffusers' processors run: keys are weighed as the network weighs them, not by a softmax."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._attention = ATTENTIONS[kind]

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is F.scaled_dot_product_attention:
            return self._attention(*args)
        return function(*args, **(kwargs or {}))


def _refuse_without_images(each: Mapping[str, Any], attentions: Mapping[str, Attention]) -> None:
    for name, chosen in each.items():
        if not attentions[name].over_itself and not isinstance(chosen, _OF_IMAGES):
            raise InputError(
                f"processor: {type(chosen).__name__} on {name} takes no images; unload_ip_adapter first"
            )


def _processor_of(attention: Attention) -> Any:
    if isinstance(attention.processor, _Call):
        return attention.processor.processor
    return AttnProcessor2_0() if attention.fused is None else FusedAttnProcessor2_0()


def _call(attention: Attention, processor: Any, images: bool) -> _Call | None:
    """None for what our module does by itself."""
    if type(processor) is AttnProcessor2_0 and attention.fused is None:
        return None
    if type(processor) is FusedAttnProcessor2_0 and attention.fused is not None:
        return None
    name = type(processor).__name__
    if attention.kind != "softmax" and type(processor) is not IPAdapterAttnProcessor2_0:
        raise InputError(f"processor: {name} on {attention.kind} attention; allowed: AttnProcessor2_0")
    if attention.fused is not None or type(processor) is FusedAttnProcessor2_0:
        raise InputError(
            f"processor: {name}; allowed: FusedAttnProcessor2_0 exactly while projections are fused"
        )
    return _Call(attention, processor, images)
