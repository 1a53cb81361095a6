"""What people do to diffusers' UNet they do to ours, and get the same numbers: each beside diffusers' own
`UNet2DConditionModel` with the same weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0, SlicedAttnProcessor
from torch import Tensor

from space.architecture import Architecture, Level
from space.interchange.checkpoints import assign, diffusers_name, empty_unet
from space.interchange.from_diffusers import architecture_from_diffusers
from space.interchange.pipeline_unet import PipelineUNet
from space.shared.plain import InputError
from space.unet import UNet
from tests.space.interchange.conftest import SD, Pair
from tests.space.interchange.layouts import shaken
from tests.space.interchange.test_pipeline_unet import FOUND, randomised


def given(**more: Any) -> dict[str, Any]:
    torch.manual_seed(1)
    latents, text = torch.randn(2, 4, 16, 16), torch.randn(2, 7, 24)
    return {"sample": latents, "timestep": 7, "encoder_hidden_states": text, **more}


@torch.no_grad()
def both(pair: Pair, **more: Any) -> tuple[Tensor, Tensor]:
    """Ours and theirs; a list of residuals each, since diffusers empties it."""
    outputs = []
    for unet in pair:
        own = {name: list(item) if isinstance(item, list) else item for name, item in more.items()}
        outputs.append(unet(**given(**own)).sample)
    return outputs[0], outputs[1]


def alike(pair: Pair, **more: Any) -> Tensor:
    ours, theirs = both(pair, **more)
    assert (ours - theirs).abs().max() < 1e-4
    return ours


SKIPS = [(16, 16), (16, 16), (16, 8), (32, 8), (32, 4), (64, 4)]  # channels and side


def residuals(shapes: list[tuple[int, int]]) -> list[Tensor]:
    torch.manual_seed(2)
    return [torch.randn(2, channels, side, side) for channels, side in shapes]


def test_residuals_of_controlnet_give_what_diffusers_gives(pair: Pair) -> None:
    before = alike(pair)
    *skips, middle = residuals([*SKIPS, (64, 4)])
    after = alike(pair, down_block_additional_residuals=skips, mid_block_additional_residual=middle)
    assert (after - before).abs().max() > 0.01
    with pytest.raises(InputError, match=r"residuals.skips: 5; this architecture has 6 skips"):
        both(pair, down_block_additional_residuals=skips[1:], mid_block_additional_residual=middle)
    with pytest.raises(InputError, match=r"residuals.middle: \[16, 16, 16\] "):
        both(pair, down_block_additional_residuals=skips, mid_block_additional_residual=skips[0])
    with pytest.raises(InputError, match="ControlNet gives both"):
        pair[0](**given(down_block_additional_residuals=skips))


@pytest.mark.parametrize("shapes", [[(16, 16), (32, 8), (64, 4)], [(16, 16), (32, 8), (64, 4), (64, 4)]])
def test_residuals_of_a_t2i_adapter_give_what_diffusers_gives(
    pair: Pair, shapes: list[tuple[int, int]]
) -> None:
    before = alike(pair)
    after = alike(pair, down_intrablock_additional_residuals=residuals(shapes))
    assert (after - before).abs().max() > 0.01
    with pytest.raises(InputError, match=r"residuals.inside: 5; .* at most 4"):
        pair[0](**given(down_intrablock_additional_residuals=residuals([(16, 16)] * 5)))


def test_freeu_gives_what_diffusers_gives(pair: Pair) -> None:
    before = alike(pair)
    for unet in pair:
        unet.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)
    assert (alike(pair) - before).abs().max() > 0.01
    for unet in pair:
        unet.disable_freeu()
    assert torch.equal(alike(pair), before)
    with pytest.raises(InputError, match="b2: 0 is not possible"):
        pair[0].enable_freeu(s1=1, s2=1, b1=1, b2=0)


def test_attention_processors_have_diffusers_names_and_give_what_diffusers_gives(pair: Pair) -> None:
    ours, theirs = pair
    assert list(ours.attn_processors) and set(ours.attn_processors) == set(theirs.attn_processors)
    assert {type(item) for item in ours.attn_processors.values()} == {AttnProcessor2_0}
    before = alike(pair)
    for processor in (AttnProcessor(), SlicedAttnProcessor(1)):
        for unet in pair:
            unet.set_attn_processor(processor)
        assert set(ours.attn_processors.values()) == {processor}
        assert (alike(pair) - before).abs().max() < 1e-4
    seen: list[tuple[int, ...]] = []

    class Watching(AttnProcessor):
        def __call__(self, attn: Any, hidden_states: Tensor, *rest: Any, **more: Any) -> Tensor:
            seen.append((attn.heads, attn.to_q.in_features, attn.to_k.in_features))
            return super().__call__(attn, hidden_states, *rest, **more)

    one = next(name for name in ours.attn_processors if name.startswith("mid") and "attn2" in name)
    ours.set_attn_processor(ours.attn_processors | {one: Watching()})
    ours(**given())
    assert seen == [(8, 64, 24)]
    with pytest.raises(InputError, match="processor: 'nonsense'; needed: one for each name"):
        ours.set_attn_processor({"nonsense": AttnProcessor()})
    ours.set_default_attn_processor()
    assert torch.equal(alike(pair), before)


def test_processors_refuse_attention_that_is_no_softmax() -> None:
    level = Level(16, "full", (1,), (1, 1), self_attention=True)
    relu = Architecture((level,), attention="relu", norm_groups=8, head_width=8, latent_size=4)
    unet = PipelineUNet.wrapping(UNet(relu))
    with pytest.raises(InputError, match="processor: AttnProcessor on relu attention"):
        unet.set_attn_processor(AttnProcessor())
    unet.set_attn_processor(AttnProcessor2_0())  # what a pipeline sets back to


def test_fused_projections_give_what_they_gave_apart(pair: Pair) -> None:
    from diffusers.models.attention_processor import FusedAttnProcessor2_0

    before, names = alike(pair), set(pair[0].state_dict())
    for unet in pair:
        unet.fuse_qkv_projections()
        unet.set_attn_processor(FusedAttnProcessor2_0())  # as StableDiffusionPipeline does
    assert (alike(pair) - before).abs().max() < 1e-5
    assert set(pair[0].state_dict()) == names  # a saved network is none the wiser
    pair[0].unfuse_qkv_projections()
    assert torch.equal(pair[0](**given()).sample, before)

    shared = PipelineUNet.wrapping(randomised(FOUND))  # keys that are the values too
    latents, text = torch.randn(1, 8, 8, 8), torch.randn(1, 12, 24)
    apart = shared(latents, 3, text).sample
    shared.fuse_qkv_projections()
    assert (shared(latents, 3, text).sample - apart).abs().max() < 1e-5


def test_checkpointed_gradients_are_those_of_diffusers(pair: Pair) -> None:
    gradients = []
    for unet in pair:
        unet.enable_gradient_checkpointing()
        unet.train()
        unet(**given()).sample.square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in unet.named_parameters()})
    mine = {diffusers_name(name.removeprefix("unet.")): item for name, item in gradients[0].items()}
    assert mine.keys() == gradients[1].keys()
    assert all((mine[name] - grad).abs().max() < 1e-5 for name, grad in gradients[1].items())


def test_checkpointing_runs_every_unit_twice(pair: Pair) -> None:
    calls: list[int] = []
    unit = pair[0].unet.down[0].stages[0].conv
    unit.register_forward_hook(lambda *_: calls.append(1))
    pair[0](**given()).sample.sum().backward()
    assert len(calls) == 1
    pair[0].enable_gradient_checkpointing()
    pair[0](**given()).sample.sum().backward()
    assert len(calls) == 3


def test_repeated_blocks_are_the_transformer_layers(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []  # compiling itself takes seconds
    monkeypatch.setattr(torch.nn.Module, "compile", lambda part, **_: compiled.append(type(part).__name__))
    pair[0].compile_repeated_blocks(fullgraph=True)
    assert compiled == ["TransformerLayer"] * 7


@pytest.mark.parametrize("channels", [9, 8])
def test_conditions_beside_the_noise_enter(channels: int) -> None:
    """Inpainting's mask and masked image, and the image of instruct-pix2pix."""
    peer = shaken(UNet2DConditionModel(**SD | {"in_channels": channels}))
    unet = assign(
        empty_unet(architecture_from_diffusers(peer.config)), dict(peer.state_dict()), diffusers_name
    )
    wrapper = PipelineUNet.wrapping(unet).eval()
    assert (wrapper.config.in_channels, wrapper.config.out_channels) == (channels, 4)
    assert wrapper.config.block_out_channels == [16, 32, 64]
    torch.manual_seed(3)
    latents, text = torch.randn(1, channels, 16, 16), torch.randn(1, 7, 24)
    with torch.no_grad():
        expected = peer(latents, 5, text).sample
        assert (wrapper(latents, 5, text).sample - expected).abs().max() < 1e-4


def test_images_without_an_ip_adapter_are_refused_by_name(pair: Pair) -> None:
    images = {"image_embeds": torch.zeros(2, 1, 4)}
    with pytest.raises(InputError, match=r"added_cond_kwargs.image_embeds: not supported"):
        pair[0](**given(added_cond_kwargs=images))
    with pytest.raises(InputError, match="cross_attention_kwargs: ip_adapter_masks not supported"):
        pair[0](**given(cross_attention_kwargs={"ip_adapter_masks": 1}))
    for name in ("gligen", "anything"):
        with pytest.raises(InputError, match=f"cross_attention_kwargs: {name} not supported; allowed: scale"):
            pair[0](**given(cross_attention_kwargs={name: {}}))
