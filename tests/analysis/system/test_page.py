"""The page of a system says what its stages left, and no more."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from analysis.system.facts import System
from analysis.system.network_sections import system_architecture, system_decoder
from analysis.system.page import write_system_page
from analysis.system.record import BuildRecord, MadeStage, read_build
from analysis.system.sections import system_latency, system_scores
from evaluators.protocols.protocol import EvaluationProtocol, ImageForm, NetworkSpec, ReferenceSet, Sampling
from evaluators.protocols.score import ConfidenceInterval, Score
from evaluators.protocols.sheet import Sheet
from space.architecture import Architecture
from space.autoencoder import Autoencoder, ImageLevel, Way
from space.autoencoder_network import AutoencoderNetwork
from space.interchange.autoencoder_files import save_autoencoder
from space.prices.autoencoder import autoencoder_price
from space.prices.macs import price
from space.shared.plain import InputError
from tests.analysis.export.networks import MD_LIKE
from training.diffusion import DiffusionSettings
from training.generation.sample_folder import SampleFolder
from training.latents import LatentSettings
from training.model import Model, ModelSettings
from training.text import TextSettings

LEVELS = (ImageLevel(4, 1, "plain"), ImageLevel(8, 1))
LIGHT = Autoencoder(Way(LEVELS, norm_groups=4), Way(LEVELS, norm_groups=4), 4, image_size=16)
FULL = replace(LIGHT, decoder=Way((ImageLevel(8, 2), ImageLevel(8, 2)), norm_groups=4))
WHOLE = replace(MD_LIKE, levels=tuple(replace(each, channels=4 * each.channels) for each in MD_LIKE.levels))
CAPTIONS = ["a red circle", "a blue cross"]
MS = {"text": 1.0, "unet": 10.0, "decoder": 3.0}


def stage(folder: Path, name: str, command: str, **paths: Path) -> tuple[str, MadeStage]:
    left = folder / (f"{name}.json" if command == "latency" else name)
    own = {key: str(path) for key, path in paths.items()} | {"out": str(left)}
    words = tuple(f"{key}={path}" for key, path in own.items())
    return name, MadeStage(command, words, str(left), own, name, seconds=90.0, sessions=1, finished=True)


def samples(folder: Path, steps: int, guidance: float) -> None:
    found = SampleFolder(folder, 2, 2)
    settings = {"count": 2, "image_size_px": 16, "steps": steps, "guidance": guidance}
    found.claim({"model": {}, "settings": settings}, CAPTIONS)
    for index in range(2):
        found.write(index, np.full((16, 16, 3), 30 * steps, np.uint8))


def scores(folder: Path, fid: float, clip: float, steps: int) -> None:
    protocol = EvaluationProtocol(
        "embedded", 2, ImageForm(16), (NetworkSpec("embedded-clip"),), (NetworkSpec("embedded-clip"),),
        ReferenceSet("held out", 50, "all", digest="ef" * 8), None, Sampling("ddim", steps, 2.0, 0),
    )  # fmt: skip
    found = {
        name: Score(name, value, ConfidenceInterval(0.9 * value, 1.1 * value, 0.95, "stated"), protocol, 2)
        for name, value in {"fid_embedded_clip": fid, "clip_embedded": clip}.items()
    }
    Sheet(found, {}).save(folder / "scores.json")


def latency(file: Path, id: str, parts: dict[str, float]) -> None:
    timed = {
        part: {"onnx": {"median_ms": ms, "interval_ms": [0.5 * ms, 2 * ms]}} for part, ms in parts.items()
    }
    said = {"id": id, "device": "a board, 2 CPUs", "threads": 2, "others": "quiet", "parts": timed}
    file.write_text(json.dumps(said))


def model(folder: Path, latents: LatentSettings, architecture: Architecture) -> None:
    noise = DiffusionSettings(prediction="v", schedule="scaled_linear")
    settings = ModelSettings(16, ("a", "red"), 1.0, 1, noise, latents, TextSettings(layers=0))
    Model(architecture, settings, torch.device("cpu")).save(folder)
    (folder / "architecture.yaml").write_text(WHOLE.to_yaml())


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Everything that a system's stages leave, as far as the page reads it."""
    made = dict[str, MadeStage]()
    for name, a in (("autoencoder", FULL), ("decoder", LIGHT)):
        save_autoencoder(AutoencoderNetwork(a), tmp_path / name, {"scaling_factor": 1.0})
        made |= [stage(tmp_path, name, "train autoencoder")]
    latents = LatentSettings("vae", folder=str(tmp_path / "decoder"))
    for name in ("train", "distill"):
        model(tmp_path / name, latents, MD_LIKE)
    made |= [stage(tmp_path, "train", "train")]
    made |= [stage(tmp_path, "distill", "distill", init_from=tmp_path / "train")]
    for name, steps, by in (("one", 1, "distill"), ("many", 8, "train")):
        samples(tmp_path / name, steps, 1.0 if steps == 1 else 2.0)
        scores(tmp_path / f"scored_{name}", 100.0 if steps == 1 else 20.0, 0.9, steps)
        made |= [stage(tmp_path, name, "generate samples", model=tmp_path / by)]
        made |= [stage(tmp_path, f"scored_{name}", "evaluate", images=tmp_path / name)]
    latency(tmp_path / "latency.json", MD_LIKE.id, MS)
    latency(tmp_path / "latency_full.json", FULL.id, {"decoder": 12.0})
    made |= [stage(tmp_path, "latency", "latency"), stage(tmp_path, "latency_full", "latency")]
    Sheet({}, {"differences": {"psnr": {"mean": -0.4, "low": -0.5, "high": -0.3}}}).save(
        tmp_path / "again" / "scores.json"
    )
    Image.new("RGB", (16, 48)).save(tmp_path / "again" / "samples.png")
    against = {"model": tmp_path / "decoder", "against": tmp_path / "autoencoder"}
    made |= [stage(tmp_path, "again", "evaluate reconstruction", **against)]
    (tmp_path / "export" / "unet").mkdir(parents=True)
    (tmp_path / "export" / "unet" / "manifest.json").write_text(
        json.dumps(
            {"format": "onnx", "precision": "fp32", "check": {"relative_error": 2e-6, "psnr_db": 110.0}}
        )
    )
    made |= [stage(tmp_path, "export", "export", model=tmp_path / "distill")]
    BuildRecord("tiny", made).save(tmp_path)
    return tmp_path


