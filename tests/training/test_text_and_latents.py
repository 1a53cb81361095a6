"""Codecs there and back, and both text encoders, the library ones on tiny random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from space.shared.plain import InputError
from training.latents import LatentSettings, SpaceToDepth, make_codec
from training.text import SmallTextEncoder, TextSettings, make_text_encoder

CPU = torch.device("cpu")


def test_space_to_depth_loses_nothing() -> None:
    images = torch.rand(2, 3, 8, 8) * 2 - 1
    codec = SpaceToDepth(2)
    latents = codec.encode(images)
    assert latents.shape == (2, 12, 4, 4) and codec.channels == 12
    # The four pixels of a square become the four channels of their colour.
    assert torch.equal(latents[0, :4, 1, 2], images[0, 0, 2:4, 4:6].flatten())
    assert torch.equal(codec.decode(latents), images)


def test_vae_scales_as_its_configuration_says(vae_folder: Path) -> None:
    from diffusers import AutoencoderKL

    codec = make_codec(LatentSettings(codec="vae", folder=str(vae_folder)), CPU)
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    latents = codec.encode(images)
    assert (codec.channels, codec.factor) == (4, 2) and latents.shape == (2, 4, 8, 8)
    vae = AutoencoderKL.from_pretrained(vae_folder).eval()
    with torch.no_grad():
        mean = vae.encode(images).latent_dist.mean
        expected = vae.decode(mean).sample.clamp(-1, 1)
    torch.testing.assert_close(latents, (mean - 0.25) * 0.5)
    torch.testing.assert_close(codec.decode(latents), expected)


def test_missing_codec_and_text_folders_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"latents.folder: .* holds no config.json"):
        make_codec(LatentSettings(codec="vae", folder=str(tmp_path)), CPU)
    with pytest.raises(InputError, match=r"text.folder: .* holds no config.json"):
        make_text_encoder(TextSettings(encoder="clip", folder=str(tmp_path)), [], 77, 768)
    with pytest.raises(InputError, match="folder: missing"):
        LatentSettings(codec="vae")
    with pytest.raises(InputError, match="folder: missing"):
        TextSettings(encoder="clip")


# ---------------------------------------------------------------------- text


@pytest.fixture
def small() -> SmallTextEncoder:
    torch.manual_seed(0)
    return SmallTextEncoder(["blue", "circle", "red", "square"], 5, 16, layers=2, heads=2)


def test_small_encoder_tells_captions_apart_and_knows_order(small: SmallTextEncoder) -> None:
    features = small.encode(["red circle", "blue circle", "circle red", "", "red circle"])
    assert features.shape == (5, 5, 16)
    assert torch.equal(features[0], features[4])
    for other in (1, 2, 3):
        assert (features[0] - features[other]).abs().max() > 0.1


def test_small_encoder_does_not_depend_on_the_batch_or_the_mode(small: SmallTextEncoder) -> None:
    together = small.encode(["red circle", "", "blue square of nothing known, really"])
    small.eval()
    with torch.no_grad():
        torch.testing.assert_close(small.encode([""])[0], together[1])
        torch.testing.assert_close(small.encode(["red circle"])[0], together[0])


def test_small_encoder_reads_words_without_case_and_cuts_at_its_length(small: SmallTextEncoder) -> None:
    assert torch.equal(small.encode(["Red, circle."]), small.encode(["red circle"]))
    long = "red circle blue square"
    assert torch.equal(small.encode([long]), small.encode([long + " red red red"]))


def test_clip_encoder_gives_the_last_hidden_state_and_is_frozen(clip_folder: Path) -> None:
    from transformers import CLIPTextModel, CLIPTokenizer

    settings = TextSettings(encoder="clip", folder=str(clip_folder))
    encoder = make_text_encoder(settings, [], 10, 16).train()
    features = encoder.encode(["a b", ""])
    tokens = CLIPTokenizer.from_pretrained(clip_folder)(
        ["a b", ""], padding="max_length", max_length=10, return_tensors="pt"
    )
    with torch.no_grad():
        expected = CLIPTextModel.from_pretrained(clip_folder).eval()(tokens.input_ids).last_hidden_state
    assert features.shape == (2, 10, 16)
    torch.testing.assert_close(features, expected)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    with pytest.raises(InputError, match=r" 10 x 16 features, .* 77 x 768"):
        make_text_encoder(settings, [], 77, 768)
