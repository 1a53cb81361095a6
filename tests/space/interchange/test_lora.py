"""Adapters under diffusers' names: what Stable Diffusion's UNet computes with one, ours does too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from space.interchange.pipeline_unet import PipelineUNet
from space.shared.plain import InputError
from tests.space.interchange.conftest import Pair
from tests.space.interchange.layouts import shaken
from tests.space.interchange.test_habits import alike, given
from tests.space.interchange.test_pipeline_unet import FOUND, randomised, stable_diffusion

peft = pytest.importorskip("peft", reason="adapters are peft's, which is no dependency of ours")
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "proj_in"]


def config(**more: Any) -> Any:
    return peft.LoraConfig(r=2, lora_alpha=6, target_modules=TARGETS, init_lora_weights=False, **more)


def layers(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    torch.manual_seed(4)
    held = peft.get_peft_model_state_dict(unet)
    return {name: torch.randn_like(tensor) * 0.1 for name, tensor in held.items()}


def their_adapter(peer: UNet2DConditionModel, folder: Path, metadata: bool = True) -> None:
    peer.add_adapter(config(rank_pattern={"mid_block.*to_q": 3}))
    told = {"unet_lora_adapter_metadata": peer.peft_config["default"].to_dict()} if metadata else {}
    for item in told.values():
        item["target_modules"] = sorted(item["target_modules"])
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers(peer), **told)
    peer.delete_adapters("default")


@pytest.mark.parametrize("metadata", [True, False])
def test_an_adapter_of_stable_diffusion_gives_what_it_gives_there(
    pair: Pair,
    tmp_path: Path,
    metadata: bool,
) -> None:
    before = alike(pair)
    their_adapter(pair[1], tmp_path, metadata)
    for unet in pair:
        state, alphas, told = StableDiffusionPipeline.lora_state_dict(tmp_path, return_lora_metadata=True)
        StableDiffusionPipeline.load_lora_into_unet(state, alphas, unet, adapter_name="style", metadata=told)
    after = alike(pair)
    assert (after - before).abs().max() > 0.01
    half = alike(pair, cross_attention_kwargs={"scale": 0.5})
    assert (half - after).abs().max() > 0.001
    for unet in pair:
        unet.set_adapters(["style"], weights=[0.25])
    assert (alike(pair) - after).abs().max() > 0.001
    for unet in pair:
        unet.disable_lora()
    assert (alike(pair) - before).abs().max() < 1e-4


def kohya(peer: UNet2DConditionModel, folder: Path, alpha: Callable[[str], float], times: float = 1) -> str:
    """An adapter named as kohya's scripts do; the middle's second matrices are `times` as large."""
    torch.manual_seed(5)
    state = {}
    for name, module in peer.named_modules():
        if name.endswith((".to_q", ".to_v", ".to_out.0", ".ff.net.2")):
            stem, (outputs, inputs) = f"lora_unet_{name.replace('.', '_')}", module.weight.shape
            state[f"{stem}.lora_down.weight"] = torch.randn(2, inputs) * 0.3
            state[f"{stem}.lora_up.weight"] = torch.randn(outputs, 2) * (times if "mid" in name else 1) * 0.3
            state[f"{stem}.alpha"] = torch.tensor(alpha(name))
    save_file(state, folder / "style.safetensors")
    return "style.safetensors"


def test_an_adapter_of_other_trainers_gives_what_diffusers_makes_of_it(pair: Pair, tmp_path: Path) -> None:
    before = alike(pair)
    file = kohya(pair[1], tmp_path, lambda name: 0.5, times=3)
    for unet in pair:
        read = StableDiffusionPipeline.lora_state_dict(tmp_path, weight_name=file)
        StableDiffusionPipeline.load_lora_into_unet(*read, unet, adapter_name="a")
    after = alike(pair)
    assert (after - before).abs().max() > 0.01
    # an alpha of its own for each layer, where diffusers takes the one that most have
    file = kohya(pair[1], tmp_path, lambda name: 1.5 if "mid" in name else 0.5)
    pair[0].delete_adapters("a")
    read = StableDiffusionPipeline.lora_state_dict(tmp_path, weight_name=file)
    StableDiffusionPipeline.load_lora_into_unet(*read, pair[0], adapter_name="b")
    with torch.no_grad():
        assert (pair[0](**given()).sample - after).abs().max() < 1e-4


def test_a_pipeline_loads_and_unloads_an_adapter(tmp_path: Path) -> None:
    unet = PipelineUNet.wrapping(randomised(FOUND))
    latents, text = torch.randn(1, 8, 8, 8), torch.randn(1, 12, 24)
    before = unet(latents, 3, text).sample
    unet.add_adapter(config())
    after = unet(latents, 3, text).sample
    assert (after - before).abs().max() > 1e-3
    trained = {name for name, parameter in unet.named_parameters() if parameter.requires_grad}
    assert trained and all(".lora_" in name for name in trained)
    unet.save_lora_weights(tmp_path)
    pipeline = stable_diffusion(PipelineUNet.wrapping(randomised(FOUND)), FOUND)
    pipeline.load_lora_weights(tmp_path)
    assert torch.allclose(pipeline.unet(latents, 3, text).sample, after, atol=1e-5)
    pipeline.unload_lora_weights()
    assert torch.allclose(pipeline.unet(latents, 3, text).sample, before, atol=1e-5)


def test_an_adapter_of_ours_gives_in_stable_diffusion_what_it_gives_here(
    pair: Pair,
    tmp_path: Path,
) -> None:
    ours, theirs = pair
    ours.add_adapter(config(rank_pattern={"mid_block.*to_q": 3}, alpha_pattern={"to_k": 1}))
    ours.save_lora_weights(tmp_path)
    state, alphas, told = StableDiffusionPipeline.lora_state_dict(tmp_path, return_lora_metadata=True)
    assert "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight" in state
    assert "unet.down_blocks.0.attentions.0.proj_in.lora_A.weight" in state
    StableDiffusionPipeline.load_lora_into_unet(state, alphas, theirs, metadata=told)
    alike(pair)


def test_the_state_that_trainers_take_loads_too(pair: Pair) -> None:
    """By peft's own function, which knows our names alone."""
    ours, _ = pair
    ours.add_adapter(config(lora_bias=False))
    held = peft.get_peft_model_state_dict(ours)
    after = ours(**given()).sample
    ours.unload_lora()
    ours.load_lora_adapter({f"unet.{name}": tensor for name, tensor in held.items()}, network_alphas={})
    assert not torch.allclose(ours(**given()).sample, after)  # a state alone says no alpha: the rank is taken
    ours.unload_lora()
    alphas = {f"unet.{name.partition('.lora_')[0]}.alpha": 6.0 for name in held}
    ours.load_lora_adapter({f"unet.{name}": tensor for name, tensor in held.items()}, network_alphas=alphas)
    assert torch.allclose(ours(**given()).sample, after, atol=1e-5)


