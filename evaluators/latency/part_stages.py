"""The stage that a part of a price list is of, so that chains can be built of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from space.kinds.image import MapOptions
from space.kinds.stage import Stage
from space.kinds.table import CONV_BLOCKS, KINDS
from space.kinds.transformer import LayerOptions
from space.prices.parts import TimedPart

PLAIN_FEED_FORWARD: dict[str, Any] = {"activation": "swish", "feed_forward_ratio": 2}


def stage_of(part: TimedPart) -> Stage:
    """The stage that a part is of; of an attention the layer that has it and a plain feed-forward."""
    options = dict(part.options)
    if part.kind not in _OPTIONS:
        return Stage(part.kind, part.inputs, part.outputs, part.size)
    kind, made = _OPTIONS[part.kind](part, options)
    return Stage(kind, part.inputs, part.outputs, part.size, made)


def _block(part: TimedPart, options: dict[str, Any]) -> tuple[str, Any]:
    names = KINDS[part.kind].options
    return part.kind, names(*[options[name] for name in names._fields])


def _attention(part: TimedPart, options: dict[str, Any]) -> tuple[str, Any]:
    own = part.kind == "self-attention"
    heads = part.inputs // options.pop("head_width")
    return "transformer", LayerOptions(
        own, not own, PLAIN_FEED_FORWARD["feed_forward_ratio"], "swish", heads=heads, **options
    )


def _feed_forward(part: TimedPart, options: dict[str, Any]) -> tuple[str, Any]:
    return "transformer", LayerOptions(False, False, options["feed_forward_ratio"], options["activation"])


def _on_map(part: TimedPart, options: dict[str, Any]) -> tuple[str, Any]:
    return part.kind, MapOptions(**options)


_OPTIONS: Mapping[str, Any] = {
    **dict.fromkeys((*CONV_BLOCKS, "conv out", "project in", "project out"), _block),
    "self-attention": _attention,
    "cross-attention": _attention,
    "feed-forward": _feed_forward,
    **dict.fromkeys(("map attention", "normed out"), _on_map),
}
