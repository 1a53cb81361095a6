"""IP-Adapters on networks that diffusers has no layout for, in pipelines and beside LoRA."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor

from space.blocks import ATTENTIONS
from space.interchange.from_diffusers import architecture_from_diffusers
from space.interchange.pipeline_unet import PipelineUNet
from space.shared.plain import InputError
from tests.space.interchange.conftest import SD, Pair
from tests.space.interchange.ip_adapters import (
    SOME,
    TEXT,
    State,
    adapter,
    alike,
    images,
    loaded,
    plain,
    scale,
    with_images,
)
from tests.space.interchange.test_habits import given
from tests.space.interchange.test_pipeline_unet import FOUND, generated, randomised, stable_diffusion

ORDER = [
    "down.2.stages.0.stack.layers.0",
    "down.2.stages.0.stack.layers.1",
    "down.3.stages.0.stack.layers.0",
    "up.0.stages.0.stack.layers.0",
    "up.0.stages.1.stack.layers.0",
    "up.1.stages.0.stack.layers.0",
    "up.1.stages.1.stack.layers.0",
    "middle.0.stack.layers.0",
]


def split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


@pytest.mark.parametrize("kind", ["softmax", "relu"])
def test_networks_without_a_layout_take_adapters_in_the_order_of_files(kind: Any) -> None:
    """Each cross-attention adds the images by the layers of its number, weighed as the network weighs."""
    unet = PipelineUNet.wrapping(randomised(replace(SOME, attention=kind)))
    state = adapter(unet)
    unet._load_ip_adapter_weights([state])
    scale(unet, 0.5)
    seen: dict[str, tuple[Any, ...]] = {}

    def watch(name: str) -> Any:
        return lambda part, inputs, output: seen.update({name: (part, *inputs, output)})

    for name, part in unet.unet.named_modules():
        if name.endswith("cross_attention"):
            part.register_forward_hook(watch(name.removesuffix(".cross_attention")))
    with torch.no_grad():
        unet(torch.randn(2, 8, 8, 8), 3, torch.randn(2, 12, TEXT), **with_images(images()))
    assert sorted(seen) == sorted(ORDER)
    for index, name in enumerate(ORDER):
        part, x, (text, (tokens,), _), output = seen[name]
        query, keys, values = (
            split(layer(given), part.heads)
            for layer, given in ((part.query, x), (part.key, text), (part.value, text))
        )
        key, value = (state["ip_adapter"][f"{2 * index + 1}.to_{side}_ip.weight"] for side in "kv")
        key, value = (split(tokens[:, 0] @ layer.T, part.heads) for layer in (key, value))
        own = ATTENTIONS[kind](query, keys, values) + 0.5 * ATTENTIONS[kind](query, key, value)
        assert (part.out(own.transpose(1, 2).flatten(2)) - output).abs().max() < 1e-5


def test_adapters_that_do_not_fit_are_refused_by_name(pair: Pair) -> None:
    ours, before = pair[0], alike(pair)
    state = adapter(ours)
    layers, projection = state["ip_adapter"], state["image_proj"]
    short = {key: item for key, item in layers.items() if not key.startswith("13.")}
    key = "5.to_v_ip.weight"
    renumbered = {key.replace("13.", "14."): item for key, item in layers.items()}
    for changed, message in (
        (short, "ip_adapter: for a network of 6 cross-attentions; this one has 7"),
        (renumbered, "ip_adapter.13.to_k_ip.weight: missing; it is for mid_block"),
        (layers | {key: torch.zeros(64, 9)}, rf"ip_adapter.{key}: \[64, 9\]; .*attn2 takes \[32, 24\]"),
        (layers | {"1.to_q_ip.weight": torch.zeros(1)}, "ip_adapter.1.to_q_ip.weight: not a layer"),
    ):
        with pytest.raises(InputError, match=message):
            ours._load_ip_adapter_weights({"image_proj": projection, "ip_adapter": changed})
    for changed, message in (
        (plain(16), "image_proj: makes tokens of 16 numbers; this network's text has 24"),
        ({"proj.weight": projection["proj.weight"]}, "image_proj: not a projection that diffusers knows"),
        ({"nonsense": torch.zeros(1)}, "image_proj: not a projection that diffusers knows"),
    ):
        with pytest.raises(InputError, match=message):
            ours._load_ip_adapter_weights([{"image_proj": changed, "ip_adapter": layers}])
    with pytest.raises(InputError, match="image_proj: missing"):
        ours._load_ip_adapter_weights([{"ip_adapter": layers}])
    assert torch.equal(alike(pair), before)
    cross = replace(SOME, levels=SOME.levels[:2], middle=None)
    with pytest.raises(InputError, match="IP-Adapter: this network has no cross-attention"):
        PipelineUNet.wrapping(randomised(cross))._load_ip_adapter_weights([state])


def test_images_that_do_not_fit_are_refused_by_name(pair: Pair) -> None:
    ours, _ = loaded(pair, "plain", "plus")
    both_kinds = images(), images("plus")
    for embedded, message in (
        ([], "image_embeds: missing"),
        ([images()], "image_embeds: 1 tensors; needed: one for each of 2"),
        # one row for two: attention would take half of its tokens for the other's
        (
            [images(batch=1), images("plus")],
            r"image_embeds\[0\]: \[1, 1, 12\]; needed: \[2, images, numbers\]",
        ),
        ([images()[:, 0], images("plus")], r"image_embeds\[0\]: \[2, 12\]; needed"),
    ):
        asked = with_images(*embedded) if embedded else {}
        with pytest.raises(InputError, match=message):
            ours(**given(**asked))
    with pytest.raises(InputError, match="cross_attention_kwargs: gligen not supported; allowed: scale"):
        ours(**given(**with_images(*both_kinds, cross_attention_kwargs={"gligen": {}})))
    with pytest.raises(ValueError, match="ip_adapter_masks"):
        masks = {"ip_adapter_masks": [torch.ones(1, 1, 16, 16)]}
        ours(**given(**with_images(*both_kinds, cross_attention_kwargs=masks)))
    with pytest.raises(InputError, match="context: without images, while a PipelineUNet around it"):
        ours.unet(torch.zeros(1, 4, 16, 16), torch.tensor([3]), torch.zeros(1, 7, TEXT))


def write(state: State, path: Path) -> None:
    save_file({f"{part}.{key}": item for part, held in state.items() for key, item in held.items()}, path)


def test_a_pipeline_generates_with_an_adapter_what_diffusers_own_generates(
    pair: Pair, tmp_path: Path
) -> None:
    write(adapter(pair[1]), tmp_path / "ip.safetensors")
    made: list[list[Any]] = []
    for unet in pair:
        pipeline = stable_diffusion(unet, architecture_from_diffusers(SD))
        asked = {"prompt": "a", "guidance_scale": 3.0, "height": 16, "width": 16}
        made.append([generated(pipeline, **asked)])
        pipeline.load_ip_adapter(str(tmp_path), "", "ip.safetensors", image_encoder_folder=None)
        pipeline.set_ip_adapter_scale(0.6)
        made[-1].append(generated(pipeline, **asked, ip_adapter_image_embeds=[images()]))
        pipeline.unload_ip_adapter()
        made[-1].append(generated(pipeline, **asked))
    for mine, theirs in zip(*made, strict=True):
        assert np.abs(mine - theirs).max() < 1e-4
    assert np.array_equal(made[0][0], made[0][2]) and np.abs(made[0][0] - made[0][1]).max() > 0.001


def test_scales_of_a_network_whose_levels_differ() -> None:
    unet = PipelineUNet.wrapping(randomised(FOUND))
    unet._load_ip_adapter_weights([adapter(unet)])
    assert unet.config.layers_per_block == [1, 1, 2]
    scale(unet, 0.5)
    assert {item.scale[0] for item in unet.attn_processors.values() if hasattr(item, "scale")} == {0.5}
    with pytest.raises(InputError, match=r"scale: by layers needs as many blocks in each level, here \["):
        scale(unet, {"mid": 1})


def test_lora_beside_an_adapter_gives_what_diffusers_gives(pair: Pair, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="LoRA is peft's, which is no dependency of ours")
    ours, _ = loaded(pair, "plain")
    before = alike(pair, **with_images(images()))
    config = peft.LoraConfig(r=2, target_modules=["to_q", "to_v", "to_out.0"], init_lora_weights=False)
    ours.add_adapter(config)
    ours.save_lora_weights(tmp_path)
    state, alphas, told = StableDiffusionPipeline.lora_state_dict(tmp_path, return_lora_metadata=True)
    StableDiffusionPipeline.load_lora_into_unet(state, alphas, pair[1], metadata=told)
    after = alike(pair, **with_images(images()))
    assert (after - before).abs().max() > 0.001
    alike(pair, **with_images(images(), cross_attention_kwargs={"scale": 0.5}))
    loaded(pair, "plus")
    alike(pair, **with_images(images("plus")))
    ours.unload_lora()
    ours.add_adapter(peft.LoraConfig(r=2, target_modules="all-linear"))
    wrapped = [name for name, part in ours.named_modules() if hasattr(part, "base_layer")]
    assert wrapped and all(name.startswith("unet.") for name in wrapped)


def test_lora_in_an_adapters_file_is_loaded_with_it(pair: Pair, tmp_path: Path) -> None:
    """As those of faces hold it, numbered by all attentions."""
    pytest.importorskip("peft", reason="LoRA is peft's, which is no dependency of ours")
    state = adapter(pair[1])
    layers = dict(pair[1].named_modules())
    for index, name in enumerate(pair[1].attn_processors):
        for part in ("to_q", "to_k", "to_v", "to_out"):
            at = layers[name.removesuffix("processor") + part.replace("to_out", "to_out.0")]
            state["ip_adapter"][f"{index}.{part}_lora.down.weight"] = torch.randn(2, at.in_features) * 0.3
            state["ip_adapter"][f"{index}.{part}_lora.up.weight"] = torch.randn(at.out_features, 2) * 0.3
    write(state, tmp_path / "face.safetensors")
    for unet in pair:
        pipeline = stable_diffusion(unet, architecture_from_diffusers(SD))
        pipeline.load_ip_adapter(str(tmp_path), "", "face.safetensors", image_encoder_folder=None)
    after = alike(pair, **with_images(images()))
    for unet in pair:
        unet.disable_lora()
    assert (alike(pair, **with_images(images())) - after).abs().max() > 0.01
    some = PipelineUNet.wrapping(randomised(SOME))
    numbered = adapter(some)
    numbered["ip_adapter"] |= {"0.to_q_lora.down.weight": torch.zeros(2, 16)}
    with pytest.raises(InputError, match="its LoRA is numbered for layers of self- and cross-attention"):
        some._load_ip_adapter_weights([numbered])
