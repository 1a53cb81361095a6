"""An `Autoencoder` in the layout of diffusers' `AutoencoderKL`, where it has one: its config and its names.

A config is plain data, so diffusers is not imported. There one list of widths holds for both ways, the
decoder has a block more a level than the encoder, and every block is SD's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from space.autoencoder import IMAGE_CHANNELS, Autoencoder, ImageLevel, ImageMiddle, Way
from space.autoencoder_stages import decoder_stages, encoder_stages
from space.kinds.stage import Stage
from space.shared.plain import InputError

CLASS_NAME = "AutoencoderKL"
KL_DEFAULTS: Mapping[str, Any] = {  # of diffusers, for the keys that are read
    "block_out_channels": (64,),
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 32,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "mid_block_add_attention": True,
}
# What is ours alone to say (a scale), or what a stock folder carries along.
_BESIDE = ("scaling_factor", "shift_factor", "latents_mean", "latents_std", "force_upcast")


def autoencoder_kl_config(a: Autoencoder) -> dict[str, Any]:
    """Raises InputError, naming the field for which `AutoencoderKL` has no layout."""
    for name in ("encoder", "decoder"):
        _check_way(name, getattr(a, name))
    blocks, widths = a.encoder.levels[0].blocks, [level.channels for level in a.encoder.levels]
    for index, level in enumerate(a.encoder.levels):
        _require(f"encoder.levels[{index}].blocks", level.blocks, blocks)
    for index, level in enumerate(a.decoder.levels):
        _require(f"decoder.levels[{index}].blocks", level.blocks, blocks + 1)
        _require(f"decoder.levels[{index}].channels", level.channels, widths[index])
    _require("decoder.norm_groups", a.decoder.norm_groups, a.encoder.norm_groups)
    _require("decoder.middle.attention", a.decoder.attends, a.encoder.attends)
    return {
        "_class_name": CLASS_NAME,
        "in_channels": IMAGE_CHANNELS,
        "out_channels": IMAGE_CHANNELS,
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "block_out_channels": widths,
        "layers_per_block": blocks,
        "act_fn": "silu",
        "latent_channels": a.latent_channels,
        "norm_num_groups": a.encoder.norm_groups,
        "sample_size": a.image_size,
        "use_quant_conv": a.latent_convs,
        "use_post_quant_conv": a.latent_convs,
        "mid_block_add_attention": a.encoder.attends,
    }


def has_kl_layout(a: Autoencoder) -> bool:
    try:
        autoencoder_kl_config(a)
    except InputError:
        return False
    return True


def _check_way(name: str, way: Way) -> None:
    for index, level in enumerate(way.levels):
        _require(f"{name}.levels[{index}].conv", level.conv, "full")
    if way.middle is None:
        raise _no_layout(f"{name}.middle", None, "blocks: 2")
    _require(f"{name}.middle.blocks", way.middle.blocks, 2)
    _require(f"{name}.middle.conv", way.middle.conv, "full")


def _require(field: str, value: Any, allowed: Any) -> None:
    if value != allowed:
        raise _no_layout(field, value, allowed)


def _no_layout(field: str, value: Any, allowed: Any) -> InputError:
    return InputError(f"{field}: {value!r} has no layout in diffusers' {CLASS_NAME}; there: {allowed}")


# ---------------------------------------------------------------------- from diffusers


def autoencoder_from_kl(config: Mapping[str, Any]) -> Autoencoder:
    """Raises InputError, naming the key and value that an `Autoencoder` cannot express."""
    values = {**KL_DEFAULTS, **config}
    widths = _numbers(values, "block_out_channels")
    fixed: dict[str, Any] = {
        "in_channels": IMAGE_CHANNELS,
        "out_channels": IMAGE_CHANNELS,
        "down_block_types": ["DownEncoderBlock2D"] * len(widths),
        "up_block_types": ["UpDecoderBlock2D"] * len(widths),
        "act_fn": "silu",
        "use_post_quant_conv": values["use_quant_conv"],
    }
    for key, value in config.items():
        if key in fixed and (list(value) if isinstance(value, tuple) else value) != fixed[key]:
            raise _inexpressible(key, value, fixed[key])
        known = key in fixed or key in KL_DEFAULTS or key in _BESIDE or key.startswith("_")
        if not known and value not in (None, False):
            raise _inexpressible(key, value, "null")
    (blocks,), (channels,), (groups,) = (
        _numbers(values, name) for name in ("layers_per_block", "latent_channels", "norm_num_groups")
    )
    middle = ImageMiddle(attention=bool(values["mid_block_add_attention"]))
    encoder, decoder = (
        Way(tuple(ImageLevel(width, count) for width in widths), middle, norm_groups=groups)
        for count in (blocks, blocks + 1)
    )
    size = _numbers(values, "sample_size")[0]
    return Autoencoder(encoder, decoder, channels, bool(values["use_quant_conv"]), size)


def _numbers(values: Mapping[str, Any], key: str) -> tuple[int, ...]:
    given = values[key]
    numbers = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    if not numbers or not all(type(number) is int and number > 0 for number in numbers):
        raise _inexpressible(key, given, "whole numbers, 1 or more")
    return numbers


def _inexpressible(key: str, value: Any, allowed: Any) -> InputError:
    return InputError(f"{key}: {value!r} cannot be expressed by an Autoencoder; allowed: {allowed}")


# ---------------------------------------------------------------------- names of parameters

_PARTS = {  # of a stage's parameters, by its kind
    "full": {
        "norm1": "norm1",
        "conv1": "conv1",
        "norm2": "norm2",
        "conv2": "conv2",
        "shortcut": "conv_shortcut",
    },
    "map attention": {
        "norm": "group_norm",
        "query": "to_q",
        "key": "to_k",
        "value": "to_v",
        "out": "to_out.0",
    },
}
OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def kl_names(a: Autoencoder) -> dict[str, str]:
    """Of modules that hold parameters, our names and diffusers': {"encoder.places.in.0": "encoder.conv_in"}.

    Only of those that have a layout there.
    """
    names: dict[str, str] = {}
    for way, walk in (("encoder", encoder_stages(a)), ("decoder", decoder_stages(a))):
        counts: dict[str, int] = {}
        kinds: dict[tuple[str, str], int] = {}
        for stage in walk:
            place = stage.where.partition("-")[2]
            at, of_kind = counts.get(place, 0), kinds.get((place, stage.kind), 0)
            counts[place], kinds[place, stage.kind] = at + 1, of_kind + 1
            there = _there(way, place, stage, of_kind, len(a.encoder.levels))
            parts = _PARTS.get(stage.kind)
            for ours, theirs in (parts or {"": ""}).items():
                own = f"{way}.places.{place}.{at}" + (f".{ours}" if ours else _inner(stage))
                names[own] = f"{there}.{theirs}" if theirs else there
            if stage.kind == "normed out":
                names[f"{way}.places.{place}.{at}.norm"] = f"{way}.conv_norm_out"
    return names


def _inner(stage: Stage) -> str:
    return ".conv" if stage.kind in ("upsample", "normed out") else ""


def _there(way: str, place: str, stage: Stage, number: int, levels: int) -> str:
    """The module of a stage, the `number`-th of its kind at its place."""
    match stage.kind:
        case "latent conv":
            return "quant_conv" if way == "encoder" else "post_quant_conv"
        case "image in":
            return f"{way}.conv_in"
        case "normed out":
            return f"{way}.conv_out"
        case "map attention":
            return f"{way}.mid_block.attentions.{number}"
        case "full" if place == "middle":
            return f"{way}.mid_block.resnets.{number}"
    blocks = f"down_blocks.{int(place) - 1}" if way == "encoder" else f"up_blocks.{levels - int(place)}"
    side = {"padded downsample": "downsamplers.0.conv", "upsample": "upsamplers.0.conv"}
    return f"{way}.{blocks}." + side.get(stage.kind, f"resnets.{number}")
