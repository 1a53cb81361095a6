"""What `mdsearch latency` measures: a network between Stable Diffusion's parts, or all that a model has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from torch import nn

from analysis.export.components import Component
from analysis.export.pipeline_components import components, decoder_component
from evaluators.latency.runtimes import Inputs
from evaluators.latency.whole import (
    ROTATING,
    ClipText,
    Decoder,
    decoder_inputs,
    text_inputs,
    unet_inputs,
    unet_module,
)
from space.architecture import Architecture
from space.interchange.autoencoder_files import read_autoencoder_description
from space.interchange.weight_files import CONFIG_FILE
from space.prices.autoencoder import autoencoder_price
from space.prices.macs import price
from space.shared.plain import InputError
from training.files import MODEL_NAME
from training.model import load_model
from training.pretrained import load_autoencoder

WholePart = Literal["text", "unet", "decoder"]
OTHER_PARAMETERS = {"text": 123_060_480, "decoder": 49_490_199}
_PARTS: Mapping[str, WholePart] = {"text_encoder": "text", "unet": "unet", "vae_decoder": "decoder"}
OTHER_ROWS = "The paper's rows are of another device"


@dataclass(frozen=True)
class MeasuredParts:
    """Modules by what they are of, each made when its turn comes, and their inputs, which rotate.

    Attributes:
        whose: closes what is printed.
    """

    id: str
    latent_size: int
    parts: Mapping[str, Callable[[], tuple[nn.Module, Inputs]]]
    parameters: Mapping[str, int]
    whose: str


def parts_of_architecture(a: Architecture) -> MeasuredParts:
    """Its UNet, CLIP's text tower and SD's decoder, all with random weights."""
    return MeasuredParts(
        a.id,
        a.latent_size,
        {
            "text": lambda: (ClipText(), text_inputs()),
            "unet": lambda: (unet_module(a), unet_inputs(a)),
            "decoder": lambda: (Decoder(a.latent_channels), decoder_inputs(a)),
        },
        {"unet": price(a).parameters} | OTHER_PARAMETERS,
        f"{OTHER_ROWS}; the decoder here is SD's, not the paper's.",
    )


def parts_of_folder(folder: Path) -> MeasuredParts:
    """Of a trained model all that it generates with; of an autoencoder its decoder.

    Raises:
        InputError: it is neither, or cannot be read.
    """
    if (folder / MODEL_NAME).is_file():
        return _of_model(folder)
    if (folder / CONFIG_FILE).is_file():
        return _of_autoencoder(folder)
    raise InputError(
        f"model: {str(folder)!r} holds neither {MODEL_NAME} nor an autoencoder's {CONFIG_FILE}; allowed: "
        "what mdsearch train, distill or train autoencoder left, a trial's folder"
    )


def _of_model(folder: Path) -> MeasuredParts:
    model = load_model(folder, "cpu")
    found = {_PARTS[one.name]: one for one in components(model)}
    return MeasuredParts(
        model.architecture.id,
        model.architecture.latent_size,
        {part: partial(_timed, one) for part, one in found.items()},
        {part: _parameters(one.module) for part, one in found.items()},
        f"{OTHER_ROWS}; all parts here are the model's own.",
    )


def _of_autoencoder(folder: Path) -> MeasuredParts:
    described = read_autoencoder_description(folder)
    size = described.latent_size
    vae = load_autoencoder(str(folder), "model")
    decoder = decoder_component(vae, (described.latent_channels, size, size))
    return MeasuredParts(
        described.id,
        size,
        {"decoder": partial(_timed, decoder)},
        {"decoder": autoencoder_price(described).decoder.parameters},
        f"{OTHER_ROWS}; the decoder here is the autoencoder's own.",
    )


def _timed(component: Component) -> tuple[nn.Module, Inputs]:
    """With inputs of one image each."""
    one = {"batch": 1, "steps": 1}
    return component.module, [component.with_axes(one, seed).inputs for seed in range(1, ROTATING + 1)]


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
