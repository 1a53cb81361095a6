"""Every rule of `space.kinds` by hand, on widths small enough for a pencil; then two counters."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from space.architecture import Architecture, Level, Middle
from space.kinds import rules
from space.kinds.rules import Cost
from space.kinds.stage import Stage
from space.kinds.table import KINDS
from space.kinds.transformer import attention, feed_forward
from space.prices.counters import fvcore_count, meta_count
from space.prices.macs import breakdown, price
from space.prices.macs import cost_of as price_of
from tests.space.strategies import architectures

ARCH = Path(__file__).parents[3] / "conf" / "arch"
MD, MD_LITE = Architecture.load(ARCH / "md.yaml"), Architecture.load(ARCH / "md_lite.yaml")

# -------------------------------------------------------- by hand: (parameters, MACs, attention)


def cost_of(kind: str, inputs: int, outputs: int, size: int, *options: Any) -> Cost:
    """Of a stage on a map of size x size, its options in the order of its kind's."""
    return price_of(Stage(kind, inputs, outputs, size, KINDS[kind].options(*options)))


def test_linear() -> None:
    # 3 x 2 = 6 weights and 2 biases; 6 multiplications for each of 5 tokens
    assert rules.linear(3, 2, 5) == (8, 30, 0)
    assert rules.linear(3, 2, 5, bias=False) == (6, 30, 0)


def test_conv() -> None:
    # 3 x 3 x 2 x 4 = 72 weights and 4 biases; used at 5 x 5 = 25 pixels: 1800
    assert rules.conv(2, 4, 3, 5) == (76, 1800, 0)
    # depthwise on 4 channels: 3 x 3 x 1 x 4 = 36 weights, 4 biases; 25 x 36 = 900
    assert rules.conv(4, 4, 3, 5, groups=4) == (40, 900, 0)


def test_norm_and_embedding() -> None:
    assert rules.norm(7) == (14, 0, 0)
    # 2 -> 3: 6 + 3; 3 -> 3: 9 + 3; one vector, so 6 + 9 MACs
    assert cost_of("time embedding", 2, 3, 1) == (21, 15, 0)


def test_full_block_that_changes_width() -> None:
    # inputs 2, outputs 4, time 3, on 2 x 2 = 4 pixels
    # norm 2*2 = 4 | 3x3 2->4: 72 + 4 | time 3->4: 12 + 4 | norm 2*4 = 8 | 3x3 4->4: 144 + 4 | 1x1 2->4: 8 + 4
    parameters = 4 + 76 + 16 + 8 + 148 + 12
    # 4 * 72 = 288 | 12 once | 4 * 144 = 576 | 4 * 8 = 32
    assert cost_of("full", 2, 4, 2, 3, 1) == (parameters, 288 + 12 + 576 + 32, 0)


def test_full_block_of_one_width_has_no_shortcut() -> None:
    # norms 8 + 8 | two 3x3 4->4: 148 each | time 3->4: 16; MACs 2 * 576 + 12
    assert cost_of("full", 4, 4, 2, 3, 1) == (8 + 8 + 148 + 148 + 16, 1164, 0)


def test_separable_block() -> None:
    # inputs 2, outputs 4, time 3, 4 pixels, expansion 2, so 8 hidden channels, kernel 3
    # depthwise 9*2 = 18 + 2 | norm 4 | 1x1 2->8: 16 + 8 | 1x1 8->4: 32 + 4 | time 12 + 4 | shortcut 8 + 4
    parameters = 20 + 4 + 24 + 36 + 16 + 12
    # 4 * 18 = 72 | 4 * 16 = 64 | 4 * 32 = 128 | 12 | 4 * 8 = 32
    assert cost_of("separable", 2, 4, 2, 3, 1, 2, 3) == (parameters, 72 + 64 + 128 + 12 + 32, 0)
    # of one width, 4 -> 4: 40 | 8 | 1x1 4->8: 32 + 8 | 36 | 16; MACs 4 * 36 + 4 * 32 + 4 * 32 + 12
    assert cost_of("separable", 4, 4, 2, 3, 1, 2, 3) == (40 + 8 + 40 + 36 + 16, 144 + 128 + 128 + 12, 0)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 9])
def test_the_kernel_of_a_separable_block(kernel: int) -> None:
    # as above; depthwise k*k*2 weights and 2 biases, at 4 pixels
    parameters = (2 * kernel**2 + 2) + 4 + 24 + 36 + 16 + 12
    assert cost_of("separable", 2, 4, 2, 3, 1, 2, kernel) == (
        parameters,
        4 * 2 * kernel**2 + 64 + 128 + 12 + 32,
        0,
    )


