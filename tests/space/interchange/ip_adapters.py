"""Files of IP-Adapters, and networks and images to go with them."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from diffusers.loaders import IPAdapterMixin
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from torch import Tensor

from space.architecture import Level, Middle
from space.interchange.checkpoints import diffusers_name
from space.interchange.pipeline_unet import PipelineUNet
from tests.space.interchange.conftest import Pair
from tests.space.interchange.layouts import shaken
from tests.space.interchange.test_habits import both
from tests.space.interchange.test_pipeline_unet import FOUND

State = dict[str, dict[str, Tensor]]
TEXT, CLIP = 24, 12  # numbers of a text token, and of an embedded image


def adapter(unet: Any, kind: str = "plain", seed: int = 7) -> State:
    """A file for the cross-attentions of this network, numbered as diffusers numbers them."""
    torch.manual_seed(seed)
    layers = {}
    for index, width in enumerate(cross_widths(unet)):
        for key in ("to_k_ip", "to_v_ip"):
            layers[f"{2 * index + 1}.{key}.weight"] = torch.randn(width, TEXT) * 0.3
    return {"image_proj": PROJECTIONS[kind](TEXT), "ip_adapter": layers}


def cross_widths(unet: Any) -> list[int]:
    """Of a network of diffusers or ours, in the order of its processors."""
    if isinstance(unet, PipelineUNet):
        layers = {diffusers_name(name): layer for name, layer in unet.unet.state_dict().items()}
    else:
        layers = unet.state_dict()
    names = [name.removesuffix("processor") for name in unet.attn_processors if "attn2" in name]
    return [layers[f"{name}to_k.weight"].shape[0] for name in names]


def plain(text: int) -> dict[str, Tensor]:
    shapes = {
        "proj.weight": (4 * text, CLIP),
        "proj.bias": (4 * text,),
        "norm.weight": (text,),
        "norm.bias": (text,),
    }
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def plus(text: int) -> dict[str, Tensor]:
    """A resampler under the names of the original files."""
    made = IPAdapterPlusImageProjection(CLIP, text, hidden_dims=16, dim_head=64, heads=1, num_queries=3)
    state = {}
    for name, tensor in shaken(made).state_dict().items():
        for theirs, original in _ORIGINAL.items():
            name = name.replace(theirs, original)
        state[name] = tensor.clone()
    for layer in range(4):
        both = [state.pop(f"layers.{layer}.0.to_{part}.weight") for part in "kv"]
        state[f"layers.{layer}.0.to_kv.weight"] = torch.cat(both)
    return state


_ORIGINAL = {
    "ln0": "0.norm1",
    "ln1": "0.norm2",
    "attn.to_out.0": "0.to_out",
    "attn": "0",
    "ff.0": "1.0",
    "ff.1.net.0.proj": "1.1",
    "ff.1.net.2": "1.3",
}
PROJECTIONS = {"plain": plain, "plus": plus}


def images(kind: str = "plain", batch: int = 2, count: int = 1) -> Tensor:
    torch.manual_seed(9)
    return torch.randn(batch, count, *([5] if kind == "plus" else []), CLIP)


def with_images(*embedded: Tensor, **more: Any) -> dict[str, Any]:
    return {"added_cond_kwargs": {"image_embeds": list(embedded)}, **more}


def alike(pair: Pair, **more: Any) -> Tensor:
    ours, theirs = both(pair, **more)
    assert (ours - theirs).abs().max() < 1e-5
    return ours


def loaded(pair: Pair, *kinds: str) -> Pair:
    states = [adapter(pair[1], kind, seed) for seed, kind in enumerate(kinds)]
    for unet in pair:
        unet._load_ip_adapter_weights(copy.deepcopy(states), low_cpu_mem_usage=len(kinds) > 1)
    return pair


def scale(unet: Any, value: Any) -> None:
    IPAdapterMixin.set_ip_adapter_scale(SimpleNamespace(unet=unet), value)


def unload(unet: Any) -> None:
    IPAdapterMixin.unload_ip_adapter(SimpleNamespace(unet=unet))


SOME = replace(  # self-attention alone, none, both, and cross-attention alone
    FOUND,
    levels=(
        Level(16, "full", (1,), (1, 0), self_attention=True),
        Level(24, "separable", (0, 0), (0, 0, 0)),
        Level(32, "full", (2,), (1, 1), self_attention=True, cross_attention=True),
        Level(48, "full", (1,), (1, 1), cross_attention=True),
    ),
    middle=Middle((1,)),
    head_width=8,
)
