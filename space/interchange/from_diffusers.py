"""A diffusers `UNet2DConditionModel` config (SD-1.5, SDXL and their kin) to an `Architecture`.

A config is plain data, so diffusers is not imported. What it holds and an `Architecture` cannot say is
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