def test_self_attention() -> None:
    # 4 channels, 9 tokens: Q, K, V 16 weights each, output 16 + 4; projections 9 * 16 = 144 each
    # products: 9 x 9 scores of 4 multiplications = 324, and the weighted sum 324 again
    assert attention(4, 9, 4, 9, shared_key_value=False) == (3 * 16 + 20, 4 * 144 + 648, 648)
    assert attention(4, 9, 4, 9, shared_key_value=True) == (2 * 16 + 20, 3 * 144 + 648, 648)


def test_cross_attention() -> None:
    # 4 channels, 9 tokens over 5 words of width 3: Q 16, K and V 3 x 4 = 12 each, output 16 + 4
    # Q 144 | K and V 5 * 12 = 60 each | output 144 | products 2 * 9 * 5 * 4 = 360
    assert attention(4, 9, 3, 5, shared_key_value=False) == (60, 144 + 120 + 144 + 360, 360)


def test_feed_forward() -> None:
    # 4 channels, ratio 3, 9 tokens: 4 -> 24: 96 + 24; 12 -> 4: 48 + 4; 9 * (96 + 48)
    assert feed_forward(4, 9, 3) == (172, 1296, 0)


def test_transformer_layer() -> None:
    # the three above, each behind a norm of 8 parameters, K and V shared in self-attention
    layer = cost_of("transformer", 4, 4, 3, True, True, 3, "swish", "softmax", 1, True, 3, 5)
    assert layer == (8 + 52 + 8 + 60 + 8 + 172, 1080 + 768 + 1296, 648 + 360)
    assert cost_of("transformer", 4, 4, 3, False, False, 3, "swish") == (180, 1296, 0)
    # relu or softmax, heads and activation cost nothing
    assert cost_of("transformer", 4, 4, 3, True, True, 3, "gelu", "relu", 4, True, 3, 5) == layer


def test_projections_around_a_stack() -> None:
    # norm 8, in 16 + 4; out 16 + 4; 9 tokens * 16 each
    assert cost_of("project in", 4, 4, 3, "conv", 1) == (28, 144, 0)
    assert cost_of("project out", 4, 4, 3, "conv", 1) == (20, 144, 0)


TINY = Architecture(
    levels=(
        Level(2, "full", (0,), (0, 0)),
        Level(4, "separable", (1,), (0, 1), self_attention=True, cross_attention=True),
    ),
    separable_expansion=2,
    head_width=2,
    norm_groups=1,
    time_width=3,
    latent_channels=1,
    latent_size=4,
    context_length=5,
    context_width=3,
)


def test_a_whole_tiny_unet() -> None:
    by_hand = [
        ("time embedding", 21, 15),  # 2 -> 3 -> 3
        ("conv in", 20, 288),  # 3x3 1->2: 18 + 2; 16 pixels
        ("full conv block", 4 + 38 + 8 + 4 + 38, 576 + 6 + 576),  # 2 -> 2; 16 pixels of 36
        ("downsample", 38, 144),  # 3x3 2->2: 36 + 2; 2 x 2 pixels
        ("separable conv block", 112, 308),  # 2 -> 4, as above
        # 4 tokens: SA 52, 3 * 64 + 2 * 4 * 4 * 4 = 320; CA 60, 64 + 60 + 60 + 64 + 2 * 4 * 5 * 4 = 408;
        # feed-forward 172, 4 * 144 = 576
        ("transformer", 24 + 52 + 60 + 172, 320 + 408 + 576),
        # up, 4 + 4 -> 4: depthwise 72 + 8 | norm 16 | 8->8: 64 + 8 | 8->4: 36 | time 16 | 8->4: 36
        ("separable conv block", 80 + 16 + 72 + 36 + 16 + 36, 4 * (72 + 64 + 32 + 32) + 12),
        # up, 4 + 2 -> 4 (the downsampled map): 54 + 6 | 12 | 6->8: 48 + 8 | 36 | 16 | 6->4: 24 + 4
        ("separable conv block", 60 + 12 + 56 + 36 + 16 + 28, 4 * (54 + 48 + 32 + 24) + 12),
        ("transformer", 308, 1304),
        ("upsample", 148, 16 * 144),  # 3x3 4->4 on 4 x 4 pixels
        # up, 4 + 2 -> 2: norm 12 | 3x3 6->2: 108 + 2 | time 8 | norm 4 | 38 | 1x1 12 + 2
        ("full conv block", 12 + 110 + 8 + 4 + 38 + 14, 16 * (108 + 36 + 12) + 6),
        # up, 2 + 2 -> 2: norm 8 | 3x3 4->2: 72 + 2 | time 8 | norm 4 | 38 | 1x1 8 + 2
        ("full conv block", 8 + 74 + 8 + 4 + 38 + 10, 16 * (72 + 36 + 8) + 6),
        ("conv out", 4 + 19, 288),  # norm 4; 3x3 2->1: 18 + 1
    ]
    assert [(item.kind, *item.cost[:2]) for item in breakdown(TINY)] == by_hand
    total = (sum(row[1] for row in by_hand), sum(row[2] for row in by_hand), 2 * (128 + 160))
    assert price(TINY) == total