def test_adapters_that_do_not_fit_are_refused_by_name(pair: Pair, tmp_path: Path) -> None:
    their_adapter(pair[1], tmp_path)
    found = PipelineUNet.wrapping(randomised(FOUND))
    with pytest.raises(InputError, match="the adapter's layer is none of this architecture's"):
        found.load_lora_adapter(tmp_path)
    wider = shaken(UNet2DConditionModel(**dict(pair[1].config) | {"cross_attention_dim": 32}))
    their_adapter(wider, tmp_path / "wider")
    with pytest.raises(InputError, match=r"attn2.to_k \(here .*key\): .* 32 channels, the layer has 24"):
        pair[0].load_lora_adapter(tmp_path / "wider")
    with pytest.raises(InputError, match=r"target_modules: .* names no layer"):
        pair[0].add_adapter(peft.LoraConfig(target_modules=["to_nothing"]))
    with pytest.raises(InputError, match=r"cross_attention_kwargs.scale: 0.5, but no adapter"):
        found(torch.zeros(1, 8, 8, 8), 3, torch.zeros(1, 12, 24), cross_attention_kwargs={"scale": 0.5})
    found.fuse_qkv_projections()
    with pytest.raises(InputError, match="adapter: projections are fused"):
        found.add_adapter(config())
    pair[0].add_adapter(config())
    with pytest.raises(InputError, match=r"fuse_qkv_projections: not beside peft"):
        pair[0].fuse_qkv_projections()


def test_what_an_adapter_would_silently_change_is_refused(pair: Pair, tmp_path: Path) -> None:
    """Layers under it have other names, in which a folder would load as if untrained; a scale is gone once
    checkpointed activations are computed again."""
    ours = pair[0]
    ours.add_adapter(config())
    with pytest.raises(InputError, match="save_pretrained: LoRA stands on the layers"):
        ours.save_pretrained(tmp_path / "unet")
    assert not (tmp_path / "unet").exists()
    ours.enable_gradient_checkpointing()
    with pytest.raises(InputError, match=r"cross_attention_kwargs.scale: 0.5, which checkpointed gradients"):
        ours(**given(cross_attention_kwargs={"scale": 0.5}))
    alike_ours = ours(**given(cross_attention_kwargs={"scale": 1.0})).sample
    with torch.no_grad():
        assert not torch.equal(ours(**given(cross_attention_kwargs={"scale": 0.5})).sample, alike_ours)
    ours.unload_lora()
    ours.save_pretrained(tmp_path / "unet")
    again = PipelineUNet.from_pretrained(tmp_path / "unet").unet
    assert torch.equal(again.conv_out.weight, ours.unet.conv_out.weight)
