"""A diffusers `UNet2DConditionModel` config (SD-1.5, SDXL and their kin) to an `Architecture`.

A config is plain data, so diffusers is not imported. What it holds and an `Architecture` cannot say is
refused, and named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from space.architecture import SIZE_EMBEDDING_WIDTH, Architecture, Level, Middle
from space.interchange.config_values import DEFAULTS, checked_values, inexpressible

CLIP_LENGTH = 77
SDXL_POOLED_WIDTH = 1280  # of OpenCLIP ViT-bigG/14, SDXL's second text encoder
# Two numbers each: SDXL embeds original size, crop and target size, its refiner original size and crop with
# one aesthetic score.
SDXL_SIZE_NUMBERS = (6, 5)
# What our own configs say beside; diffusers passes over keys that begin like this.
OWN_SIZE_NUMBERS, OWN_CONTEXT_LENGTH = "_size_embeddings", "_context_length"


def architecture_from_diffusers(
    config: Mapping[str, Any],
    *,
    size_numbers: int | None = None,
    pooled_width: int | None = None,
    context_length: int | None = None,
) -> Architecture:
    """The `Architecture` that a diffusers `UNet2DConditionModel` config describes.

    Args:
        config: what its `config.json` holds; keys that are missing have diffusers' defaults.
        size_numbers: how many of SDXL's size numbers are embedded, 6 for SDXL base, 5 for its refiner. The
            config only tells the sum of their width and the pooled text's; needed where neither
            `pooled_width` is known nor SDXL's own text encoder fits.
        context_length: tokens of the text encoder, which a config does not tell; None: CLIP's 77.

    Raises:
        InputError: naming the key and value that an `Architecture` cannot express.
    """
    values = checked_values(config)
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
    size_numbers = config.get(OWN_SIZE_NUMBERS) if size_numbers is None else size_numbers
    pooled, sizes = _added_conditions(values, size_numbers, pooled_width)
    return Architecture(
        levels=tuple(levels),
        middle=_middle(values, layers[-1]),
        feed_forward_ratio=4,
        activation="gelu",
        shared_key_value=False,
        norm_groups=values["norm_num_groups"],
        time_width=values["time_embedding_dim"] or 4 * channels[0],
        stack_projection="linear" if values["use_linear_projection"] else "conv",
        latent_channels=values["out_channels"],
        condition_channels=values["in_channels"] - values["out_channels"],
        guidance_width=values["time_cond_proj_dim"] or 0,
        latent_size=_square(values["sample_size"]),
        context_length=context_length or config.get(OWN_CONTEXT_LENGTH) or CLIP_LENGTH,
        context_width=_one_context(values["cross_attention_dim"]),
        pooled_width=pooled,
        size_embeddings=sizes,
        heads=heads,
        head_width=head_width,
    )


def _each(values: Mapping[str, Any], key: str, count: int) -> list[Any]:
    """A value a level, outermost first, where diffusers takes one number for all of them too."""
    value = values[key]
    each = [value] * count if isinstance(value, int) else list(value)
    if len(each) != count:
        raise inexpressible(key, value, f"a number, or {count} of them (a level each)")
    return each


def _side(values: Mapping[str, Any], key: str, index: int, blocks: int, layers: Any) -> tuple[int, ...]:
    """Transformer layers after each conv block of one side of a level."""
    way = "Down" if key.startswith("down") else "Up"
    plain, attending = f"{way}Block2D", f"CrossAttn{way}Block2D"
    kind = values[key][index]
    if kind == plain:
        return (0,) * blocks
    if kind != attending:
        raise inexpressible(f"{key}[{index}]", kind, f"{plain} or {attending}")
    each = (layers,) * blocks if isinstance(layers, int) else tuple(layers)
    if len(each) != blocks or 0 in each:
        raise inexpressible(
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
        first = layers if isinstance(layers, int) else layers[0]
        if first == 0:
            raise inexpressible("transformer_layers_per_block", layers, "1 or more for this mid_block_type")
        return Middle((first, 0))
    raise inexpressible("mid_block_type", kind, "UNetMidBlock2DCrossAttn, UNetMidBlock2D or None")


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
    raise inexpressible("attention_head_dim", value, "one number of heads, or one head width, for all levels")


def _added_conditions(
    values: Mapping[str, Any], size_numbers: int | None, pooled_width: int | None
) -> tuple[int, int]:
    """(width of the pooled text, how many size numbers) of SDXL's added embedding."""
    kind = values["addition_embed_type"]
    if kind is None:
        return 0, 0
    if kind != "text_time":
        raise inexpressible("addition_embed_type", kind, "text_time or None")
    if values["addition_time_embed_dim"] != SIZE_EMBEDDING_WIDTH:
        raise inexpressible(
            "addition_time_embed_dim", values["addition_time_embed_dim"], str(SIZE_EMBEDDING_WIDTH)
        )
    total = values["projection_class_embeddings_input_dim"] or 0
    if size_numbers is None:
        return _told_apart(total, pooled_width)
    pooled = total - size_numbers * SIZE_EMBEDDING_WIDTH
    if pooled < 1 or size_numbers < 1:
        raise inexpressible(
            "projection_class_embeddings_input_dim",
            total,
            f"more than {size_numbers} x {SIZE_EMBEDDING_WIDTH}",
        )
    return pooled, size_numbers


def _told_apart(total: int, pooled_width: int | None) -> tuple[int, int]:
    """The pooled text and the size numbers in their sum, by the width of the pooled text."""
    pooled = SDXL_POOLED_WIDTH if pooled_width is None else pooled_width
    numbers, rest = divmod(total - pooled, SIZE_EMBEDDING_WIDTH)
    if rest or numbers < 1 or (pooled_width is None and numbers not in SDXL_SIZE_NUMBERS):
        raise inexpressible(
            "projection_class_embeddings_input_dim",
            total,
            f"a pooled text of {pooled} and {SIZE_EMBEDDING_WIDTH} for each size number; say size_numbers "
            f"({' or '.join(map(str, SDXL_SIZE_NUMBERS))}, of SDXL and its refiner) for another text",
        )
    return pooled, numbers


def _square(size: Any) -> int:
    if size is None:
        return int(DEFAULTS["sample_size"])
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise inexpressible("sample_size", size, "one number (squares)")
    return int(sides.pop())


def _one_context(width: Any) -> int:
    widths = {width} if isinstance(width, int) else set(width)
    if len(widths) != 1:
        raise inexpressible("cross_attention_dim", width, "one width for all levels")
    return int(widths.pop())
