"""`mdsearch convert`: what is converted generates the same images on the other side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import yaml
from diffusers import (
    DDIMScheduler,
    DiffusionPipeline,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)

from mdsearch.commands import convert
from mdsearch.commands.train import TrainCommand
from space.architecture import Architecture, Level, Middle
from space.interchange.checkpoints import load
from space.interchange.pipeline_unet import PipelineUNet
from space.proxy import Proxy
from space.shared.plain import InputError, to_plain
from space.unet import UNet
from tests.analysis.export.networks import MD_LIKE
from tests.space.interchange.layouts import shaken
from tests.space.interchange.test_pipeline_unet import parts
from training.diffusion import DiffusionSettings
from training.latents import LatentSettings
from training.model import Model, ModelSettings, load_model
from training.settings import TrainingSettings
from training.state import TrainingState, write_state
from training.text import TextSettings

CPU = torch.device("cpu")
PROMPTS = ["a red", "other"]
SD_LIKE = replace(
    MD_LIKE,
    levels=(
        Level(8, "full", (1,), (1, 1), self_attention=True, cross_attention=True),
        Level(16, "full", (0,), (0, 0)),
    ),
    middle=Middle((1, 0)),
    feed_forward_ratio=4, activation="gelu", shared_key_value=False, stack_projection="conv",
)  # fmt: skip


def settings(folder: Path | None = None, **diffusion: Any) -> ModelSettings:
    codec, text = LatentSettings(), TextSettings(layers=0)
    if folder is not None:
        codec = LatentSettings(codec="vae", folder=str(folder / "vae"))
        text = TextSettings(encoder="clip", folder=str(folder / "text_encoder"))
    noise = DiffusionSettings(**{"prediction": "v", "schedule": "scaled_linear"} | diffusion)
    return ModelSettings(16, ("a", "red", "circle"), 2.0, 3, noise, codec, text)


def trained(architecture: Architecture, what: ModelSettings, folder: Path) -> Model:
    torch.manual_seed(0)
    model = Model(architecture, what, CPU)
    shaken(model)
    torch.nn.init.normal_(model.unet.conv_out.weight, std=0.3)  # type: ignore[arg-type]
    model.save(folder)
    return model


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny autoencoder, text encoder and tokenizer, as a pipeline's folders."""
    folder = tmp_path_factory.mktemp("frozen")
    for name, part in parts(MD_LIKE).items():
        part.save_pretrained(folder / name)
    return folder


