"""The price of an autoencoder, against diffusers' counts, PyTorch's counter and the life of real tensors."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from space.autoencoder import Autoencoder
from space.autoencoder_network import AutoencoderNetwork, ImageStages
from space.autoencoder_stages import decoder_stages, encoder_stages
from space.prices.autoencoder import autoencoder_breakdown, autoencoder_price, way_activation_bytes
from space.prices.counters import meta_count_of
from space.shared.plain import InputError
from space.stages import Stages
from tests.space.prices.test_memory import LiveTensors
from tests.space.strategies import autoencoders

CONF = Path(__file__).parents[3] / "conf" / "autoencoder"
PRESETS = {path.stem: Autoencoder.load(path) for path in CONF.glob("*.yaml")}


def image_of(a: Autoencoder, batch: int = 1, device: str = "cpu") -> torch.Tensor:
    return torch.zeros(batch, 3, a.image_size, a.image_size, device=device)


def latent_of(a: Autoencoder, batch: int = 1, device: str = "cpu") -> torch.Tensor:
    return torch.zeros(batch, a.latent_channels, a.latent_size, a.latent_size, device=device)


def test_sd_is_diffusers_own() -> None:
    from diffusers import AutoencoderKL

    widths = (128, 256, 512, 512)
    with torch.device("meta"):
        kl = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=widths,
            layers_per_block=2,
            latent_channels=4,
        )
    price = autoencoder_price(PRESETS["sd"])
    assert price.parameters == sum(p.numel() for p in kl.parameters()) == 83_653_863
    assert price.decoder.parameters == 49_490_179 + 20  # with the 1x1 convolution behind the latents


def test_light_and_tiny_are_as_small_as_they_say() -> None:
    full, light, tiny = (autoencoder_price(PRESETS[name]) for name in ("paper", "light", "tiny"))
    assert light.encoder == full.encoder
    assert full.decoder.macs > 5 * light.decoder.macs
    assert tiny.encoder.parameters == 1_229_648
    # TAESD's decoder has 1,222,531 around 4 channels: 4 x 576 more inputs, biases of 3 upsamplings
    assert tiny.decoder.parameters == 1_222_531 + 4 * 9 * 64 + 3 * 64 == 1_225_027


@pytest.mark.parametrize("name", PRESETS)
def test_presets_equal_pytorchs_counter(name: str) -> None:
    check_counts(PRESETS[name])


SETTINGS = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=15, **SETTINGS)
@given(autoencoders())
def test_equals_pytorchs_counter(a: Autoencoder) -> None:
    check_counts(a)


def check_counts(a: Autoencoder) -> None:
    price = autoencoder_price(a)
    encoder = meta_count_of(lambda: AutoencoderNetwork(a).encoder, image_of(a, device="meta"))
    decoder = meta_count_of(lambda: AutoencoderNetwork(a).decoder, latent_of(a, device="meta"))
    assert (tuple(price.encoder), tuple(price.decoder)) == (tuple(encoder), tuple(decoder))
    items = autoencoder_breakdown(a)
    assert sum(item.cost.macs for item in items) == price.encoder.macs + price.decoder.macs


def measured_peak(stages: Stages, given: torch.Tensor) -> int:
    torch.set_num_threads(1)
    way = ImageStages(stages).eval()
    tracker = LiveTensors({t.untyped_storage()._cdata for t in (*way.parameters(), given)})
    with torch.no_grad(), tracker:
        way(given)
    return tracker.peak


@settings(max_examples=25, **SETTINGS)
@given(autoencoders(), st.integers(1, 2))
def test_memory_equals_the_measured_peak(a: Autoencoder, batch: int) -> None:
    for stages, given_ in (
        (encoder_stages(a), image_of(a, batch)),
        (decoder_stages(a), latent_of(a, batch)),
    ):
        assert way_activation_bytes(stages, batch=batch) == measured_peak(stages, given_)


def test_bad_precision_and_batch_are_refused() -> None:
    stages = decoder_stages(PRESETS["tiny"])
    with pytest.raises(InputError, match=r"precision: 'fp61'.*'fp16'"):
        way_activation_bytes(stages, "fp61")
    with pytest.raises(InputError, match="batch: 0"):
        way_activation_bytes(stages, batch=0)
