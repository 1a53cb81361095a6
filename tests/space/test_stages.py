"""The one walk: stages in the order of the forward pass, equal where they do equal work; kinds by name."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import nn

from space import blocks
from space.architecture import Architecture
from space.kinds import transformer
from space.kinds.convolution import FullOptions, SeparableOptions
from space.kinds.stage import Activation, AttentionKind, Axis, ConvKind, Kind, Projection, Stage
from space.kinds.table import CONV_BLOCKS, KINDS, OWN_OPTIONS, build
from space.kinds.transformer import LayerOptions, ProjectionOptions
from space.levels import Level, Middle
from space.prices.counters import example_inputs, parameter_count
from space.prices.macs import cost_of, price
from space.shared.plain import InputError
from space.slices import pieces
from space.stages import STACK, stages, units
from space.unet import UNet
from tests.space.strategies import architectures

TINY = Architecture(
    levels=(
        Level(8, "full", (0,), (0, 1), cross_attention=True),
        Level(12, "separable", (2, 0), (0, 1, 0), self_attention=True),
    ),
    middle=Middle((1,)),
    head_width=4,
    norm_groups=4,
    time_width=16,
    stack_projection="linear",
    latent_channels=3,
    latent_size=6,
    context_length=5,
    context_width=7,
    pooled_width=1,
    size_embeddings=1,
)


def test_the_stages_of_a_small_unet_by_hand() -> None:
    found = [(s.where, s.kind, s.inputs, s.outputs, s.size, s.skip) for s in stages(TINY)]
    stack = ["project in", "transformer", "project out"]
    assert found == [
        ("embeddings", "time embedding", 8, 16, 1, "none"),
        ("embeddings", "added conditions", 1 + 256, 16, 1, "none"),
        ("in", "conv in", 3, 8, 6, "push"),
        ("down-1", "full", 8, 8, 6, "push"),
        ("down-1", "downsample", 8, 8, 6, "push"),
        ("down-2", "separable", 8, 12, 3, "none"),
        ("down-2", "project in", 12, 12, 3, "none"),
        ("down-2", "transformer", 12, 12, 3, "none"),
        ("down-2", "transformer", 12, 12, 3, "none"),
        ("down-2", "project out", 12, 12, 3, "push"),
        ("down-2", "separable", 12, 12, 3, "push"),
        ("middle", "full", 12, 12, 3, "none"),
        *[("middle", kind, 12, 12, 3, "none") for kind in stack],
        ("up-2", "separable", 12 + 12, 12, 3, "pop"),  # the second block on the way down
        ("up-2", "separable", 12 + 12, 12, 3, "pop"),  # the first
        *[("up-2", kind, 12, 12, 3, "none") for kind in stack],
        ("up-2", "separable", 12 + 8, 12, 3, "pop"),  # the downsampled map
        ("up-2", "upsample", 12, 12, 3, "none"),
        ("up-1", "full", 12 + 8, 8, 6, "pop"),
        ("up-1", "full", 8 + 8, 8, 6, "pop"),
        *[("up-1", kind, 8, 8, 6, "none") for kind in stack],
        ("out", "conv out", 8, 3, 6, "none"),
    ]


def test_options_say_what_acts_on_a_stage_and_no_more() -> None:
    options = {(stage.where, stage.kind): stage.options for stage in stages(TINY)}
    assert options["down-1", "full"] == FullOptions(time_width=16, norm_groups=4)
    assert options["down-2", "separable"] == SeparableOptions(
        16, 4, separable_expansion=4, separable_kernel=3
    )
    assert options["up-1", "project out"] == ProjectionOptions("linear", 4)
    # self-attention alone: no context; cross-attention alone: nothing shared
    assert options["up-2", "transformer"] == LayerOptions(
        True, False, 3, "swish", heads=3, shared_key_value=True
    )
    assert options["up-1", "transformer"] == LayerOptions(
        False, True, 3, "swish", heads=2, context_width=7, context_length=5
    )


def test_equal_work_is_one_key_wherever_it_stands() -> None:
    one = Stage("full", 8, 8, 6, FullOptions(16, 4), where="down-1", skip="push")
    other = replace(one, where="up-1", skip="pop")
    assert one == other and hash(one) == hash(other)
    assert one != replace(one, size=3) and one != replace(one, options=FullOptions(16, 2))
    assert pickle.loads(pickle.dumps(one)) == one
    layers = [stage for stage in stages(TINY) if stage.kind == "transformer"]
    assert len(layers) == 5 and len(set(layers)) == 3  # of level 2, of the middle, of level 1


def test_units_are_conv_blocks_and_their_stacks() -> None:
    down_1, down_2 = ([s for s in stages(TINY) if s.where == where] for where in ("down-1", "down-2"))
    assert [len(unit) for unit in units(tuple(down_1))] == [1]  # without the downsampling
    assert [len(unit) for unit in units(tuple(down_2))] == [5, 1]


@settings(deadline=None, max_examples=200, derandomize=True, suppress_health_check=list(HealthCheck))
@given(architectures())
def test_every_random_network_hangs_together(a: Architecture) -> None:
    """Skips are taken last in, first out, and widths and sizes follow from one stage to the next."""
    channels, size, skips = a.input_channels, a.latent_size, []
    for stage in stages(a):
        if stage.where == "embeddings":
            joins_sines = stage.kind == "guidance"
            assert stage.outputs == (a.levels[0].channels if joins_sines else a.time_width)
            continue
        joined = skips.pop() if stage.skip == "pop" else (0, size)
        assert (stage.inputs, stage.size) == (channels + joined[0], size) and joined[1] == size
        channels, size = stage.outputs, size // 2 if stage.kind == "downsample" else size
        size = 2 * size if stage.kind == "upsample" else size
        if stage.skip == "push":
            skips.append((channels, size))
    assert (channels, size, skips) == (a.latent_channels, a.latent_size, [])
    kinds = [stage.kind for stage in stages(a)]
    assert sum(kind in CONV_BLOCKS for kind in kinds) == a.conv_blocks
    layers = [stage.options for stage in stages(a) if stage.kind == "transformer"]
    assert sum(layer.self_attention for layer in layers) == a.self_attention_layers
    assert sum(layer.cross_attention for layer in layers) == a.cross_attention_layers


@settings(deadline=None, max_examples=20, derandomize=True, suppress_health_check=list(HealthCheck))
@given(architectures(most_levels=2))
def test_each_stage_builds_what_it_prices(a: Architecture) -> None:
    """A norm in front of the last convolution and of a stack belongs to what surrounds it."""
    with torch.device("meta"):
        for stage in stages(a):
            outside = 2 * stage.inputs if stage.kind in ("project in", "conv out") else 0
            assert parameter_count(build(stage)) + outside == cost_of(stage).parameters


# ---------------------------------------------------------------------- kinds


def test_every_literal_has_its_entries() -> None:
    """A name that can be written can be built and priced."""
    assert set(get_args(ConvKind)) == set(CONV_BLOCKS)
    assert set(get_args(Activation)) == set(blocks.ACTIVATIONS)
    assert set(get_args(AttentionKind)) == set(blocks.ATTENTIONS) == set(transformer.ATTENTION_MEMORY)
    assert set(get_args(Projection)) == {"none", *blocks.PROJECTIONS}
    assert set(CONV_BLOCKS) | set(STACK) < set(KINDS)


def test_what_acts_on_one_block_alone() -> None:
    assert OWN_OPTIONS == {"full": (), "separable": ("separable_expansion", "separable_kernel")}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Level(320, "third", (0,), (0, 0)), "conv: 'third' is not a choice here; Valid: full, sep"),
        (lambda: Level(320, "seperable", (0,), (0, 0)), "conv: 'seperable' .*did you mean 'separable'"),
        (lambda: Middle((0,), "third"), "conv: 'third' is not a choice here"),
        (lambda: replace(TINY, activation="swosh"), "activation: 'swosh' .*did you mean 'swish'"),
        (lambda: replace(TINY, attention="relo"), "attention: 'relo' .*did you mean 'relu'"),
        (lambda: replace(TINY, stack_projection="line"), "stack_projection: 'line' .*did you mean 'linear'"),
        (lambda: cost_of(Stage("third", 4, 4, 2)), "kind: 'third' is not a choice here"),
        (lambda: build(Stage("conv inn", 4, 4, 2)), "kind: 'conv inn' .*did you mean 'conv in'"),
        (lambda: blocks.Attention(4, 1, None, True, "relo"), "attention: 'relo' .*did you mean 'relu'"),
        (lambda: blocks.GatedFeedForward(4, 2, "swosh"), "activation: 'swosh'"),
        (lambda: blocks.make_projection("none", 4), "stack_projection: 'none'"),
    ],
)
def test_kinds_without_an_entry_are_refused_by_name(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"(?s)^{message}"):
        make()


class Pointwise(nn.Module):
    """A third block: 1x1 and the time, without a shortcut."""

    def __init__(self, inputs: int, outputs: int, time_width: int) -> None:
        super().__init__()
        self.conv, self.time = nn.Conv2d(inputs, outputs, 1), nn.Linear(time_width, outputs)

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + self.time(time)[:, :, None, None]


def test_a_block_is_its_class_and_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an entry in the table a further block is built, priced, held and shared like the others."""
    from space.kinds import rules

    entry = Kind(
        "pointwise conv block",
        lambda s: rules.conv(s.inputs, s.outputs, 1, s.size) + rules.linear(16, s.outputs, 1),
        lambda s: 2 * s.outputs * s.pixels + s.outputs,
        lambda s: Pointwise(s.inputs, s.outputs, s.options.time_width),
        lambda s, inputs: {"conv": (width := Axis((s.outputs,)), inputs), "time": (width, Axis((16,)))},
        FullOptions,
    )
    for table in (CONV_BLOCKS, KINDS):
        monkeypatch.setitem(table, "pointwise", entry)  # type: ignore[arg-type]
    monkeypatch.setitem(OWN_OPTIONS, "pointwise", ())  # type: ignore[arg-type]
    a = replace(TINY, levels=(TINY.levels[0], replace(TINY.levels[1], conv="pointwise")))
    assert a.canonical().separable_expansion == 4
    network = UNet(a)
    assert parameter_count(network) == price(a).parameters
    assert network(*example_inputs(a)).shape == (1, 3, 6, 6)
    assert {piece.name for piece in pieces(a)} == network.state_dict().keys()
