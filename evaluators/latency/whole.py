"""Whole networks as a runtime takes them: an architecture's UNet, what stands before and behind it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from evaluators.latency.runtimes import Place, runner
from evaluators.latency.timing import Clock, Timing, alternating, rounds_within, timed_once
from space.architecture import Architecture
from space.autoencoder import Autoencoder
from space.autoencoder_network import AutoencoderNetwork
from space.candidates import Candidate
from space.interchange.positional_unet import PositionalUNet, further_conditions
from space.unet import UNet

ROTATING = 3  # inputs, so that no run finds the last one's results warm
TOKENS, CLIP_VOCABULARY = 77, 49_408
DECODER_CHANNELS = (128, 256, 512, 512)


def seeded(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def unet_inputs(a: Architecture, count: int = ROTATING) -> list[dict[str, Tensor]]:
    """Of one image, at the architecture's own size."""

    def one(seed: int) -> dict[str, Tensor]:
        found = {
            "sample": seeded((1, a.input_channels, a.latent_size, a.latent_size), seed),
            "timestep": torch.tensor([999.0 - seed]),
            "encoder_hidden_states": seeded((1, a.context_length, a.context_width), seed + 1),
        }
        return found | {name: seeded((1, width), seed) for name, width in further_conditions(a).items()}

    return [one(seed) for seed in range(count)]


def unet_module(a: Architecture) -> nn.Module:
    """With new weights, which take as long as trained ones."""
    return PositionalUNet(UNet(a))


class ClipText(nn.Module):
    """CLIP ViT-L/14's text tower, with random weights: tokens (1, 77) to features (1, 77, 768)."""

    def __init__(self, **fields: Any) -> None:
        from transformers import CLIPTextConfig, CLIPTextModel

        super().__init__()
        wide = {"hidden_size": 768, "intermediate_size": 3072, "projection_dim": 768}
        deep = {"num_hidden_layers": 12, "num_attention_heads": 12, "vocab_size": CLIP_VOCABULARY}
        self.model = CLIPTextModel(
            CLIPTextConfig(**wide | deep | {"max_position_embeddings": TOKENS} | fields)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model(input_ids=tokens).last_hidden_state


def text_inputs(vocabulary: int = CLIP_VOCABULARY, count: int = ROTATING) -> list[dict[str, Tensor]]:
    chance = torch.Generator().manual_seed(0)
    return [{"tokens": torch.randint(0, vocabulary, (1, TOKENS), generator=chance)} for _ in range(count)]


class Decoder(nn.Module):
    """The decoder of SD's autoencoder, with random weights: latents (1, C, H, W) to (1, 3, 8H, 8W)."""

    def __init__(self, latent_channels: int, channels: tuple[int, ...] = DECODER_CHANNELS) -> None:
        from diffusers import AutoencoderKL

        super().__init__()
        whole: Any = AutoencoderKL(
            latent_channels=latent_channels,
            block_out_channels=channels,
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * len(channels),
            up_block_types=("UpDecoderBlock2D",) * len(channels),
        )
        self.adapt, self.decoder = whole.post_quant_conv, whole.decoder

    def forward(self, latents: Tensor) -> Tensor:
        return self.decoder(self.adapt(latents))


class OwnDecoder(nn.Module):
    """The decoder of an autoencoder of ours, with new weights: latents (1, C, H, W) to (1, 3, fH, fW)."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.decoder = AutoencoderNetwork(autoencoder).decoder.in_a_row()

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.decoder(latents)
        return images


def decoder_inputs(a: Candidate, count: int = ROTATING) -> list[dict[str, Tensor]]:
    shape = (1, a.latent_channels, a.latent_size, a.latent_size)
    return [{"latents": seeded(shape, seed)} for seed in range(count)]


def whole_timing(
    a: Candidate, runtime: str, place: Place, *, seconds: float, least: int, most: int, clock: Clock
) -> Timing:
    """A network measured whole, in about these seconds, at least and at most so many rounds."""
    with TemporaryDirectory(prefix="mdsearch-latency-") as folder:
        with torch.device(place.device):
            module = unet_module(a) if isinstance(a, Architecture) else OwnDecoder(a)
        inputs = unet_inputs(a) if isinstance(a, Architecture) else decoder_inputs(a)
        run = runner(module, inputs, runtime, place, Path(folder))
        run(0)  # which may compile for minutes
        warm = timed_once(run, 1, clock)
        rounds = rounds_within(seconds, warm, least, most)
        return alternating({"": run}, rounds, clock=clock)[""]


def as_words(timings: Mapping[str, Timing]) -> list[str]:
    """Each median with its interval."""
    return [
        f"{name} {timing.median:.1f} ms ({timing.interval[0]:.1f} to {timing.interval[1]:.1f})"
        for name, timing in timings.items()
    ]
