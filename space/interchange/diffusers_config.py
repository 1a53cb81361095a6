"""A diffusers `UNet2DConditionModel` config (SD-1.5, SDXL and their kin) to an `Architecture`, and back.

A config is plain data, so diffusers is not imported. What one side holds and the other cannot say is
refused, and named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from space.architecture import SIZE_EMBEDDING_WIDTH, Architecture, Level, Middle
from space.shared.plain import InputError

SDXL_SIZE_NUMBERS = 6  # original size, crop, target size: two numbers each

# What our builder always does. A config that says otherwise describes another network.
_FIXED: dict[str, tuple[Any, ...]] = {
    "center_input_sample": (False,),
    "flip_sin_to_cos": (True,),
    "freq_shift": (0,),
    "only_cross_attention": (False,),
    "mid_block_only_cross_attention": (None, False),
    "downsample_padding": (1,),
    "mid_block_scale_factor": (1,),
    "dropout": (0,),
    "act_fn": ("silu", "swish"),
    "norm_eps": (1e-5,),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "num_attention_heads": (None,),
    "dual_cross_attention": (False,),
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
    "class_embeddings_concat": (False,),
    "resnet_time_scale_shift": ("default",),
    "resnet_skip_time_act": (False,),
    "resnet_out_scale_factor": (1,),
    "time_embedding_type": ("positional",),
    "time_embedding_act_fn": (None,),
    "timestep_post_act": (None,),
    "time_cond_proj_dim": (None,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "attention_type": ("default",),
    "cross_attention_norm": (None,),
}
_DEFAULTS: dict[str, Any] = {  # of diffusers, for the keys that are read
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "norm_num_groups": 32,
    "cross_attention_dim": 1280,
    "transformer_layers_per_block": 1,
    "reverse_transformer_layers_per_block": None,
    "attention_head_dim": 8,
    "use_linear_projection": False,
    "addition_embed_type": None,
    "addition_time_embed_dim": None,
    "projection_class_embeddings_input_dim": None,
    "time_embedding_dim": None,
}
_WITHOUT_EFFECT = ("upcast_attention", "addition_embed_type_num_heads")  # on the network in fp32


# ---------------------------------------------------------------------- configuration, theirs to ours


def architecture_from_diffusers(
    config: Mapping[str, Any], *, size_numbers: int = SDXL_SIZE_NUMBERS
) -> Architecture:
    """The `Architecture` that a diffusers `UNet2DConditionModel` config describes.

    Args:
        config: what its `config.json` holds; keys that are missing have diffusers' defaults.
        size_numbers: how many of SDXL's size numbers are embedded. The config only tells the sum of their
            width and the pooled text's: 6 for SDXL base, 5 for its refiner.

    Raises:
        InputError: naming the key and value that an `Architecture` cannot express.
    """
    values = _checked(config)
    channels = tuple(values["block_out_channels"])
    count = len(channels)
    blocks = _each(values, "layers_per_block", count)
    layers = _each(values, "transformer_layers_per_block", count)
    upward = values["reverse_transformer_layers_per_block"]
    upward = (
        layers
        if upward is None
        else list(reversed(_each(values, "reverse_transformer_layers_per_block", count)))
    )
    levels = []
    for index, width in enumerate(channels):
        down = _side(values, "down_block_types", index, blocks[index], layers[index])
        up = _side(values, "up_block_types", count - 1 - index, blocks[index] + 1, upward[index])
        attends = any(down) or any(up)
        levels.append(Level(width, "full", down, up, self_attention=attends, cross_attention=attends))
    heads, head_width = _heads(values, levels)
    pooled, sizes = _added_conditions(values, size_numbers)
    return Architecture(
        levels=tuple(levels),
        middle=_middle(values, layers[-1]),
        feed_forward_ratio=4,
        activation="gelu",
        shared_key_value=False,
        norm_groups=values["norm_num_groups"],
        time_width=values["time_embedding_dim"] or 4 * channels[0],
        stack_projection="linear" if values["use_linear_projection"] else "conv",
        latent_channels=values["in_channels"],
        latent_size=_square(values["sample_size"]),
        context_width=_one_context(values["cross_attention_dim"]),
        pooled_width=pooled,
        size_embeddings=sizes,
        heads=heads,
        head_width=head_width,
    )


def _checked(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that are read, defaults filled in; all others at a value that changes nothing."""
    for key, value in config.items():
        if key in _DEFAULTS or key in _WITHOUT_EFFECT or key.startswith("_"):
            continue
        allowed = _FIXED.get(key, (None, False))
        if not any(value == choice and (value is None) == (choice is None) for choice in allowed):
            raise _inexpressible(key, value, " or ".join(map(repr, allowed)))
    values = _DEFAULTS | {key: value for key, value in config.items() if key in _DEFAULTS}
    if values["in_channels"] != values["out_channels"]:
        raise _inexpressible("out_channels", values["out_channels"], f"in_channels = {values['in_channels']}")
    for key in ("down_block_types", "up_block_types"):
        if len(values[key]) != len(values["block_out_channels"]):
            raise _inexpressible(key, values[key], "a type for each of block_out_channels")
    return values


