"""What an `Autoencoder` is: read, written, told apart, refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings

from space.autoencoder import Autoencoder, ImageLevel, ImageMiddle, Way, check_divides
from space.autoencoder_network import AutoencoderNetwork, Posterior
from space.difference import autoencoder_difference
from space.shared.plain import InputError, from_plain
from tests.space.strategies import autoencoders

CONF = Path(__file__).parents[2] / "conf" / "autoencoder"
SD, LIGHT = Autoencoder.load(CONF / "sd.yaml"), Autoencoder.load(CONF / "light.yaml")


@settings(max_examples=20, deadline=None, derandomize=True)
@given(autoencoders())
def test_yaml_loads_back_equal(a: Autoencoder) -> None:
    back = Autoencoder.from_plain(yaml.safe_load(a.to_yaml()))
    assert back == a
    assert back.id == a.id


def test_what_nothing_acts_on_changes_no_id() -> None:
    inactive = replace(SD, decoder=replace(SD.decoder, separable_kernel=7))
    assert inactive.id == SD.id
    assert autoencoder_difference(SD, inactive) == []
    assert replace(SD, latent_channels=8).id != SD.id


def test_difference_names_way_level_and_field() -> None:
    paper = replace(SD, latent_channels=8)
    assert autoencoder_difference(SD, paper) == ["latent channels: 4 -> 8"]
    assert "decoder level 1 channels: 128 -> 64" in autoencoder_difference(paper, LIGHT)
    assert "decoder middle attention: yes -> no" in autoencoder_difference(paper, LIGHT)
    assert not any(line.startswith("encoder") for line in autoencoder_difference(paper, LIGHT))


def level(channels: int = 8, blocks: int = 1) -> ImageLevel:
    return ImageLevel(channels, blocks)


WAY = Way((level(), level()), norm_groups=4)


def test_impossible_ones_are_refused_by_field() -> None:
    for make, found in (
        (lambda: Autoencoder(WAY, Way((level(),), norm_groups=4)), r"decoder\.levels: 1.*encoder has 2"),
        (lambda: Autoencoder(WAY, WAY, image_size=31), r"image_size: 31 px .* 2.*nearest: 3[02]"),
        (lambda: Autoencoder(WAY, WAY, latent_channels=0), "latent_channels: 0"),
        (lambda: Way((level(9),), norm_groups=4), r"levels\[0\]\.channels: 9.*norm_groups = 4; nearest: 8"),
        (lambda: Way(()), "levels: empty"),
        (lambda: ImageLevel(8, 0), "blocks: 0"),
        (lambda: ImageMiddle(1, attention=True), "attention: true.*2 or more"),
        (lambda: Autoencoder.from_plain({"encoder": {"levels": []}}), "decoder: missing"),
        (lambda: check_divides(8, 100, "data.image_size_px"), r"data\.image_size_px: 100 px.*nearest: 96"),
    ):
        with pytest.raises(InputError, match=found):
            make()
    with pytest.raises(InputError, match=r"levels\[0\]\.conv: 'plane'.*did you mean 'plain'"):
        from_plain(Way, {"levels": [{"channels": 8, "blocks": 1, "conv": "plane"}]})
    plain_levels = (ImageLevel(9, 1, "plain"),)
    assert Way(plain_levels).levels == plain_levels  # nothing is normed


def test_the_network_halves_and_doubles() -> None:
    network = AutoencoderNetwork(Autoencoder(WAY, WAY, latent_channels=3, image_size=16))
    posterior = network.encode(torch.rand(2, 3, 16, 24))
    assert posterior.mean.shape == posterior.log_variance.shape == (2, 3, 8, 12)
    assert network.decode(posterior.mean).shape == (2, 3, 16, 24)
    assert -8 < posterior.log_variance.mean() < -4  # the decoder sees the latents from the start
    assert network.decoder.last_weight is network.decoder.places["out"][0].conv.weight


def test_divergence_by_hand() -> None:
    # mean 1, variance e: (1 + e - 1 - 1) / 2 each, and there are two
    posterior = Posterior(torch.ones(1, 2, 1, 1), torch.ones(1, 2, 1, 1))
    assert posterior.kl().item() == pytest.approx(torch.e - 1)
