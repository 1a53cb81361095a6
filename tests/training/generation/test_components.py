"""Pipelines whose parts are not whole: refused, where their libraries would generate without the text."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from space.autoencoder import ImageLevel, Way
from space.autoencoder_network import AutoencoderNetwork
from space.interchange.autoencoder_files import OWN_CLASS, read_autoencoder, save_autoencoder
from space.interchange.checkpoints import PIPELINE_FILE
from space.interchange.weight_files import WEIGHTS_FILE
from space.shared.plain import InputError
from tests.space.interchange.test_pipeline_unet import FOUND, randomised, stable_diffusion
from training.generation.generators import open_generator
from training.generation.settings import GenerationSettings

CPU = torch.device("cpu")
SETTINGS = GenerationSettings(count=1, image_size_px=16, steps=1, guidance=3.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from space.interchange.pipeline_unet import PipelineUNet

    folder = tmp_path_factory.mktemp("pipeline")
    stable_diffusion(PipelineUNet.wrapping(randomised(FOUND)), FOUND).save_pretrained(folder)
    return folder


@pytest.fixture
def pipeline(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "pipeline"))


@pytest.mark.parametrize(
    ("weights", "missing"),
    [
        ("text_encoder/model.safetensors", "mlp.fc1.weight"),
        ("vae/diffusion_pytorch_model.safetensors", "decoder.conv_out.weight"),
        ("unet/diffusion_pytorch_model.safetensors", "conv_in.weight"),
    ],
)
def test_a_part_without_a_weight_is_refused(pipeline: Path, weights: str, missing: str) -> None:
    held = load_file(pipeline / weights)
    lost = next(name for name in held if name.endswith(missing))
    del held[lost]
    save_file(held, pipeline / weights, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"1 of its weights are missing \(.*" + missing.replace(".", r"\.")):
        open_generator(pipeline, SETTINGS, CPU)


def test_an_autoencoder_of_our_own_description_decodes(pipeline: Path) -> None:
    theirs = read_autoencoder(pipeline / "vae").network.autoencoder
    pruned = Way(tuple(ImageLevel(4, 1, "plain") for _ in theirs.decoder.levels))
    network = AutoencoderNetwork(replace(theirs, decoder=pruned))
    shutil.rmtree(pipeline / "vae")
    save_autoencoder(network, pipeline / "vae", {"scaling_factor": 0.5})
    index = json.loads((pipeline / PIPELINE_FILE).read_text()) | {"vae": list(OWN_CLASS)}
    (pipeline / PIPELINE_FILE).write_text(json.dumps(index))
    images = open_generator(pipeline, SETTINGS, CPU).generate(["a red circle"], [0])
    assert images.shape == (1, 16, 16, 3)
    held = load_file(pipeline / "vae" / WEIGHTS_FILE)
    held["network.decoder.places.out.0.bias"] += 2  # white
    save_file(held, pipeline / "vae" / WEIGHTS_FILE, metadata={"format": "pt"})
    assert (open_generator(pipeline, SETTINGS, CPU).generate(["a red circle"], [0]) > 200).all()


def test_a_tokenizer_without_its_vocabulary_is_refused(pipeline: Path) -> None:
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        (pipeline / "tokenizer" / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"^model: .*tokenizer"):
        open_generator(pipeline, SETTINGS, CPU)


def test_a_tokenizer_of_more_tokens_than_its_encoder_is_refused(pipeline: Path) -> None:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(pipeline / "tokenizer")
    tokenizer.add_tokens(["zebra"])
    tokenizer.save_pretrained(pipeline / "tokenizer")
    with pytest.raises(InputError, match=r"^model: .*text_encoder .* 54 tokens, .*tokenizer .* 55"):
        open_generator(pipeline, SETTINGS, CPU)


def test_captions_that_a_pipeline_cuts_are_counted(whole: Path) -> None:
    """Twelve tokens, of which the start and the end take two."""
    (line,) = open_generator(whole, SETTINGS, CPU).unread_text(["a red cat", "a red circle, a blue one"])
    assert re.match("warning: captions: 1 of 2 .* 12 tokens .*tokenizer .* cut$", line)
