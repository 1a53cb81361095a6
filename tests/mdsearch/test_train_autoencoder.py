"""`mdsearch train autoencoder`: a folder that goes on exactly, and a decoder for the encoder in it."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from mdsearch.commands.train_autoencoder import autoencoder_command, main, make_trainer
from space.autoencoder import Autoencoder
from space.difference import autoencoder_difference
from space.shared.plain import InputError
from training.distributed.ranks import RankGroup
from training.files import CURVE_NAME, SAMPLES_NAME
from training.run import TrainingRun

TINY = """schema_version: 1
latent_channels: 2
encoder: {levels: [{channels: 4, blocks: 1, conv: plain}, {channels: 4, blocks: 1, conv: plain}]}
decoder: {levels: [{channels: 4, blocks: 1, conv: plain}, {channels: 4, blocks: DECODER, conv: plain}]}
"""
WEIGHTS = "diffusion_pytorch_model.safetensors"
SHORT = (
    "data.scenes=720", "data.image_size_px=16", "reconstruction.batch_size=4", "state_every_steps=2",
    "reconstruction.validation_images=4", "images=2", "reconstruction.device=cpu",
)  # fmt: skip


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(TINY.replace("DECODER", "1"))
    (tmp_path / "other.yaml").write_text(TINY.replace("DECODER", "2"))
    return tmp_path


def test_it_goes_on_as_if_never_stopped(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"autoencoder={own / 'tiny.yaml'}", *SHORT]
    assert main([*words, f"out={own / 'whole'}", "reconstruction.steps=4"]) == 0
    assert main([*words, f"out={own / 'parts'}", "reconstruction.steps=2"]) == 0
    (own / "tiny.yaml").unlink()
    assert main([f"resume={own / 'parts'}", "reconstruction.steps=4"]) == 0
    assert "perceptual network: random convolutions" in capsys.readouterr().out
    whole, parts = (load_file(own / name / WEIGHTS) for name in ("whole", "parts"))
    assert all(whole[name].equal(tensor) for name, tensor in parts.items())
    lines = [json.loads(line) for line in (own / "parts" / CURVE_NAME).read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4]
    assert [line["step"] for line in lines if "psnr" in line] == [2, 4]
    assert (own / "parts" / SAMPLES_NAME).is_file()
    card = (own / "parts" / "README.md").read_text()
    for said in (
        "4 steps of 4 images",
        "| psnr | ",
        "latents of 2 channels, each side / 2",
        "from_pretrained",
    ):
        assert said in card

    kept = {name: (own / "whole" / name).read_bytes() for name in ("autoencoder.yaml", "config.yaml")}
    (own / "tiny.yaml").write_text(TINY.replace("DECODER", "1"))
    tiny, other = (f"autoencoder={own / name}" for name in ("tiny.yaml", "other.yaml"))
    for changed, found in (
        ([tiny, "reconstruction.kl=1"], r"reconstruction\.kl: 1\.0, but .* with 1e-06; .*resume="),
        ([other], "is of another autoencoder"),
    ):
        with pytest.raises(InputError, match=found):
            main([*changed, *SHORT, f"out={own / 'whole'}"])
    assert {name: (own / "whole" / name).read_bytes() for name in kept} == kept

    light = [f"autoencoder={own / 'other.yaml'}", f"init_from={own / 'whole'}", *SHORT]
    out = [f"out={own / 'light'}", "reconstruction.steps=2"]
    with pytest.raises(InputError, match=r"init_from: is of another decoder"):
        main([*light, *out])
    assert main([*light, *out, "reconstruction.decoder_only=true"]) == 0
    record = json.loads((own / "light" / "autoencoder.json").read_text())
    assert record["scale"] == json.loads((own / "whole" / "autoencoder.json").read_text())["scale"]
    (own / "whole").rename(own / "away")
    with pytest.raises(InputError, match=r"is of another encoder \(\w{16}\) than this training \(none\)"):
        main([f"resume={own / 'light'}", "reconstruction.steps=4", "reconstruction.decoder_only=false"])
    assert main([f"resume={own / 'light'}", "reconstruction.steps=4"]) == 0


def test_a_discriminator_that_never_judges_is_said(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged = ["reconstruction.adversarial.kind=hinge", "reconstruction.adversarial.layers=1"]
    words = [f"autoencoder={own / 'tiny.yaml'}", *SHORT, *judged, "reconstruction.steps=1"]
    for from_step, is_said in ((1, True), (0, False)):
        command, _ = autoencoder_command([*words, f"reconstruction.adversarial.from_step={from_step}"])
        make_trainer(command, RankGroup())
        assert ("no discriminator judges" in capsys.readouterr().out) == is_said


def test_mistakes_leave_no_folder(own: Path) -> None:
    words = [f"autoencoder={own / 'tiny.yaml'}", *SHORT, f"out={own / 'out'}"]
    for word, found in (
        ("data.image_size_px=17", r"data\.image_size_px: 17 px .* 2"),
        ("reconstruction.pixel=l3", r"reconstruction\.pixel: 'l3'"),
        ("perceptual=vgg", "perceptual: 'vgg'.*lpips-vgg"),
        ("init_from=nowhere", "init_from: nowhere"),
        ("weights.files.lpips-vgg=vgg.pth", "lpips-vgg: has no effect here"),
    ):
        with pytest.raises(InputError, match=found):
            main([*[each for each in words if each.split("=")[0] != word.split("=")[0]], word])
    assert not (own / "out").exists()
    with pytest.raises(InputError, match=r"resume: .* is no folder of an autoencoder's training"):
        main([f"resume={own}"])


def test_want_of_memory_is_one_line_with_how_to_go_on(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def too_large(*args: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(TrainingRun, "train_to", too_large)
    assert (
        main([f"autoencoder={own / 'tiny.yaml'}", *SHORT, f"out={own / 'a'}", "reconstruction.steps=2"]) == 1
    )
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("out of memory: DefaultCPUAllocator: can't allocate memory")
    assert f"mdsearch train autoencoder resume={own / 'a'} reconstruction.micro_batch=" in said


def test_what_was_stored_goes_on_though_a_default_is_another_now(own: Path) -> None:
    words = [f"autoencoder={own / 'tiny.yaml'}", *SHORT, f"out={own / 'a'}", "reconstruction.steps=2"]
    assert main(words) == 0
    stored = yaml.safe_load((own / "a" / "config.yaml").read_text())
    stored["reconstruction"]["kl"] = 0.25  # as if that had been the default then
    (own / "a" / "config.yaml").write_text(yaml.safe_dump(stored))
    command, _ = autoencoder_command([f"resume={own / 'a'}", "reconstruction.steps=4"])
    assert (command.reconstruction.kl, command.reconstruction.steps) == (0.25, 4)
    assert command.data.image_size_px == 16
    command, _ = autoencoder_command([f"resume={own / 'a'}", "reconstruction.kl=1e-6"])  # today's default
    assert command.reconstruction.kl == 1e-6


def test_presets_whose_decoders_are_light_have_the_encoders_of_others() -> None:
    presets = files("conf") / "autoencoder"
    for full, light in (("quarter", "quarter_light"), ("paper", "light")):
        one, other = (Autoencoder.load(Path(str(presets / f"{name}.yaml"))) for name in (full, light))
        assert all(line.startswith("decoder") for line in autoencoder_difference(one, other))