def texts(table: Any) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in table.rows]


def test_the_record_is_read_back_equal(built: Path) -> None:
    record = read_build(built)
    assert record is not None and record.stages["distill"].paths["init_from"] == str(built / "train")
    record.save(built / "again")
    assert read_build(built / "again") == record


def test_scores_are_those_of_the_sheets(built: Path) -> None:
    found = system_scores(System(built))
    assert found is not None
    clip = ["0.9", "0.81 to 0.99", ""]
    assert texts(found["table"]) == [
        ["1 step: distilled", "1", "2", "100", "90 to 110", *clip],
        ["8 steps: the model before distillation, guidance 2", "16", "2", "20", "18 to 22", *clip],
    ]
    assert [cell.badge for cell in found["table"].rows[1].cells][-1] == "better"


def test_latency_adds_up_what_was_measured(built: Path) -> None:
    found = system_latency(System(built))
    assert found is not None and (found["device"], found["others"]) == ("a board, 2 CPUs, 2 threads", "quiet")
    assert [row[2:] for row in texts(found["table"])] == [
        ["1", "10", "1", "3", "14", "7 to 28"],
        ["1", "10", "16", "3", "164", "82 to 328"],
    ]


def test_counts_are_those_of_the_networks(built: Path) -> None:
    found = system_architecture(System(built))
    assert found is not None and found["id"] == WHOLE.id and len(found["levels"].rows) == 2
    assert [row[1] for row in texts(found["counts"])] == [
        f"{price(a).parameters:,}" for a in (WHOLE, MD_LIKE)
    ]


def test_the_light_decoder_stands_beside_the_full_one(built: Path) -> None:
    found = system_decoder(System(built))
    assert [row[1] for row in texts(found["table"])] == [
        f"{autoencoder_price(a).decoder.parameters:,}" for a in (LIGHT, FULL)
    ]
    assert [row[-1] for row in texts(found["table"])] == ["3 (1.5 to 6)", "12 (6 to 24)"]
    assert found["differences"] == ["PSNR -0.4 (-0.5 to -0.3)"]


def test_the_page_is_one_file_with_all_of_it(built: Path) -> None:
    text = write_system_page(built).read_text()
    for said in (
        *CAPTIONS,
        "An image in 1 step takes 14 ms, in 8 steps 164 ms",
        "FID 100 (90 to 110)",
        WHOLE.id,
    ):
        assert said in text
    assert "one evaluation of the UNet, ONNX Runtime" in text and "18 min 0 s" in text  # twelve stages
    assert "every width divided by 4" in text and "1e-06" not in text and "2e-06" in text
    assert len(re.findall(r'src="data:image/png', text)) == 3
    assert "http://" not in re.sub(r"http://www\.w3\.org", "", text)


def test_pixels_need_no_decoder(built: Path) -> None:
    model(built / "distill", LatentSettings(factor=1), replace(MD_LIKE, latent_channels=3, latent_size=16))
    assert system_decoder(System(built))["table"] is None
    assert "latents are pixels, folded into channels" in write_system_page(built).read_text()


def test_a_page_of_what_there_is(built: Path) -> None:
    """Of a system whose first stages alone are finished."""
    record = read_build(built)
    assert record is not None
    some = {name: record.stages[name] for name in ("autoencoder", "train")}
    BuildRecord("tiny", some | {"distill": replace(record.stages["distill"], finished=False)}).save(built)
    assert System(built).model == built / "train"
    assert "Images</h2>" not in write_system_page(built).read_text()


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no system"):
        write_system_page(tmp_path)
    (tmp_path / "build.json").write_text("[]")
    with pytest.raises(InputError, match="cannot be read as the record of a system"):
        write_system_page(tmp_path)
