"""What a price list holds an entry for: the parts that the stages of a network are made of.

A transformer layer is two attentions and a feed-forward, each with its norm and its sum: so many different
layers are a few parts. A conv block that takes a skip is timed with the joining, and the first layer behind
a block with the way from map to tokens and back ("stack").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from space.candidates import Candidate
from space.kinds.stage import Stage
from space.kinds.table import CONV_BLOCKS, IMAGE_BLOCKS
from space.prices.candidates import candidate_walk


class TimedPart(NamedTuple):
    """What is timed once. `size` is that of the map that goes in; `options` are pairs of names and values."""

    kind: str
    size: int
    inputs: int
    outputs: int
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        widths = str(self.outputs) if self.inputs == self.outputs else f"{self.inputs} -> {self.outputs}"
        return f"{self.family}, {widths} channels"

    @property
    def family(self) -> Family:
        even = self.kind in IMAGE_BLOCKS and self.inputs == self.outputs
        return Family(self.kind, self.size, even, self.options)


class Family(NamedTuple):
    """Parts that differ in their widths alone. A conv block that changes the
    width has a shortcut, one that is `even` has none."""

    kind: str
    size: int
    even: bool
    options: tuple[tuple[str, Any], ...]

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.options)
        return f"{self.kind!r} at {self.size}x{self.size}" + (f" ({options})" if options else "")


class Instance(NamedTuple):
    """A stage as it stands: whether it joins a skip to its input, and is the first of a stack of layers."""

    stage: Stage
    joined: bool
    enters: bool


def instances(a: Candidate) -> Iterator[Instance]:
    """Every stage of a network, in the order of the forward pass; of an autoencoder those of its decoder."""
    inside = False
    for stage, _, skip in candidate_walk(a):
        layer = stage.kind == "transformer"
        yield Instance(stage, skip == "pop", layer and not inside)
        inside = layer


def instance_parts(instance: Instance) -> list[TimedPart]:
    stage = instance.stage
    if stage.kind in CONV_BLOCKS:
        return [_part(stage, stage.kind, joined=instance.joined, **stage.options._asdict())]
    if stage.kind == "transformer":
        found = [make(stage) for present, make in _LAYER if present(stage.options)]
        return [_part(stage, "stack"), *found] if instance.enters else found
    return [_part(stage, stage.kind, **stage.options._asdict())]


def parts(a: Candidate) -> list[TimedPart]:
    """All parts of a network, one for each time that it runs."""
    return [part for instance in instances(a) for part in instance_parts(instance)]


def _part(stage: Stage, kind: str, **options: Any) -> TimedPart:
    return TimedPart(kind, stage.size, stage.inputs, stage.outputs, tuple(sorted(options.items())))


def _self_attention(stage: Stage) -> TimedPart:
    options = stage.options
    return _part(
        stage,
        "self-attention",
        attention=options.attention,
        head_width=stage.inputs // options.heads,
        shared_key_value=options.shared_key_value,
    )


def _cross_attention(stage: Stage) -> TimedPart:
    options = stage.options
    return _part(
        stage,
        "cross-attention",
        attention=options.attention,
        context_length=options.context_length,
        context_width=options.context_width,
        head_width=stage.inputs // options.heads,
    )


def _feed_forward(stage: Stage) -> TimedPart:
    options = stage.options
    return _part(
        stage,
        "feed-forward",
        activation=options.activation,
        feed_forward_ratio=options.feed_forward_ratio,
    )


_LAYER: tuple[tuple[Callable[[Any], bool], Callable[[Stage], TimedPart]], ...] = (
    (lambda options: options.self_attention, _self_attention),
    (lambda options: options.cross_attention, _cross_attention),
    (lambda options: True, _feed_forward),
)


def counted_parts(networks: Iterable[Candidate]) -> Mapping[TimedPart, int]:
    """Every part of some networks, with how often it runs in all of them."""
    counts: dict[TimedPart, int] = {}
    for network in networks:
        for part in parts(network):
            counts[part] = counts.get(part, 0) + 1
    return counts
