"""LoRA on our network by diffusers and peft, under the names that layers have in diffusers' layout.

An adapter of Stable Diffusion fits where the layers it adapts are there in the same shapes. Inside, layers
keep our names, which are understood too.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.loaders.peft import PeftAdapterMixin
from diffusers.utils import convert_unet_state_dict_to_peft
from diffusers.utils.import_utils import is_peft_available
from torch import Tensor, nn

from space.blocks import Attention
from space.interchange.names import diffusers_name
from space.shared.plain import InputError
from space.unet import UNet

PREFIX = "unet"  # of our names, in what holds the network; of diffusers' names, in a file for a pipeline
_PATTERNS = ("rank_pattern", "alpha_pattern")
_ALL = "all-linear"  # peft's word


class LoraMixin(PeftAdapterMixin):
    """diffusers' `PeftAdapterMixin`, for a module that holds our network as `unet`."""

    unet: UNet
    peft_config: dict[str, Any]  # by peft, once there is an adapter

    def add_adapter(self, adapter_config: Any, adapter_name: str = "default") -> None:
        """A new adapter; `target_modules` such as ["to_q", "to_k", "to_v", "to_out.0"] are diffusers' names.

        Raises:
            InputError: no layer is meant, peft is missing, or projections are fused.
        """
        self._check_ready()
        config = copy.copy(adapter_config)
        for field, value in self._in_our_names(vars(adapter_config)).items():
            setattr(config, field, value)
        super().add_adapter(config, adapter_name)

    def load_lora_adapter(
        self,
        pretrained_model_name_or_path_or_dict: Any,
        prefix: str | None = PREFIX,
        hotswap: bool = False,
        network_alphas: Mapping[str, float] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """As diffusers does; `pipeline.load_lora_weights` calls it.

        Raises:
            InputError: naming the layer that this architecture does not have, or has in another shape.
        """
        self._check_ready()
        state = pretrained_model_name_or_path_or_dict
        if not isinstance(state, Mapping):
            places = {name: kwargs.pop(name) for name in _PLACES if name in kwargs}
            state, network_alphas, metadata = StableDiffusionLoraLoaderMixin.lora_state_dict(
                state, return_lora_metadata=True, **places
            )
        state = _without(prefix, state)
        if state and "lora_A" not in next(iter(state)):
            state = convert_unet_state_dict_to_peft(state)
        layers = self._layers()
        renamed = {f"{PREFIX}.{_renamed(key, layers)}": tensor for key, tensor in state.items()}
        self._check_shapes(renamed)
        alphas = {
            f"{PREFIX}.{_renamed(f'{layer}.alpha', layers)}": alpha
            for layer, alpha in _by_layer(_without(prefix, network_alphas or {})).items()
        }
        fields = self._in_our_names(_without(prefix, metadata)) if metadata else {}
        super().load_lora_adapter(
            renamed,
            prefix=PREFIX,
            hotswap=hotswap,
            network_alphas=alphas or None,
            metadata={f"{PREFIX}.{field}": value for field, value in fields.items()} or None,
            **kwargs,
        )

    def save_lora_weights(self, folder: str | Path, adapter_name: str = "default") -> None:
        """A file that `load_lora_weights` of a pipeline reads, around our network or diffusers' own."""
        self._check_ready()
        from peft.utils import get_peft_model_state_dict

        theirs = {f"{PREFIX}.{ours}": name for name, ours in self._layers().items()}
        if adapter_name not in getattr(self, "peft_config", {}):
            raise InputError(f"adapter_name: {adapter_name!r} is no adapter of this network")
        held = get_peft_model_state_dict(self, adapter_name=adapter_name)
        split = {key: key.partition(".lora_") for key in held}
        config = self.peft_config[adapter_name].to_dict()
        for field in _PATTERNS:
            config[field] = {theirs[name.lstrip("^")]: value for name, value in config[field].items()}
        config["target_modules"] = sorted({theirs[name] for name, _, _ in split.values()})
        StableDiffusionLoraLoaderMixin.save_lora_weights(
            folder,
            unet_lora_layers={
                f"{theirs[name]}{dot}{rest}": held[key].contiguous()
                for key, (name, dot, rest) in split.items()
            },
            unet_lora_adapter_metadata={name: _plain(value) for name, value in config.items()},
        )

    def set_adapters(self, adapter_names: list[str] | str, weights: Any = None) -> None:
        """Use these adapters together, each times its weight."""
        from diffusers.utils import set_weights_and_activate_adapters

        names = [adapter_names] if isinstance(adapter_names, str) else adapter_names
        each = list(weights) if isinstance(weights, list) else [weights] * len(names)
        if len(each) != len(names) or any(isinstance(weight, Mapping) for weight in each):
            raise InputError(f"weights: {weights!r}; allowed: one number for each of {names}")
        numbers = [1.0 if weight is None else weight for weight in each]
        set_weights_and_activate_adapters(self, names, numbers)

    @contextmanager
    def scaled(self, cross_attention_kwargs: Mapping[str, Any]) -> Iterator[None]:
        """While a pipeline asks for adapters times a `scale`. Raises InputError for anything else it asks."""
        given = dict(cross_attention_kwargs)
        scale = given.pop("scale", None)
        if given:
            raise InputError(
                f"cross_attention_kwargs: {', '.join(given)} not supported; allowed: scale, and "
                "ip_adapter_masks with an IP-Adapter"
            )
        if scale in (None, 1.0):
            yield
            return
        if not getattr(self, "peft_config", None):
            raise InputError(f"cross_attention_kwargs.scale: {scale}, but no adapter is loaded; allowed: 1")
        if self.unet.gradient_checkpointing and torch.is_grad_enabled():
            raise InputError(
                f"cross_attention_kwargs.scale: {scale}, which checkpointed gradients would leave out; "
                "allowed: 1 (set_adapters takes weights)"
            )
        from diffusers.utils import scale_lora_layers, unscale_lora_layers

        scale_lora_layers(self, scale)
        try:
            yield
        finally:
            unscale_lora_layers(self, scale)

    # ------------------------------------------------------------------ names

    def _layers(self) -> dict[str, str]:
        """Of each layer that an adapter may stand on: diffusers' name to ours."""
        return {_their_name(name): name for name, _ in self._named_layers()}

    def _named_layers(self) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
        for name, module in self.unet.named_modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)) and ".lora_" not in name:
                yield name.removesuffix(".base_layer"), module

    def _in_our_names(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of a LoraConfig, the names in them as full names of ours."""
        layers, changed = self._layers(), dict(fields)
        for field in ("target_modules", "exclude_modules"):
            wanted = fields.get(field)
            if not wanted:
                continue
            if wanted == _ALL:  # of the network: peft would take an IP-Adapter's too
                changed[field] = [
                    f"{PREFIX}.{name}" for name, layer in self._named_layers() if isinstance(layer, nn.Linear)
                ]
                continue
            matches = _matcher(wanted)
            changed[field] = [
                f"{PREFIX}.{ours}"
                for theirs, ours in layers.items()
                if matches(theirs) or matches(f"{PREFIX}.{ours}")
            ]
            if field == "target_modules" and not changed[field]:
                raise InputError(f"target_modules: {wanted!r} names no layer of this network")
        for field in _PATTERNS:
            changed[field] = {
                f"{PREFIX}.{ours}": value
                for pattern, value in (fields.get(field) or {}).items()
                for theirs, ours in layers.items()
                if any(re.match(rf"(.*\.)?({pattern})$", name) for name in (theirs, f"{PREFIX}.{ours}"))
            }
        return changed

    # ------------------------------------------------------------------ checks

    def _check_ready(self) -> None:
        if not is_peft_available():
            raise InputError("peft: adapters need it; pip install 'mdsearch[lora]'")
        if any(isinstance(part, Attention) and part.fused is not None for part in self.unet.modules()):
            raise InputError("adapter: projections are fused, past which it would act; unfuse them first")

    def check_plain(self, what: str) -> None:
        """Raises InputError where adapters stand on layers, which then have other names."""
        if any(hasattr(part, "base_layer") for part in self.unet.modules()):
            raise InputError(
                f"{what}: LoRA stands on the layers; allowed: after unload_lora (save_lora_weights keeps it)"
            )

    def _check_shapes(self, state: Mapping[str, Tensor]) -> None:
        shapes = {f"{PREFIX}.{PREFIX}.{name}": layer.weight.shape for name, layer in self._named_layers()}
        for key, tensor in state.items():
            name, _, rest = key.partition(".lora_")
            side = {"A.weight": 1, "B.weight": 0}.get(rest)
            if side is not None and tensor.shape[side] != shapes[name][side]:
                ours = name.removeprefix(f"{PREFIX}.{PREFIX}.")
                raise InputError(
                    f"{_their_name(ours)} (here {ours}): the adapter is for {tensor.shape[side]} channels, "
                    f"the layer has {shapes[name][side]}"
                )


_PLACES = (
    *("weight_name", "use_safetensors", "local_files_only", "cache_dir", "force_download", "proxies"),
    *("token", "revision", "subfolder"),
)


def _their_name(ours: str) -> str:
    return diffusers_name(f"{ours}.weight").removesuffix(".weight")


def _renamed(key: str, layers: Mapping[str, str]) -> str:
    """A key of an adapter, its layer named as ours in what holds the network."""
    name, dot, rest = key.partition(".lora_")
    if not dot:
        name, dot, rest = key.rpartition(".")  # its alpha
    ours = layers.get(name)
    if ours is None and name.removeprefix(f"{PREFIX}.") in layers.values():
        ours = name.removeprefix(f"{PREFIX}.")
    if ours is None:
        raise InputError(f"{key}: the adapter's layer is none of this architecture's")
    return f"{PREFIX}.{ours}{dot}{rest}"


def _by_layer(alphas: Mapping[str, float]) -> dict[str, float]:
    """Named by layers; those of other trainers' files that were converted by an older name of a weight."""
    weights = {key.removesuffix(".alpha"): alpha for key, alpha in alphas.items()}
    renamed = convert_unet_state_dict_to_peft(weights)
    return {key.partition(".lora_")[0]: alpha for key, alpha in renamed.items()}


def _matcher(wanted: Any) -> Callable[[str], bool]:
    """peft's rule: a text is a pattern of whole names, a list holds whole names or their endings."""
    if isinstance(wanted, str):
        return lambda name: re.fullmatch(wanted, name) is not None
    return lambda name: any(name == item or name.endswith(f".{item}") for item in wanted)


def _without(prefix: str | None, mapping: Mapping[str, Any]) -> dict[str, Any]:
    if prefix is None:
        return dict(mapping)
    start = f"{prefix}."
    return {key.removeprefix(start): value for key, value in mapping.items() if key.startswith(start)}


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else value
