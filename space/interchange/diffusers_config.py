"""An `Architecture` to the config of a diffusers `UNet2DConditionModel`.

A config is plain data, so diffusers is not imported. What an architecture holds and diffusers has no layout
for is refused, and named.
"""

from __future__ import annotations

from typing import Any

from space.architecture import SIZE_EMBEDDING_WIDTH, Architecture, Level, Middle
from space.interchange.from_diffusers import OWN_CONTEXT_LENGTH, OWN_SIZE_NUMBERS
from space.shared.plain import InputError


def diffusers_config(architecture: Architecture) -> dict[str, Any]:
    """The `UNet2DConditionModel` config of an architecture.

    Raises:
        InputError: naming the field for which diffusers has no layout (separable convolution, shared K/V,
            swish, a feed-forward ratio other than 4, self-attention or cross-attention alone, ...).
    """
    a = architecture.canonical()
    _refuse_unknown_to_diffusers(a)
    count = len(a.levels)
    down = [_stack(f"levels[{i}].down", level.down) for i, level in enumerate(a.levels)]
    up = [_stack(f"levels[{i}].up", level.up) for i, level in enumerate(a.levels)]
    mid_type, mid_layers = _mid_block(a)
    layers = [list(level.down) if down[i] else 1 for i, level in enumerate(a.levels)]
    upward = [list(level.up) if up[i] else 1 for i, level in enumerate(a.levels)]
    for index in range(count):
        numbers = set(a.levels[index].down if down[index] else ()) | set(
            a.levels[index].up if up[index] else ()
        )
        if len(numbers) == 1:
            layers[index] = upward[index] = numbers.pop()
    if mid_layers:
        if not down[-1]:
            layers[-1] = mid_layers
        elif a.levels[-1].down[0] != mid_layers:
            raise _no_layout(
                "middle.blocks",
                list(a.middle.blocks) if a.middle else None,
                f"as many layers as levels[{count - 1}].down[0] = {a.levels[-1].down[0]}",
            )
    blocks = [len(level.down) for level in a.levels]
    symmetric = all(layers[i] == upward[i] for i in range(count) if up[i])
    config: dict[str, Any] = {
        "_class_name": "UNet2DConditionModel",
        "sample_size": a.latent_size,
        "in_channels": a.input_channels,
        "out_channels": a.latent_channels,
        "block_out_channels": [level.channels for level in a.levels],
        "layers_per_block": blocks[0] if len(set(blocks)) == 1 else blocks,  # some ask for one number
        "down_block_types": ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in down],
        "mid_block_type": mid_type,
        "up_block_types": ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(up)],
        "norm_num_groups": a.norm_groups,
        "cross_attention_dim": a.context_width,
        "transformer_layers_per_block": layers,
        "reverse_transformer_layers_per_block": None if symmetric else upward[::-1],
        "attention_head_dim": a.heads or [max(1, a.head_count(level.channels)) for level in a.levels],
        "use_linear_projection": a.stack_projection == "linear",
        "time_embedding_dim": a.time_width,
        "time_cond_proj_dim": a.guidance_width or None,
        OWN_CONTEXT_LENGTH: a.context_length,
    }
    if a.size_embeddings:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": SIZE_EMBEDDING_WIDTH,
            "projection_class_embeddings_input_dim": a.added_width,
            OWN_SIZE_NUMBERS: a.size_embeddings,
        }
    return config


def _refuse_unknown_to_diffusers(a: Architecture) -> None:
    stacks: list[tuple[str, Level | Middle]] = [(f"levels[{i}]", level) for i, level in enumerate(a.levels)]
    if a.middle is not None:
        stacks.append(("middle", a.middle))
    for where, stack in stacks:
        if stack.conv != "full":
            raise _no_layout(f"{where}.conv", stack.conv, "full")
        if stack.layers and not (stack.self_attention and stack.cross_attention):
            raise _no_layout(
                f"{where}.self_attention, cross_attention",
                (stack.self_attention, stack.cross_attention),
                "both",
            )
    if any(stack.layers for _, stack in stacks):
        for name, allowed in {
            "shared_key_value": (False,),
            "activation": ("gelu",),
            "attention": ("softmax",),
            "feed_forward_ratio": (4,),
            "stack_projection": ("conv", "linear"),
        }.items():
            if getattr(a, name) not in allowed:
                raise _no_layout(name, getattr(a, name), " or ".join(map(str, allowed)))
    if bool(a.pooled_width) != bool(a.size_embeddings):
        raise _no_layout("pooled_width", a.pooled_width, "pooled_width and size_embeddings both, or neither")


def _stack(where: str, layers: tuple[int, ...]) -> bool:
    """Whether a side has transformers; diffusers puts one after each of its conv blocks, or after none."""
    if any(layers) and not all(layers):
        raise _no_layout(where, list(layers), "layers after every conv block of the side, or after none")
    return any(layers)


def _mid_block(a: Architecture) -> tuple[str | None, int]:
    if a.middle is None:
        return None, 0
    blocks = a.middle.blocks
    if blocks == (0,):
        return "UNetMidBlock2D", 0
    if len(blocks) == 2 and blocks[0] > 0 and blocks[1] == 0:
        return "UNetMidBlock2DCrossAttn", blocks[0]
    raise _no_layout("middle.blocks", list(blocks), "[n, 0] or [0]")


def _no_layout(field: str, value: Any, allowed: str) -> InputError:
    return InputError(f"{field}: {value!r} has no diffusers layout; there: {allowed}")
