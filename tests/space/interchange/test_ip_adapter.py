"""IP-Adapter: what diffusers' own UNet computes with one, ours does too."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0, IPAdapterAttnProcessor2_0

from space.interchange.checkpoints import load
from space.interchange.pipeline_unet import PipelineUNet
from space.shared.plain import InputError
from tests.space.interchange.conftest import Pair
from tests.space.interchange.ip_adapters import (
    TEXT,
    alike,
    cross_widths,
    images,
    loaded,
    scale,
    unload,
    with_images,
)
from tests.space.interchange.test_habits import given


@pytest.mark.parametrize("kind", ["plain", "plus"])
def test_an_adapter_gives_what_it_gives_in_diffusers(pair: Pair, kind: str) -> None:
    before = alike(pair)
    loaded(pair, kind)
    after = alike(pair, **with_images(images(kind)))
    assert (after - before).abs().max() > 0.01
    assert (alike(pair, **with_images(images(kind, count=2))) - after).abs().max() > 0.001
    for unet in pair:
        scale(unet, 0.5)
    assert (alike(pair, **with_images(images(kind))) - after).abs().max() > 0.001
    for unet in pair:
        scale(unet, {"down": {"block_1": [0.7]}, "up": 0.2})
    alike(pair, **with_images(images(kind)))
    for unet in pair:
        scale(unet, 0)
    assert (alike(pair, **with_images(images(kind))) - before).abs().max() < 1e-6


def test_several_adapters_and_masks_give_what_they_give_in_diffusers(pair: Pair) -> None:
    loaded(pair, "plain", "plus")
    embedded = images(), images("plus", count=2)
    before = alike(pair, **with_images(*embedded))
    for unet in pair:
        scale(unet, [0.9, {"down": {"block_0": [0.7]}, "mid": 0.3}])
    alike(pair, **with_images(*embedded))
    for unet in pair:
        scale(unet, [0.9, 0.4])
    left = torch.zeros(1, 1, 16, 16)
    left[..., :8] = 1
    masks = [left, torch.cat([left, 1 - left], dim=1)]
    after = alike(pair, **with_images(*embedded, cross_attention_kwargs={"ip_adapter_masks": masks}))
    assert (after - before).abs().max() > 0.01
    wider = {
        "sample": torch.randn(2, 4, 10, 14)
    }  # sides that do not halve evenly, of another shape than masks
    alike(pair, **wider, **with_images(*embedded))


def test_a_network_is_the_same_once_it_is_unloaded(pair: Pair) -> None:
    before, (ours, theirs) = alike(pair), pair
    own = set(ours.state_dict())
    assert list(ours.attn_processors) == list(theirs.attn_processors)
    loaded(pair, "plain")
    assert set(ours.state_dict()) - own == {
        name for name in theirs.state_dict() if ".processor." in name or name.startswith("encoder_hid_proj.")
    }
    loaded(pair, "plus")  # instead of the first
    again = copy.deepcopy(ours).to(torch.float64)
    assert {item.dtype for item in again.state_dict().values()} == {torch.float64}
    now = {
        "sample": given()["sample"].double(),
        "encoder_hidden_states": given()["encoder_hidden_states"].double(),
    }
    expected = alike(pair, **with_images(images("plus")))
    with torch.no_grad():
        double = again(**given(**now, **with_images(images("plus").double()))).sample
    assert (double - expected).abs().max() < 1e-5
    for unet in pair:
        unload(unet)
    assert torch.equal(alike(pair), before) and set(ours.state_dict()) == own
    with pytest.raises(InputError, match=r"added_cond_kwargs.image_embeds: not supported"):
        ours(**given(**with_images(images())))
    with pytest.raises(AttributeError, match="down_blocks: not before load_ip_adapter"):
        scale(ours, 0.5)


def test_a_saved_network_holds_no_adapter(pair: Pair, tmp_path: Path) -> None:
    before = alike(pair)
    loaded(pair, "plain")
    expected = alike(pair, **with_images(images()))
    with pytest.warns(UserWarning, match="saved without the weights of IP-Adapters"):
        pair[0].save_pretrained(tmp_path)
    assert torch.equal(alike(pair, **with_images(images())), expected)  # and it stays where it was
    with torch.no_grad():
        for unet in (PipelineUNet.from_pretrained(tmp_path), PipelineUNet.wrapping(load(tmp_path))):
            assert torch.equal(unet(**given()).sample, before)


def test_checkpointed_gradients_of_an_adapter_are_those_of_diffusers(pair: Pair) -> None:
    loaded(pair, "plain")
    gradients = []
    for unet in pair:
        unet.enable_gradient_checkpointing()
        unet.train()
        unet(**given(**with_images(images()))).sample.square().mean().backward()
        gradients.append({name: item.grad for name, item in unet.named_parameters() if "to_v_ip" in name})
    assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) == 7
    assert all((grad - gradients[1][name]).abs().max() < 1e-5 for name, grad in gradients[0].items())
    assert all(grad.abs().max() > 1e-6 for grad in gradients[0].values())


def test_processors_beside_an_adapter(pair: Pair) -> None:
    ours, _ = pair
    slow = {name: AttnProcessor() for name in ours.attn_processors if "attn1" in name}
    for unet in pair:
        unet.set_attn_processor(unet.attn_processors | slow)
    loaded(pair, "plain")
    assert {type(ours.attn_processors[name]) for name in slow} == {AttnProcessor}
    assert all(ours.attn_processors[name] is item for name, item in slow.items())
    alike(pair, **with_images(images()))
    for change in (lambda: ours.set_attn_processor(AttnProcessor()), ours.set_default_attn_processor):
        with pytest.raises(InputError, match=r"processor: .* takes no images; unload_ip_adapter first"):
            change()
    with pytest.raises(InputError, match="fuse_qkv_projections: not beside an IP-Adapter"):
        ours.fuse_qkv_projections()  # diffusers fuses, and cannot run then
    ours.unfuse_qkv_projections()
    alike(pair, **with_images(images()))
    for unet in pair:
        unload(unet)
    ours.fuse_qkv_projections()
    with pytest.raises(InputError, match="IP-Adapter: projections are fused"):
        loaded(pair, "plain")
    ours.unfuse_qkv_projections()
    assert {type(ours.attn_processors[name]) for name in slow} == {AttnProcessor}  # as before they were fused
    loaded(pair, "plain")
    alike(pair, **with_images(images()))


def test_processors_with_weights_of_their_own_are_parts_of_the_network(pair: Pair) -> None:
    """As they are trained: tokens of images stand behind those of the text."""
    torch.manual_seed(5)
    held = {
        name: IPAdapterAttnProcessor2_0(width, TEXT, num_tokens=(4,))
        for name, width in zip(
            [name for name in pair[1].attn_processors if "attn2" in name], cross_widths(pair[1]), strict=True
        )
    }
    before = alike(pair)
    for unet in pair:
        unet.set_attn_processor(unet.attn_processors | held)
    names = [{name for name, _ in unet.named_parameters() if ".processor.to_" in name} for unet in pair]
    assert names[0] == names[1] and len(names[0]) == 14
    text = torch.cat([given()["encoder_hidden_states"], torch.randn(2, 4, TEXT)], dim=1)
    assert (alike(pair, encoder_hidden_states=text) - before).abs().max() > 0.001
    pair[0].set_attn_processor(AttnProcessor2_0())
    assert not [name for name in pair[0].state_dict() if "processor" in name]
