"""Random architectures that are the same on every machine: what was recorded of them must stay true."""

from __future__ import annotations

import random
from typing import Any

from space.architecture import Architecture

UNIT = 4  # channels are multiples of it, and it is a multiple of every group, head count and head width


def example(number: int) -> Architecture:
    """A network at most 24 channels wide, every switch sampled."""
    chance = random.Random(number)
    levels = [_level(chance) for _ in range(chance.randint(1, 4))]
    head_width, heads = chance.choice(((1, None), (2, None), (4, None), (None, 1), (None, 2), (None, 4)))
    plain: dict[str, Any] = {
        "levels": levels,
        "middle": _middle(chance) if chance.random() < 0.5 else None,
        "separable_expansion": chance.randint(1, 4),
        "feed_forward_ratio": chance.randint(1, 4),
        "activation": chance.choice(("swish", "gelu")),
        "attention": chance.choice(("softmax", "relu")),
        "shared_key_value": chance.random() < 0.5,
        "head_width": head_width,
        "heads": heads,
        "norm_groups": chance.choice((1, 2, 4)),
        "time_width": chance.randint(1, 40),
        "stack_projection": chance.choice(("none", "conv", "linear")),
        "latent_channels": chance.randint(1, 8),
        "latent_size": chance.randint(1, 3) << (len(levels) - 1),
        "context_length": chance.randint(1, 90),
        "context_width": chance.randint(1, 9),
        "pooled_width": chance.choice((0, 5)),
        "size_embeddings": chance.choice((0, 2)),
    }
    return Architecture.from_plain(plain)


def _level(chance: random.Random) -> dict[str, Any]:
    blocks = chance.randint(1, 3)
    return {
        "channels": UNIT * chance.randint(1, 6),
        "conv": chance.choice(("full", "separable")),
        "down": [chance.randint(0, 3) for _ in range(blocks)],
        "up": [chance.randint(0, 3) for _ in range(blocks + 1)],
        "self_attention": chance.random() < 0.5,
        "cross_attention": chance.random() < 0.5,
    }


def _middle(chance: random.Random) -> dict[str, Any]:
    return {
        "blocks": [chance.randint(0, 2) for _ in range(chance.randint(1, 2))],
        "conv": chance.choice(("full", "separable")),
        "self_attention": chance.random() < 0.5,
        "cross_attention": chance.random() < 0.5,
    }
