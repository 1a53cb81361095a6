"""Hypothesis strategies over whole architectures, narrow enough to be built in milliseconds."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from space.architecture import Architecture, Level, Middle
from space.autoencoder import Autoencoder, ImageLevel, ImageMiddle, Way

UNIT = 4  # channels are multiples of it, and it is a multiple of every group, head count and head width


def channel_widths(largest: int = 4) -> SearchStrategy[int]:
    return st.integers(1, largest).map(lambda units: UNIT * units)


@st.composite
def levels(draw: st.DrawFn, most_blocks: int = 2, most_layers: int = 2) -> Level:
    blocks = draw(st.integers(1, most_blocks))
    layers = st.integers(0, most_layers)
    return Level(
        channels=draw(channel_widths()),
        conv=draw(st.sampled_from(["full", "separable"])),
        down=tuple(draw(st.lists(layers, min_size=blocks, max_size=blocks))),
        up=tuple(draw(st.lists(layers, min_size=blocks + 1, max_size=blocks + 1))),
        self_attention=draw(st.booleans()),
        cross_attention=draw(st.booleans()),
    )


middles: SearchStrategy[Middle] = st.builds(
    Middle,
    blocks=st.lists(st.integers(0, 2), min_size=1, max_size=2).map(tuple),
    conv=st.sampled_from(["full", "separable"]),
    self_attention=st.booleans(),
    cross_attention=st.booleans(),
)


@st.composite
def architectures(
    draw: st.DrawFn, most_levels: int = 4, most_blocks: int = 2, most_layers: int = 2
) -> Architecture:
    """Any network that an `Architecture` can describe, every switch sampled, at most 16 channels wide."""
    stacks = tuple(draw(st.lists(levels(most_blocks, most_layers), min_size=1, max_size=most_levels)))
    head_width, heads = draw(
        st.sampled_from([(1, None), (2, None), (4, None), (None, 1), (None, 2), (None, 4)])
    )
    return Architecture(
        levels=stacks,
        middle=draw(st.none() | middles),
        separable_expansion=draw(st.integers(1, 4)),
        separable_kernel=draw(st.sampled_from([1, 3, 5, 7])),
        feed_forward_ratio=draw(st.integers(1, 4)),
        activation=draw(st.sampled_from(["swish", "gelu"])),
        attention=draw(st.sampled_from(["softmax", "relu"])),
        shared_key_value=draw(st.booleans()),
        head_width=head_width,
        heads=heads,
        norm_groups=draw(st.sampled_from([1, 2, 4])),
        time_width=draw(st.integers(1, 12)),
        stack_projection=draw(st.sampled_from(["none", "conv", "linear"])),
        latent_channels=draw(st.integers(1, 8)),
        latent_size=draw(st.integers(2, 3)) << (len(stacks) - 1),
        context_length=draw(st.integers(1, 7)),
        context_width=draw(st.integers(1, 9)),
        condition_channels=draw(st.sampled_from([0, 3])),
        guidance_width=draw(st.sampled_from([0, 5])),
        pooled_width=draw(st.sampled_from([0, 5])),
        size_embeddings=draw(st.sampled_from([0, 2])),
    )


CONVS = st.sampled_from(["full", "separable", "plain"])


@st.composite
def ways(draw: st.DrawFn, count: int) -> Way:
    blocks = st.integers(1, 2)
    middle = st.builds(ImageMiddle, blocks=st.just(2), attention=st.booleans(), conv=CONVS)
    return Way(
        tuple(ImageLevel(draw(channel_widths()), draw(blocks), draw(CONVS)) for _ in range(count)),
        draw(st.none() | middle | st.just(ImageMiddle(1, False))),
        separable_expansion=draw(st.integers(1, 4)),
        separable_kernel=draw(st.sampled_from([1, 3, 5])),
        norm_groups=draw(st.sampled_from([1, 2, 4])),
    )


@st.composite
def autoencoders(draw: st.DrawFn) -> Autoencoder:
    """Any of at most 16 channels, for images of at most 16 pixels."""
    count = draw(st.integers(1, 3))
    return Autoencoder(
        draw(ways(count)),
        draw(ways(count)),
        latent_channels=draw(st.integers(1, 4)),
        latent_convs=draw(st.booleans()),
        image_size=draw(st.integers(1, 4)) * 2 ** (count - 1),
    )