def _each(values: Mapping[str, Any], key: str, count: int) -> list[Any]:
    """A value a level, outermost first, where diffusers takes one number for all of them too."""
    value = values[key]
    each = [value] * count if isinstance(value, int) else list(value)
    if len(each) != count:
        raise _inexpressible(key, value, f"a number, or {count} of them (a level each)")
    return each


def _side(values: Mapping[str, Any], key: str, index: int, blocks: int, layers: Any) -> tuple[int, ...]:
    """Transformer layers after each conv block of one side of a level."""
    way = "Down" if key.startswith("down") else "Up"
    plain, attending = f"{way}Block2D", f"CrossAttn{way}Block2D"
    kind = values[key][index]
    if kind == plain:
        return (0,) * blocks
    if kind != attending:
        raise _inexpressible(f"{key}[{index}]", kind, f"{plain} or {attending}")
    each = (layers,) * blocks if isinstance(layers, int) else tuple(layers)
    if len(each) != blocks or 0 in each:
        raise _inexpressible(
            "transformer_layers_per_block", layers, f"one or more layers after each of {blocks} conv blocks"
        )
    return each


def _middle(values: Mapping[str, Any], layers: Any) -> Middle | None:
    kind = values["mid_block_type"]
    if kind is None:
        return None
    if kind == "UNetMidBlock2D":
        return Middle((0,), self_attention=False, cross_attention=False)
    if kind == "UNetMidBlock2DCrossAttn":
        return Middle((layers if isinstance(layers, int) else layers[0], 0))
    raise _inexpressible("mid_block_type", kind, "UNetMidBlock2DCrossAttn, UNetMidBlock2D or None")


def _heads(values: Mapping[str, Any], levels: list[Level]) -> tuple[int | None, int | None]:
    """(heads, head width), one of them None. diffusers' `attention_head_dim` is the number of heads here."""
    value = values["attention_head_dim"]
    heads = _each(values, "attention_head_dim", len(levels))
    attending = [index for index, level in enumerate(levels) if level.layers] or [len(levels) - 1]
    if values["mid_block_type"] == "UNetMidBlock2DCrossAttn":
        attending.append(len(levels) - 1)
    numbers = {heads[index] for index in attending}
    widths = {levels[index].channels / heads[index] for index in attending}
    if isinstance(value, int) or (len(numbers) == 1 and len(widths) > 1):
        return numbers.pop(), None
    if len(widths) == 1 and (width := widths.pop()).is_integer():
        return None, int(width)
    raise _inexpressible(
        "attention_head_dim", value, "one number of heads, or one head width, for all levels"
    )


def _added_conditions(values: Mapping[str, Any], size_numbers: int) -> tuple[int, int]:
    """(width of the pooled text, how many size numbers) of SDXL's added embedding."""
    kind = values["addition_embed_type"]
    if kind is None:
        return 0, 0
    if kind != "text_time":
        raise _inexpressible("addition_embed_type", kind, "text_time or None")
    if values["addition_time_embed_dim"] != SIZE_EMBEDDING_WIDTH:
        raise _inexpressible(
            "addition_time_embed_dim", values["addition_time_embed_dim"], str(SIZE_EMBEDDING_WIDTH)
        )
    total = values["projection_class_embeddings_input_dim"] or 0
    pooled = total - size_numbers * SIZE_EMBEDDING_WIDTH
    if pooled < 1:
        raise _inexpressible(
            "projection_class_embeddings_input_dim",
            total,
            f"more than {size_numbers} x {SIZE_EMBEDDING_WIDTH}",
        )
    return pooled, size_numbers


def _square(size: Any) -> int:
    if size is None:
        return int(_DEFAULTS["sample_size"])
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise _inexpressible("sample_size", size, "one number (squares)")
    return int(sides.pop())


def _one_context(width: Any) -> int:
    widths = {width} if isinstance(width, int) else set(width)
    if len(widths) != 1:
        raise _inexpressible("cross_attention_dim", width, "one width for all levels")
    return int(widths.pop())


def _inexpressible(key: str, value: Any, allowed: str) -> InputError:
    return InputError(f"{key}: {value!r} cannot be expressed by an Architecture; allowed: {allowed}")


# ---------------------------------------------------------------------- configuration, ours to theirs


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
    symmetric = all(layers[i] == upward[i] for i in range(count) if up[i])
    config: dict[str, Any] = {
        "_class_name": "UNet2DConditionModel",
        "sample_size": a.latent_size,
        "in_channels": a.latent_channels,
        "out_channels": a.latent_channels,
        "block_out_channels": [level.channels for level in a.levels],
        "layers_per_block": [len(level.down) for level in a.levels],
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
    }
    if a.size_embeddings:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": SIZE_EMBEDDING_WIDTH,
            "projection_class_embeddings_input_dim": a.added_width,
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
