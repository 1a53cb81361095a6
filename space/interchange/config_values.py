"""Which keys of a diffusers `UNet2DConditionModel` config are read, and what may stand there?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from space.shared.plain import InputError, from_plain

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
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "attention_type": ("default",),
    "cross_attention_norm": (None,),
}
DEFAULTS: dict[str, Any] = {  # of diffusers, for the keys that are read
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
    "time_cond_proj_dim": None,
}
_WITHOUT_EFFECT = (
    "upcast_attention",  # on the network in fp32
    "addition_embed_type_num_heads",
    # of the averaged weights that diffusers' EMAModel saves with the network's own config
    *("decay", "min_decay", "optimization_step", "update_after_step", "use_ema_warmup", "inv_gamma", "power"),
)

_WIDTHS = "a whole number, or a list of them"
_KINDS: dict[str, tuple[Any, str]] = {  # of the keys that are read: every number is 1 or more
    "sample_size": (int | tuple[int, ...] | None, f"{_WIDTHS}, or null"),
    "in_channels": (int, "a whole number"),
    "out_channels": (int, "a whole number"),
    "block_out_channels": (tuple[int, ...], "a list of whole numbers"),
    "layers_per_block": (int | tuple[int, ...], _WIDTHS),
    "down_block_types": (tuple[str, ...], "a list of names"),
    "mid_block_type": (str | None, "a name, or null"),
    "up_block_types": (tuple[str, ...], "a list of names"),
    "norm_num_groups": (int, "a whole number"),
    "cross_attention_dim": (int | tuple[int, ...], _WIDTHS),
    "transformer_layers_per_block": (int | tuple[int | tuple[int, ...], ...], f"{_WIDTHS}, or of lists"),
    "reverse_transformer_layers_per_block": (
        int | tuple[int | tuple[int, ...], ...] | None,
        f"{_WIDTHS}, or of lists, or null",
    ),
    "attention_head_dim": (int | tuple[int, ...], _WIDTHS),
    "use_linear_projection": (bool, "true or false"),
    "addition_embed_type": (str | None, "a name, or null"),
    "addition_time_embed_dim": (int | None, "a whole number, or null"),
    "projection_class_embeddings_input_dim": (int | None, "a whole number, or null"),
    "time_embedding_dim": (int | None, "a whole number, or null"),
    "time_cond_proj_dim": (int | None, "a whole number, or null"),
}
# where a level without transformers may say that it has none
_ZERO = ("transformer_layers_per_block", "reverse_transformer_layers_per_block")


def checked_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that are read, defaults filled in and of the kind that they must be; all others are at a value
    that changes nothing.

    Raises:
        InputError: naming the key, its value and what is allowed.
    """
    for key, value in config.items():
        if key in DEFAULTS or key in _WITHOUT_EFFECT or key.startswith("_"):
            continue
        allowed = _FIXED.get(key, (None, False))
        if not any(value == choice and (value is None) == (choice is None) for choice in allowed):
            raise inexpressible(key, value, " or ".join(map(repr, allowed)))
    values = DEFAULTS | {key: _of_kind(key, value) for key, value in config.items() if key in DEFAULTS}
    if values["in_channels"] < values["out_channels"]:
        raise inexpressible(
            "out_channels", values["out_channels"], f"at most in_channels = {values['in_channels']}"
        )
    for key in ("down_block_types", "up_block_types"):
        if len(values[key]) != len(values["block_out_channels"]):
            raise inexpressible(key, values[key], "a type for each of block_out_channels")
    return values


def _of_kind(key: str, value: Any) -> Any:
    kind, words = _KINDS[key]
    try:
        read = from_plain(kind, value, key)
    except InputError:
        raise inexpressible(key, value, words) from None
    least = 0 if key in _ZERO else 1
    if any(number < least for number in _numbers(read)):
        raise inexpressible(key, value, f"{words}, {least} or more each")
    return read


def _numbers(value: Any) -> Iterator[int]:
    """An empty list counts as a number that is too small."""
    if isinstance(value, tuple):
        for item in value or (-1,):
            yield from _numbers(item)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value


def inexpressible(key: str, value: Any, allowed: str) -> InputError:
    value = list(value) if isinstance(value, tuple) else value
    return InputError(f"{key}: {value!r} cannot be expressed by an Architecture; allowed: {allowed}")
