"""LoRA in training (Hu et al., 2022; section 4.3 of the paper): a network stays, what learns lies beside it.

By peft, under diffusers' names in what is saved.
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from space.shared.files import replacing
from space.shared.plain import InputError
from training.model import Model

LORA_FOLDER = "lora"  # of a trained model: the adapter alone, for `load_lora_weights` of its base's pipeline
ADAPTER = "default"


@dataclass(frozen=True)
class LoraSettings:
    """Matrices of a rank beside the layers, whose product counts `alpha` / `rank` times."""

    rank: int = 16
    alpha: int | None = None  # null: the rank
    layers: str = "all"  # or attention: its projections alone

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InputError(f"rank: {self.rank} is not possible; allowed: 1 or more")
        if self.alpha is not None and self.alpha < 1:
            raise InputError(f"alpha: {self.alpha} is not possible; allowed: 1 or more, or null")
        if self.layers not in ("all", "attention"):
            raise InputError(f"layers: {self.layers!r} is not possible; allowed: all, attention")


def add_lora(model: Model, settings: LoraSettings) -> None:
    """Put adapters on a model's network that change nothing yet, and freeze all but them.

    Depthwise convolutions get none: their adapters could not be merged.

    Raises:
        InputError: peft is not installed.
    """
    check_peft()
    model.requires_grad_(False)
    _wrapped(model).add_adapter(_config(model, settings), ADAPTER)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_lora(name))


def has_lora(model: Model) -> bool:
    return any(is_lora(name) for name, _ in model.unet.named_parameters())


def is_lora(name: str) -> bool:
    """Whether a parameter of this name is an adapter's."""
    return ".lora_" in name


def merged(model: Model) -> Model:
    """A copy with its adapters inside the weights, under the usual names; the model itself has none: as it
    is."""
    if not has_lora(model):
        return model
    model = copy.deepcopy(model)
    wrapper = _wrapped(model)
    wrapper.fuse_lora()
    wrapper.unload_lora()
    return model


def save_lora(model: Model, settings: LoraSettings, folder: Path) -> None:
    """The adapters alone, as `load_lora_weights` of a pipeline around the base reads them. Raises OSError."""
    wrapper = _wrapped(model)
    wrapper.peft_config = {ADAPTER: _config(model, settings)}
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as own:
        wrapper.save_lora_weights(own, ADAPTER)
        for file in Path(own).iterdir():
            with replacing(folder / file.name) as whole:
                os.replace(file, whole)


def _config(model: Model, settings: LoraSettings) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.rank if settings.alpha is None else settings.alpha,
        target_modules=[f"unet.{name}" for name in _layers(model.unet, settings.layers)],
    )


def _layers(unet: nn.Module, which: str) -> list[str]:
    """Names of the layers that adapters stand on, whether they do already or not."""
    return [
        name.removesuffix(".base_layer")
        for name, layer in unet.named_modules()
        if not is_lora(name) and _is_adapted(layer) and (which == "all" or "attention" in name)
    ]


def _is_adapted(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)


def _wrapped(model: Model) -> Any:
    """The same network as diffusers knows it."""
    from space.interchange.pipeline_unet import PipelineUNet
    from space.unet import UNet

    assert isinstance(model.unet, UNet)
    return PipelineUNet.wrapping(model.unet, coordinates=model.settings.latents.coordinates)


def check_peft() -> None:
    """Raises InputError where peft is missing."""
    if find_spec("peft") is None:
        raise InputError("peft: LoRA needs it; pip install 'mdsearch[lora]'")
