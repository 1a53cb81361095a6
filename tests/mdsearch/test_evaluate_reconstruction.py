"""`mdsearch evaluate reconstruction`: on a data set's held-out images, on anybody's, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from evaluators.metrics.reconstruction import psnr
from evaluators.networks.loading import ComputeSettings
from evaluators.protocols.sheet import Sheet
from mdsearch.commands.evaluate_reconstruction import main, reconstructor
from space.autoencoder import Autoencoder, ImageLevel, Way
from space.autoencoder_network import AutoencoderNetwork
from space.interchange.autoencoder_files import save_autoencoder
from space.shared.plain import InputError

PLAIN = Way((ImageLevel(4, 1, "plain"), ImageLevel(4, 1, "plain")))
OFFLINE = ("perceptual=random", "features=random-conv", "compute.device=cpu")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = AutoencoderNetwork(Autoencoder(PLAIN, PLAIN, latent_channels=2, image_size=16))
    save_autoencoder(network, tmp_path / "ae", {"scaling_factor": 1.0})
    return tmp_path / "ae"


def test_on_held_out_images(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = model.parent / "scores"
    words = [f"model={model}", "data.scenes=720", "data.image_size_px=16", "samples=20", f"out={out}"]
    assert main([*words, *OFFLINE, f"against={model}"]) == 0
    text = capsys.readouterr().out
    assert "psnr" in text
    assert "within noise" in text
    sheet = Sheet.load(out)
    assert set(sheet.scores) == {"psnr", "ssim", "perceptual_random", "fid_random_conv"}
    assert sheet.scores["psnr"].samples == 20
    assert sheet.about["differences"]["psnr"]["mean"] == 0
    assert (out / "samples.png").is_file()


def test_on_a_folder_of_images(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, rng = model.parent / "photos", np.random.default_rng(0)
    folder.mkdir()
    images = [rng.integers(0, 256, (16, 16, 3), np.uint8) for _ in range(9)]
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")
    words = [f"model={model}", f"images={folder}", f"out={model.parent / 'scores'}", *OFFLINE, "batch_size=4"]
    assert main([*words, "format=json"]) == 0
    found = json.loads(capsys.readouterr().out)["scores"]["psnr"]
    stack = np.stack(images)
    expected = psnr(stack, reconstructor(str(model), 16, ComputeSettings("cpu"))(stack)).mean()
    assert found["value"] == pytest.approx(expected)
    assert found["protocol"]["images"]["crop"] == "center"
    Image.fromarray(images[0][:8]).save(folder / "other.png")
    with pytest.raises(InputError, match="size_px: null, and images have several sizes"):
        main(words)
    assert main([*words, "size_px=12"]) == 0
    with pytest.raises(InputError, match=r"size_px: 15 px is no multiple of 2"):
        main([*words, "size_px=15"])
    (folder / "other.png").write_bytes(b"none")
    with pytest.raises(InputError, match=r"other\.png cannot be read"):
        main([*words, "size_px=16"])


def test_what_is_refused(model: Path) -> None:
    words = [
        f"model={model}",
        "data.scenes=720",
        "data.image_size_px=16",
        "samples=20",
        "weights.download=false",
    ]
    words.append(f"weights.cache_folder={model.parent / 'none'}")
    for extra, found in (
        (["perceptual=lpips-vgg", "features=none"], "lpips-vgg"),
        (["features=inception-v3", "perceptual=none"], "inception-v3"),
        ([f"images={model}", "data=digits"], "data: has no effect beside images="),
        (["samples=1"], "samples: 1"),
    ):
        taken = {word.split("=")[0] for word in extra}
        kept = [word for word in words if word.split("=")[0] not in taken]
        if "images" in taken:
            kept = [word for word in kept if not word.startswith("data.")]
        with pytest.raises(InputError, match=found):
            main([*kept, *extra])
    with pytest.raises(InputError, match=r"config\.json"):
        main([*words[1:], f"model={model.parent}"])


def test_networks_that_are_not_there_are_left_out_and_said(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        f"model={model}",
        "data.scenes=720",
        "data.image_size_px=16",
        "samples=20",
        "weights.download=false",
    ]
    assert main([*words, f"weights.cache_folder={model.parent / 'none'}", f"out={model.parent / 's'}"]) == 0
    text = capsys.readouterr().out
    assert text.count("left out: ") == 2
    assert set(Sheet.load(model.parent / "s").scores) == {"psnr", "ssim"}


def test_weights_that_overflow_are_said(model: Path) -> None:
    network = AutoencoderNetwork(Autoencoder(PLAIN, PLAIN, latent_channels=2, image_size=16))
    with torch.no_grad():
        network.decoder.last_weight.fill_(3e38)
    save_autoencoder(network, model, {"scaling_factor": 1.0})
    with pytest.raises(InputError, match="gives images that are not finite in fp32"):
        main([f"model={model}", "data.scenes=720", "data.image_size_px=16", "samples=4", *OFFLINE])


def test_another_is_drawn_below_and_refused_by_its_own_field(model: Path) -> None:
    words = [f"model={model}", "data.scenes=720", "data.image_size_px=16", "samples=4", *OFFLINE]
    heights = []
    for beside in ([], [f"against={model}"]):
        assert main([*words, *beside, f"out={model.parent / 's'}"]) == 0
        heights.append(Image.open(model.parent / "s" / "samples.png").height)
    assert heights == [3 * 32, 5 * 32]  # pixels twice as large
    with pytest.raises(InputError, match=r"^against: .*config\.json"):
        main([*words, f"against={model.parent}"])


def test_it_is_judged_on_what_it_learnt_from(model: Path) -> None:
    size = ["samples=4", "perceptual=none", "features=none", f"out={model.parent / 's'}"]
    with pytest.raises(InputError, match=r"data: .* does not say what it learnt from; needed: images="):
        main([f"model={model}", *size])
    learnt = {"name": "scenes", "scenes": 720, "image_size_px": 16, "style": "outline"}
    (model / "config.yaml").write_text(yaml.safe_dump({"data": learnt}))
    for words, name in (([], "16 px"), (["data.image_size_px=20"], "20 px"), (["data=scenes"], "24 px")):
        assert main([f"model={model}", *size, *words]) == 0
        protocol = Sheet.load(model.parent / "s").scores["psnr"].protocol
        assert protocol.reference is not None and name in protocol.reference.name


def test_images_of_a_single_colour_are_refused(model: Path) -> None:
    folder = model.parent / "grey"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (16, 16), (number, 9, 9)).save(folder / f"{number}.png")
    with pytest.raises(InputError, match="images: all 4 are of a single colour each"):
        main([f"model={model}", f"images={folder}", "perceptual=none", "features=none"])


def test_a_models_own_data_come_before_those_of_a_run_around_it(model: Path) -> None:
    run = model.parent
    (run / "record.jsonl").write_text("{}\n")
    learnt = {"name": "scenes", "scenes": 720, "image_size_px": 20}
    (run / "config.yaml").write_text(yaml.safe_dump({"data": learnt}))
    words = [f"model={model}", "samples=4", "perceptual=none", "features=none", f"out={run / 's'}"]
    for size in (20, 16):  # of the run around; then of the model itself
        assert main(words) == 0
        reference = Sheet.load(run / "s").scores["psnr"].protocol.reference
        assert reference is not None and f"{size} px" in reference.name
        (model / "config.yaml").write_text(yaml.safe_dump({"data": learnt | {"image_size_px": 16}}))
