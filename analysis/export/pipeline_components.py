"""A whole trained model, text to image, as the components of an ONNX pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from analysis.export.components import BATCH, Component, unet_component
from space.coordinates import COORDINATES, beside_latents, coordinate_grid
from space.interchange.pixel_autoencoder import PixelAutoencoder
from space.shared.seeds import generator
from space.unet import UNet
from training.interchange.words import clip_text_model, word_tokenizer
from training.latents import Vae
from training.model import Model
from training.text import ClipTextEncoder, SmallTextEncoder


def components(model: Model) -> Iterator[Component]:
    """By the contract of ONNX pipelines, each of any batch.

    Raises:
        InputError: a text encoder that transformers has no class for.
    """
    text, tokenizer = text_and_tokenizer(model)
    yield text_component(text, tokenizer.pad_token_id)
    assert isinstance(model.unet, UNet)
    unet = unet_component(model.unet)
    yield coordinates_inside(unet) if model.settings.latents.coordinates else unet
    codec = model.codec
    vae = codec.autoencoder if isinstance(codec, Vae) else PixelAutoencoder(codec.factor)
    yield decoder_component(vae, model.latent_shape)


def text_and_tokenizer(model: Model) -> tuple[Any, Any]:
    """A `CLIPTextModel` and its tokenizer."""
    encoder = model.text_encoder
    if isinstance(encoder, ClipTextEncoder):
        return encoder.tower, encoder.tokenizer
    assert isinstance(encoder, SmallTextEncoder)
    return clip_text_model(encoder), word_tokenizer(encoder)


def text_component(text: Any, padding: int) -> Component:
    """`input_ids` -> `last_hidden_state`; which of them is padding it sees itself."""
    length = text.config.max_position_embeddings
    ids = torch.randint(text.config.vocab_size, (BATCH, length), generator=generator("input_ids"))
    layers = [(f"encoder.layers.{at}", layer) for at, layer in enumerate(text.encoder.layers)]
    return Component(
        "text_encoder",
        _TextEncoder(text, padding).eval(),
        {"input_ids": ids},
        ("last_hidden_state",),
        {"input_ids": {0: "batch"}},
        [*layers, ("final_layer_norm", text.final_layer_norm)],
    )


def decoder_component(vae: Any, latent_shape: tuple[int, int, int]) -> Component:
    """`latent_sample`, scaled as the autoencoder has it, -> `sample`, images from about -1 to 1."""
    own, decoder = getattr(vae, "network", None), getattr(vae, "decoder", None)
    blocks = [] if decoder is None else [decoder.conv_in, decoder.mid_block, *decoder.up_blocks]
    names = {id(module): f"vae.{name}" for name, module in vae.named_modules()}
    module: nn.Module = _Decoder(vae)
    if own is not None:  # an autoencoder of ours that diffusers has no layout for
        module = own.decoder.in_a_row()
        blocks = list(module.children())
    latents = torch.randn((BATCH, *latent_shape), generator=generator("latent_sample"))
    return Component(
        "vae_decoder",
        module.eval(),
        {"latent_sample": latents},
        ("sample",),
        {"latent_sample": {0: "batch"}},
        [(names[id(block)], block) for block in blocks],
    )


def coordinates_inside(component: Component, conditions: int = 0) -> Component:
    """Of a UNet that was trained with coordinates: the same, to which latents alone are given, and behind
    them so many channels of conditions."""
    latents = component.inputs["sample"][:, :-COORDINATES].contiguous()  # as ExecuTorch has its inputs
    _, _, height, width = latents.shape
    return replace(
        component,
        module=_WithCoordinates(component.module, height, width, conditions).eval(),
        inputs={**component.inputs, "sample": latents},
    )


class _TextEncoder(nn.Module):
    def __init__(self, text: Any, padding: int) -> None:
        super().__init__()
        self.text, self.padding = text, padding
        self.is_masked = bool(getattr(text.config, "use_attention_mask", False))

    def forward(self, input_ids: Tensor) -> Tensor:
        mask = (input_ids != self.padding).long() if self.is_masked else None
        features: Tensor = self.text(input_ids, attention_mask=mask)[0]
        return features


class _WithCoordinates(nn.Module):
    """Coordinates are constants, of latents as large as the network's: sizes that are computed as it runs are
    not for all formats."""

    grid: Tensor

    def __init__(self, network: nn.Module, height: int, width: int, conditions: int) -> None:
        super().__init__()
        self.network, self.conditions = network, conditions
        self.register_buffer("grid", coordinate_grid(height, width))

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        first: Tensor | None = None,
        second: Tensor | None = None,
        third: Tensor | None = None,
    ) -> Tensor:
        further = [given for given in (first, second, third) if given is not None]
        beside = torch.zeros_like(sample[:, :1]) + self.grid
        sample = beside_latents(sample, beside, self.conditions)
        output: Tensor = self.network(sample, timestep, encoder_hidden_states, *further)
        return output[:, :-COORDINATES]


class _Decoder(nn.Module):
    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, latent_sample: Tensor) -> Tensor:
        images: Tensor = self.vae.decode(latent_sample, return_dict=False)[0]
        return images