def converted(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert convert.main([*words, "format=json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def images(pipeline: Any, model: Model) -> np.ndarray:
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(
        PROMPTS, latents=model.initial_noise(5, [0, 1]), num_inference_steps=3, guidance_scale=2.0,
        output_type="np",
    )  # fmt: skip
    return (made.images * 255).round().astype(np.uint8)


@pytest.mark.parametrize(
    ("architecture", "to", "kind"),
    [(MD_LIKE, "pipeline_unet", PipelineUNet), (SD_LIKE, "diffusers", UNet2DConditionModel)],
)
def test_a_trained_model_generates_the_same_images_as_a_pipeline_and_back(
    architecture: Architecture, to: str, kind: Any, frozen: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model = trained(architecture, settings(frozen), tmp_path / "trial")
    (tmp_path / "trial" / "README.md").write_text("Images: by somebody")
    told = converted(capsys, f"model={tmp_path / 'trial'}", f"out={tmp_path / 'out'}", f"to={to}")
    assert (tmp_path / "out" / "README.md").read_text() == "Images: by somebody"
    assert (told["architecture"], told["precision"], told["left_out"]) == (architecture.id, "fp32", [])
    unet = kind.from_pretrained(tmp_path / "out" / "unet")
    pipeline = DiffusionPipeline.from_pretrained(tmp_path / "out", unet=unet)
    assert type(pipeline) is StableDiffusionPipeline
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    mine = model.generate(PROMPTS, seed=5)
    assert len({image.tobytes() for image in mine}) == 2
    assert np.abs(images(pipeline, model).astype(int) - mine).max() <= 1  # of 255: rounded elsewhere

    told = converted(capsys, f"model={tmp_path / 'out'}", f"out={tmp_path / 'back'}", "to=mdsearch")
    assert told["left_out"] == []
    back = load_model(tmp_path / "back", "cpu")
    assert back.architecture.id == architecture.id
    assert np.array_equal(back.generate(PROMPTS, seed=5, steps=3, guidance=2.0), mine)
    assert Architecture.load(tmp_path / "back" / "architecture.yaml") == back.architecture

    PNDMScheduler.from_config(pipeline.scheduler.config, timestep_spacing="leading").save_pretrained(
        tmp_path / "out" / "scheduler"
    )
    told = converted(capsys, f"model={tmp_path / 'out'}", f"out={tmp_path / 'other'}", "to=mdsearch")
    (said,) = told["left_out"]
    assert said.startswith("scheduler: PNDMScheduler, timestep_spacing leading (ours trailing)")


def test_prediction_travels_where_the_rest_cannot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    architecture, what = replace(MD_LIKE, latent_channels=12, latent_size=6), settings(prediction="x0")
    model = trained(architecture, replace(what, image_size_px=12), tmp_path / "trial")
    out = tmp_path / "out"
    told = converted(
        capsys, f"model={tmp_path / 'trial'}", f"out={out}", "to=pipeline_unet", "precision=fp16"
    )
    assert [line.partition(":")[0] for line in told["left_out"]] == ["image_size_px"]
    assert told["precision"] == "fp16" and load(out / "unet").conv_in.weight.dtype == torch.float16
    scheduler = DDIMScheduler.from_pretrained(out / "scheduler")
    assert scheduler.config.prediction_type == "sample" and scheduler.config.thresholding
    assert scheduler.config.beta_schedule == "scaled_linear" and scheduler.config.rescale_betas_zero_snr
    back = converted(capsys, f"model={out}", f"out={tmp_path / 'back'}", "to=mdsearch")
    assert back["left_out"] and back["architecture"] == architecture.id
    again = converted(capsys, f"model={tmp_path / 'trial'}", f"out={tmp_path / 'copy'}", "to=mdsearch")
    assert again["left_out"] == []
    copy = load_model(tmp_path / "copy", "cpu")
    assert np.array_equal(copy.generate(PROMPTS, seed=1), model.generate(PROMPTS, seed=1))


def test_a_run_and_files_of_diffusers_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = replace(SD_LIKE, latent_channels=12)
    model = trained(architecture, settings(), tmp_path / "run" / "trials" / "3")
    (tmp_path / "run" / "record.jsonl").touch()
    monkeypatch.setattr(convert, "trial_folder", lambda run: run / "trials" / "3")
    told = converted(capsys, f"model={tmp_path / 'run'}", f"out={tmp_path / 'sd'}", "to=diffusers")
    assert told["from"].endswith("trials/3")
    peer = UNet2DConditionModel.from_pretrained(tmp_path / "sd" / "unet")
    peer.half().save_pretrained(tmp_path / "half", variant="fp16", safe_serialization=False)
    words = (
        f"model={tmp_path / 'half'}",
        f"out={tmp_path / 'a'}",
        "to=mdsearch",
        "variant=fp16",
        "precision=fp32",
    )
    (left_out,) = converted(capsys, *words)["left_out"]
    assert left_out.startswith("scheduler: ")
    weight = model.unet.conv_in.weight
    assert torch.equal(load(tmp_path / "a").conv_in.weight, weight.half().float())


def test_a_training_state_is_read_as_it_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its folder says the architecture at the paper's scale, and the proxy that was trained of it."""
    wide = replace(SD_LIKE, latent_channels=12, time_width=32, levels=tuple(
        replace(level, channels=2 * level.channels) for level in SD_LIKE.levels
    ))  # fmt: skip
    command = TrainCommand(
        arch=wide,
        proxy=Proxy(width_divisor=2),
        training=TrainingSettings(diffusion=DiffusionSettings(prediction="v"), latents=LatentSettings()),
    )
    narrow = replace(SD_LIKE, latent_channels=12)
    unet = shaken(UNet(narrow))
    state = {f"averaged/unet.{name}": tensor for name, tensor in unet.state_dict().items()}
    identity = {"architecture": narrow.id}
    path = write_state(TrainingState({"step": 5, "identity": identity}, state), tmp_path / "states")
    words = [f"model={path}", f"out={tmp_path / 'out'}", "to=diffusers"]
    with pytest.raises(InputError, match=r"config.yaml: cannot be read"):
        convert.main(words)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(to_plain(command)))
    (tmp_path / "architecture.yaml").write_text(wide.to_yaml())
    assert converted(capsys, *words)["architecture"] == narrow.id
    assert torch.equal(load(tmp_path / "out" / "unet").conv_in.weight, unet.conv_in.weight)
    scheduler = DDIMScheduler.from_pretrained(tmp_path / "out" / "scheduler")
    assert scheduler.config.prediction_type == "v_prediction"
    told = converted(capsys, words[0], f"out={tmp_path / 'ours'}", "to=mdsearch")
    (left_out,) = told["left_out"]
    assert left_out.startswith("text.encoder: small, ")
    write_state(
        TrainingState({"step": 5, "identity": {"architecture": "another"}}, state), tmp_path / "states"
    )
    with pytest.raises(InputError, match=f" another, .* {narrow.id}"):
        convert.main([words[0], f"out={tmp_path / 'other'}", "to=diffusers"])


def test_a_pipeline_keeps_its_other_parts(
    frozen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(SD_LIKE, settings(frozen), tmp_path / "trial")
    converted(capsys, f"model={tmp_path / 'trial'}", f"out={tmp_path / 'sd'}", "to=diffusers")
    index = json.loads((tmp_path / "sd" / "model_index.json").read_text())
    (tmp_path / "sd" / "model_index.json").write_text(json.dumps(index | {"_class_name": "OtherPipeline"}))
    told = converted(capsys, f"model={tmp_path / 'sd'}", f"out={tmp_path / 'ours'}", "to=pipeline_unet")
    made = json.loads((tmp_path / "ours" / "model_index.json").read_text())
    assert made["_class_name"] == "OtherPipeline" and told["left_out"] == []
    assert made["unet"] == ["space.interchange.pipeline_unet", "PipelineUNet"]
    for name in ("vae", "text_encoder", "tokenizer", "scheduler"):
        files = {path.name: path.read_bytes() for path in (tmp_path / "sd" / name).iterdir()}
        assert files == {path.name: path.read_bytes() for path in (tmp_path / "ours" / name).iterdir()}
    told = converted(capsys, f"model={tmp_path / 'sd'}", f"out={tmp_path / 'bare'}", "to=mdsearch")
    assert len(told["left_out"]) == 1 and "is a OtherPipeline" in told["left_out"][0]


def test_what_cannot_be_converted_is_said_in_one_line(
    frozen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(MD_LIKE, settings(frozen), tmp_path / "trial")
    with pytest.raises(InputError, match=r"levels\[1\].conv: 'separable' has no diffusers layout"):
        convert.main([f"model={tmp_path / 'trial'}", f"out={tmp_path / 'out'}", "to=diffusers"])
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match=r"out: .* is there already"):
        convert.main([f"model={tmp_path / 'trial'}", f"out={tmp_path / 'trial'}", "to=mdsearch"])
    killed = mock.patch.object(convert, "keep_card", side_effect=KeyboardInterrupt)  # when nearly done
    with killed, pytest.raises(KeyboardInterrupt):
        convert.main([f"model={tmp_path / 'trial'}", f"out={tmp_path / 'out'}", "to=mdsearch"])
    assert [each.name for each in tmp_path.iterdir()] == ["trial"]
    with pytest.raises(InputError, match="to: 'onnx' is not a choice"):
        convert.main([f"model={tmp_path / 'trial'}", f"out={tmp_path / 'out'}", "to=onnx"])
    for place, said in (("nowhere", "is not there"), ("", "holds no model")):
        with pytest.raises(InputError, match=rf"^model: .* {said}; allowed: a run, "):
            convert.main([f"model={tmp_path / place}", f"out={tmp_path / 'out'}", "to=mdsearch"])
    assert convert.main([f"model={tmp_path / 'trial'}", f"out={tmp_path / 'text'}", "to=pipeline_unet"]) == 0
    assert f"{MD_LIKE.id}: " in capsys.readouterr().out