def test_a_whole_tiny_unet_of_another_kernel() -> None:
    # three separable blocks, 2, 8 and 6 channels wide at 2 x 2 pixels: (7 x 7 - 3 x 3) more weights a channel
    wider = price(replace(TINY, separable_kernel=7))
    assert wider.parameters - price(TINY).parameters == 40 * (2 + 8 + 6)
    assert wider.macs - price(TINY).macs == 4 * 40 * (2 + 8 + 6)
    assert meta_count(replace(TINY, separable_kernel=7))[:3] == wider


def test_middle_and_added_conditions() -> None:
    # SDXL's conditions: 5 numbers and 1 x 256 sines: 261 -> 3 -> 3: 783 + 3 + 9 + 3; MACs 783 + 9
    # a middle of one separable 4 -> 4 block: 140, 412 (above), and no layers
    more = replace(TINY, middle=Middle((0,), "separable"), pooled_width=5, size_embeddings=1)
    assert price(more).parameters - price(TINY).parameters == 798 + 140
    assert price(more).macs - price(TINY).macs == 792 + 412


def test_channels_beside_the_latents_and_an_embedded_guidance_scale() -> None:
    more, outer = replace(TINY, condition_channels=5, guidance_width=6), TINY.levels[0].channels
    assert price(more).parameters - price(TINY).parameters == 9 * 5 * outer + 6 * outer
    assert price(more).macs - price(TINY).macs == 9 * 5 * outer * TINY.latent_size**2 + 6 * outer
    assert more.id != TINY.id and replace(TINY, condition_channels=0, guidance_width=0).id == TINY.id


# ---------------------------------------------------------------------- the paper


def test_md_is_within_one_percent_of_the_paper() -> None:
    cost = price(MD)
    assert cost.parameters == 387_376_712
    assert cost.parameters == pytest.approx(386e6, rel=0.01)
    assert cost.gmacs == pytest.approx(182, rel=0.01)
    assert round(cost.gmacs, 2) == 183.57
    assert cost.flops == 2 * cost.macs
    assert cost.macs_without_attention_products == cost.macs - cost.attention_macs


def test_md_lite_counts_as_in_the_docs() -> None:
    cost = price(MD_LITE)
    assert (round(cost.parameters / 1e6, 1), round(cost.gmacs, 2)) == (278.2, 153.99)


# -------------------------------------------------------- against counters that know nothing of it


@pytest.mark.parametrize("architecture", [MD, MD_LITE, TINY], ids=["md", "md_lite", "tiny"])
def test_equals_pytorchs_counter(architecture: Architecture) -> None:
    assert meta_count(architecture)[:3] == price(architecture)


NO_LIMITS = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


@settings(max_examples=25, **NO_LIMITS)
@given(architectures(most_levels=3, most_blocks=1, most_layers=1))
def test_random_shallow_architectures_equal_pytorchs_counter(architecture: Architecture) -> None:
    assert meta_count(architecture)[:3] == price(architecture)


@settings(max_examples=12, **NO_LIMITS)
@given(architectures())
def test_random_architectures_equal_pytorchs_counter(architecture: Architecture) -> None:
    assert meta_count(architecture)[:3] == price(architecture)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@settings(max_examples=600, **(NO_LIMITS | {"derandomize": False}))
@given(architectures())
def test_many_random_architectures_equal_pytorchs_counter(architecture: Architecture) -> None:
    assert meta_count(architecture)[:3] == price(architecture)


@settings(max_examples=10, **NO_LIMITS)
@given(architectures(most_levels=2))
def test_random_architectures_equal_fvcore(architecture: Architecture) -> None:
    assert fvcore_count(architecture)[:3] == price(architecture)


def test_narrow_md_equals_fvcore() -> None:
    widths = (32, 64, 96)
    levels = tuple(replace(level, channels=width) for level, width in zip(MD.levels, widths, strict=True))
    narrow = replace(MD, levels=levels, head_width=32, latent_size=8)
    assert fvcore_count(narrow)[:3] == price(narrow)
