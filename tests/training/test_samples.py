"""Samples on the disk: the same bytes however they are divided, killed and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from mdsearch.commands import generate_samples as samples
from space.architecture import Architecture
from space.shared.plain import InputError
from space.shared.seeds import generator
from tests.space.interchange.test_pipeline_unet import FOUND, parts, randomised, stable_diffusion
from training import drawing
from training.data import Dataset, DataSettings, load_data
from training.drawing import Shard, draw_samples, how_made
from training.folder import read_captions
from training.loop import Trainer, TrainingSettings
from training.model import load_model
from training.painters import DrawSettings, identity, open_painter
from training.sample_folder import SampleFolder, read_manifest

CPU = torch.device("cpu")
PATIENCE_SECONDS = 240


@pytest.fixture(scope="module")
def model(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("model")
    trainer = Trainer(tiny, scenes, settings, seed=0)
    trainer.train_to(2)
    trainer.save_weights(folder)
    return folder


@pytest.fixture(scope="module")
def captions(scenes: Dataset) -> list[str]:
    return scenes.held_out_captions[:15]


OURS = DrawSettings(count=15, image_size_px=16, steps=3, guidance=2.0, seed=5, batch_size=2)


@pytest.fixture(scope="module")
def whole(model: Path, captions: list[str], tmp_path_factory: pytest.TempPathFactory) -> SampleFolder:
    """Drawn by one process that nothing disturbed."""
    return draw_samples(model, captions, OURS, tmp_path_factory.mktemp("samples") / "whole", device="cpu")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, hidden ones too."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# ---------------------------------------------------------------------- the same pictures however


def test_samples_are_what_the_model_draws(model: Path, whole: SampleFolder, captions: list[str]) -> None:
    drawn = load_model(model, "cpu").draw(captions, seed=5, batch_size=2, steps=3, guidance=2.0)
    assert np.array_equal(whole.read(), drawn)
    assert len({picture.tobytes() for picture in drawn}) == 15


def test_shards_make_the_same_folder_in_any_order(
    model: Path, whole: SampleFolder, captions: list[str], tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    for number in (3, 1, 2):
        shard, on_drawn = Shard(number, 3), lambda done, of: told.append((done, of))
        draw_samples(model, captions, OURS, tmp_path, shard=shard, device="cpu", on_drawn=on_drawn)
    # Batches 2, 5 (2 + 2 pictures), then 0, 3, 6, then 1, 4, 7, of which the last holds one picture.
    assert told == [(0, 4), (2, 4), (4, 4), *((d, 6) for d in (0, 2, 4, 6)), *((d, 5) for d in (0, 2, 4, 5))]
    assert contents(tmp_path) == contents(whole.path)


def test_a_picture_does_not_depend_on_how_many_follow(
    model: Path, whole: SampleFolder, captions: list[str], tmp_path: Path
) -> None:
    fewer = draw_samples(model, captions[:6], replace(OURS, count=6), tmp_path, device="cpu")
    assert np.array_equal(fewer.read(), whole.read()[:6])


def test_a_partly_finished_batch_is_drawn_again_whole_and_others_stay(
    model: Path, whole: SampleFolder, captions: list[str], tmp_path: Path
) -> None:
    folder = draw_samples(model, captions, OURS, tmp_path, device="cpu")
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    folder.picture(5).unlink()
    (tmp_path / ".000005.png.abc.partial").write_bytes(folder.picture(4).read_bytes()[:99])
    draw_samples(model, captions, OURS, tmp_path, device="cpu")
    assert contents(tmp_path) == contents(whole.path)
    again = {path.name for path, at in written.items() if path.stat().st_mtime_ns != at}
    assert again == {"000004.png", "000005.png"}


SLOW = replace(OURS, steps=100)  # long enough to be killed in the middle


def test_three_workers_whose_command_is_killed_leave_none_behind_and_one_draws_the_rest(
    model: Path, captions: list[str], tmp_path: Path
) -> None:
    (tmp_path / "captions.txt").write_text("".join(f"{caption}\n" for caption in captions))
    out = tmp_path / "out"
    words = [
        f"model={model}", f"captions={tmp_path / 'captions.txt'}", f"out={out}", "steps=100", "guidance=2",
        "seed=5", "batch_size=2", "device=cpu",
    ]  # fmt: skip
    command = [sys.executable, "-m", "mdsearch", "generate", "samples", *words, "workers=3"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    wait_for(lambda: any(out.glob("0*.png")), process)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert len(children) >= 3 and alive == []
    assert 0 < len(list(out.glob("0*.png"))) < 15
    assert samples.main([*words, "workers=1"]) == 0
    whole = draw_samples(model, captions, SLOW, tmp_path / "whole", device="cpu")
    assert contents(out) == contents(whole.path)


@pytest.mark.slow
def test_a_killed_worker_is_told_and_the_rest_drawn_by_others(
    model: Path, captions: list[str], tmp_path: Path
) -> None:
    killed = []

    def kill_one(done: int, of: int) -> None:
        if done and not killed:
            killed.append(active_children()[-1])
            killed[0].kill()

    with pytest.raises(InputError, match=r"a worker was ended by SIGKILL .* the same command goes on"):
        draw_samples(model, captions, SLOW, tmp_path / "a", workers=3, device="cpu", on_drawn=kill_one)
    assert 0 < len(list((tmp_path / "a").glob("0*.png"))) < 15
    assert active_children() == []
    draw_samples(model, captions, SLOW, tmp_path / "a", workers=3, device="cpu")
    whole = draw_samples(model, captions, SLOW, tmp_path / "b", device="cpu")
    assert contents(tmp_path / "a") == contents(whole.path)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


# ---------------------------------------------------------------------- how they were made


def test_the_manifest_says_how_and_the_captions_stand_beside(
    model: Path, whole: SampleFolder, captions: list[str]
) -> None:
    manifest = read_manifest(whole.path)
    assert manifest == how_made(model, captions, OURS, "cpu")
    assert manifest["settings"]["guidance"] == 2.0 and manifest["versions"]["torch"] == torch.__version__
    assert manifest["model"] == {"kind": "mdsearch", "digest": identity(model)["digest"]}
    rows = [json.loads(line) for line in (whole.path / "captions.jsonl").read_text().splitlines()]
    assert rows[14] == {"file": "000014.png", "caption": captions[14]}
    dataset = load_data(DataSettings("folder", image_size_px=16, folder=str(whole.path)))
    assert sorted(dataset.train_captions + dataset.held_out_captions) == sorted(captions)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"guidance": 3.0}, r"settings\.guidance 2\.0 there and 3\.0 now"),
        ({"batch_size": 3}, r"settings\.batch_size 2 there and 3 now"),
        ({"seed": 6, "steps": 4}, r"settings\.steps 3 there and 4 now; settings\.seed 5 there and 6 now"),
    ],
)
def test_samples_made_otherwise_are_not_gone_on_with(
    change: dict[str, Any], said: str, model: Path, whole: SampleFolder, captions: list[str]
) -> None:
    before = contents(whole.path)
    with pytest.raises(InputError, match=f"made otherwise \\({said}\\); give another out="):
        draw_samples(model, captions, replace(OURS, **change), whole.path, device="cpu")
    assert contents(whole.path) == before


def test_other_captions_and_other_weights_are_other_samples(
    model: Path, whole: SampleFolder, captions: list[str], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"made otherwise \(captions '\w{16}' there"):
        draw_samples(model, captions[::-1], OURS, whole.path, device="cpu")
    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert identity(tmp_path) == identity(model)  # wherever it lies
    weights = bytearray((tmp_path / "unet.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "unet.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match=r"made otherwise \(model\.digest "):
        draw_samples(tmp_path, captions, OURS, whole.path, device="cpu")


def test_folders_of_others_are_left_alone(model: Path, captions: list[str], tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("words")
    with pytest.raises(InputError, match="holds files that are not samples; give another out="):
        draw_samples(model, captions, OURS, tmp_path, device="cpu")
    with pytest.raises(InputError, match=r"out: .* cannot be written: Not a directory"):
        draw_samples(model, captions, OURS, tmp_path / "thesis.txt" / "out", device="cpu")
    assert contents(tmp_path) == {"thesis.txt": b"words"}


def test_a_folder_without_a_picture_yet_is_taken_over(
    model: Path, whole: SampleFolder, captions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first command that was refused late, for what only the loaded model knew, is not in the way."""
    with pytest.raises(InputError, match="steps: 5000 is not possible"):
        draw_samples(model, captions, replace(OURS, steps=5000), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()

    def late(*arguments: object) -> None:
        raise InputError("late")

    monkeypatch.setattr(drawing, "open_painter", late)
    with pytest.raises(InputError, match="late"):
        draw_samples(model, captions, replace(OURS, steps=5), tmp_path / "out", device="cpu")
    monkeypatch.undo()
    draw_samples(model, captions, OURS, tmp_path / "out", device="cpu")
    assert contents(tmp_path / "out") == contents(whole.path)
    (tmp_path / "out" / "manifest.json").write_text("[")
    with pytest.raises(InputError, match="cannot be read as a manifest"):
        draw_samples(model, captions, OURS, tmp_path / "out", device="cpu")


def test_of_two_claims_at_once_the_later_one_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, write = SampleFolder(tmp_path, 1, 1), SampleFolder._write

    def interrupted(self: SampleFolder, name: str, content: Callable[[IO[bytes]], object]) -> None:
        write(self, name, content)
        monkeypatch.undo()
        folder.claim({"seed": 2}, ["of the other"])

    monkeypatch.setattr(SampleFolder, "_write", interrupted)
    with pytest.raises(InputError, match=r"made otherwise \(seed 2 there and 1 now\); give another out="):
        folder.claim({"seed": 1}, ["of the one"])
    assert read_manifest(tmp_path) == {"seed": 2}
    assert "of the other" in (tmp_path / "captions.jsonl").read_text()


def test_a_shard_whose_folder_was_claimed_by_another_leaves_no_picture_in_it(
    model: Path, whole: SampleFolder, captions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*arguments: Any) -> Any:
        """While this one loads its model another begins, of other settings, and ends."""
        monkeypatch.undo()
        draw_samples(model, captions, OURS, tmp_path / "out", shard=Shard(2, 2), device="cpu")
        return drawing.open_painter(*arguments)

    monkeypatch.setattr(drawing, "open_painter", slowly)
    with pytest.raises(InputError, match=r"made otherwise \(settings\.seed 5 there and 6 now\)"):
        draw_samples(
            model, captions, replace(OURS, seed=6), tmp_path / "out", shard=Shard(1, 2), device="cpu"
        )
    draw_samples(model, captions, OURS, tmp_path / "out", shard=Shard(1, 2), device="cpu")
    assert contents(tmp_path / "out") == contents(whole.path)


def test_a_damaged_sample_is_named(whole: SampleFolder, tmp_path: Path) -> None:
    for name, content in contents(whole.path).items():
        (tmp_path / name).write_bytes(content[: 40 if name == "000003.png" else None])
    with pytest.raises(InputError, match=r"000003\.png: cannot be read as a picture"):
        replace(whole, path=tmp_path).read()


# ---------------------------------------------------------------------- diffusers pipelines

PIPELINE = DrawSettings(count=3, image_size_px=16, steps=2, guidance=3.0, seed=1, batch_size=2)
PROMPTS = ["a red circle", "a blue square", ""]


def own_unet() -> torch.nn.Module:
    from space.interchange.pipeline_unet import PipelineUNet

    return PipelineUNet.wrapping(randomised(FOUND))


def diffusers_unet() -> torch.nn.Module:
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=8,
        out_channels=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=2,
        cross_attention_dim=24,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )


@pytest.fixture(scope="module", params=[own_unet, diffusers_unet])
def pipeline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text-to-image pipeline with random weights, around our network or diffusers' own."""
    folder = tmp_path_factory.mktemp("pipeline")
    stable_diffusion(request.param(), FOUND).save_pretrained(folder)
    return folder


def test_a_pipeline_draws_from_its_folder_as_by_hand(pipeline: Path, tmp_path: Path) -> None:
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    folder = draw_samples(pipeline, PROMPTS, PIPELINE, tmp_path / "ddim", device="cpu")
    assert read_manifest(folder.path)["model"]["kind"] == "StableDiffusionPipeline"
    by_hand = StableDiffusionPipeline.from_pretrained(pipeline)
    by_hand.scheduler = DDIMScheduler.from_config(by_hand.scheduler.config)
    drawn = []
    for start, prompts in ((0, PROMPTS[:2]), (2, PROMPTS[2:])):
        noise = [generator("initial noise", 1, start + index) for index in range(len(prompts))]
        images = by_hand(
            prompts, height=16, width=16, num_inference_steps=2, guidance_scale=3.0, generator=noise
        ).images
        drawn += [np.asarray(image) for image in images]
    assert np.array_equal(folder.read(), np.stack(drawn))
    assert len({picture.tobytes() for picture in drawn}) == 3

    for number in (2, 1):
        draw_samples(pipeline, PROMPTS, PIPELINE, tmp_path / "shards", shard=Shard(number, 2), device="cpu")
    assert contents(tmp_path / "shards") == contents(folder.path)


def test_a_pipeline_takes_any_scheduler_that_it_can_have(pipeline: Path, tmp_path: Path) -> None:
    pictures = {}
    for name in ("ddim", "HeunDiscreteScheduler", "eulerancestraldiscrete"):
        settings = replace(PIPELINE, sampler=name)
        pictures[name] = open_painter(pipeline, settings, CPU).draw(PROMPTS[:2], [0, 1])
    assert len({drawn.tobytes() for drawn in pictures.values()}) == 3
    ancestral = replace(PIPELINE, sampler="eulerancestraldiscrete")  # draws noise at every step
    again = open_painter(pipeline, ancestral, CPU).draw(PROMPTS[:2], [0, 1])
    assert np.array_equal(again, pictures["eulerancestraldiscrete"])
    with pytest.raises(InputError, match=r"scheduler: 'pnmd' is none of .*; did you mean 'pndm'"):
        open_painter(pipeline, replace(PIPELINE, sampler="pnmd"), CPU)


def test_what_a_pipeline_cannot_do_is_said_in_one_line(pipeline: Path, tmp_path: Path) -> None:
    painter = open_painter(pipeline, replace(PIPELINE, image_size_px=15), CPU)
    with pytest.raises(InputError, match=r"^StableDiffusionPipeline: .*divisible by 8.*$"):
        painter.draw(["a"], [0])
    with pytest.raises(InputError, match=r"image_size_px: missing \(required\)"):
        samples.main([f"model={pipeline}", f"captions={prompts_file(tmp_path)}", f"out={tmp_path / 'out'}"])
    for file in pipeline.rglob("*"):
        if file.is_file() and file.parent.name != "vae":
            copy = tmp_path / "broken" / file.relative_to(pipeline)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="does not load as a diffusers pipeline"):
        open_painter(tmp_path / "broken", PIPELINE, CPU)


def test_pictures_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    broken = stable_diffusion(own_unet(), FOUND)
    torch.nn.init.constant_(broken.vae.decoder.conv_out.bias, float("nan"))
    broken.save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="pictures 0 to 1 are not finite; precision: fp32"):
        draw_samples(tmp_path / "model", PROMPTS, PIPELINE, tmp_path / "out", device="cpu")
    assert list((tmp_path / "out").glob("0*.png")) == []


def test_the_safety_checker_is_neither_asked_nor_part_of_the_digest(pipeline: Path, tmp_path: Path) -> None:
    for file in pipeline.rglob("*"):
        if file.is_file():
            copy = tmp_path / file.relative_to(pipeline)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    index = json.loads((tmp_path / "model_index.json").read_text())
    index |= {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "requires_safety_checker": True,
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    assert identity(tmp_path) == identity(pipeline)
    drawn = [open_painter(folder, PIPELINE, CPU).draw(["a"], [0]) for folder in (tmp_path, pipeline)]
    assert np.array_equal(*drawn)


def test_a_pipeline_that_needs_a_picture_is_refused(tmp_path: Path) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline

    made = StableDiffusionImg2ImgPipeline(
        unet=diffusers_unet(), **parts(FOUND), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    made.save_pretrained(tmp_path)
    with pytest.raises(
        InputError, match="a StableDiffusionImg2ImgPipeline does not draw from captions alone"
    ):
        open_painter(tmp_path, PIPELINE, CPU)


# ---------------------------------------------------------------------- settings, captions, the door


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 0}, "count: 0 is not possible"),
        ({"guidance": 0.5}, "guidance: 0.5 is not possible; allowed: 1 or more"),
        ({"guidance": float("nan")}, "guidance: nan"),
        ({"seed": -1}, "seed: -1"),
        ({"image_size_px": 24}, "image_size_px: 24, but this model draws 16 px alone"),
        ({"sampler": "euler"}, "scheduler: 'euler' is not possible; allowed: ddim"),
        ({"steps": 1001}, "steps: 1001 is not possible; allowed: at most 1000"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change: dict[str, Any], said: str, model: Path) -> None:
    with pytest.raises(InputError, match=said):
        open_painter(model, replace(OURS, **change), CPU)


@pytest.mark.parametrize("text", ["2", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^shard: "):
        Shard.parsed(text)


def test_captions_come_from_lines_and_from_captions_files(tmp_path: Path) -> None:
    texts = ["a, b", "c\u2028d", "e"]  # a line ends at a line feed alone
    plain, rows, table = (tmp_path / f"captions{end}" for end in (".txt", ".jsonl", ".csv"))
    plain.write_text("".join(f"{text}\n" for text in texts))
    rows.write_text("".join(json.dumps({"caption": text}) + "\n" for text in texts))
    table.write_text("file,caption\n" + "".join(f'{text[0]}.png,"{text}"\n' for text in texts))
    assert read_captions(plain) == read_captions(rows) == read_captions(table) == texts
    plain.write_text("a\n\nb\n")
    with pytest.raises(InputError, match=r"captions\.txt, line 2: needs the text of a caption"):
        read_captions(plain)
    with pytest.raises(InputError, match=r"cannot be read as UTF-8 text: .*No such file"):
        read_captions(tmp_path / "none.txt")
    with pytest.raises(
        InputError, match=r"'captions\.xml' has no known form; allowed: \.csv, \.jsonl, \.tsv, \.txt"
    ):
        read_captions(tmp_path / "captions.xml")


def prompts_file(folder: Path) -> Path:
    (folder / "prompts.txt").write_text("a large red circle\na small blue cross\n")
    return folder / "prompts.txt"


def test_the_door_takes_what_it_is_not_told_from_our_model(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out, {0}"  # a path is text as it stands
    words = [f"model={model}", f"captions={prompts_file(tmp_path)}", f"out={out}", "device=cpu"]
    assert samples.main([*words, "batch_size=1", "count=1"]) == 0
    made = read_manifest(out)["settings"]
    assert (made["count"], made["image_size_px"], made["steps"], made["guidance"]) == (1, 16, 4, 1.0)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "0 of 1 pictures" and told[1].startswith("1 of 1 pictures, ")
    assert told[1].endswith(" a second") and told[2] == f"samples: {out}"
    with pytest.raises(InputError, match=r"count: 3, but .* holds 2 captions"):
        samples.main([*words, "count=3"])
    with pytest.raises(InputError, match=r"workers: 0 is not possible"):
        samples.main([*words, "batch_size=1", "count=1", "workers=0"])
    with pytest.raises(InputError, match=r"model: .* has no model\.json .* and no model_index\.json"):
        samples.main([f"model={tmp_path}", *words[1:], "image_size_px=16", "steps=1", "guidance=1"])


def test_pictures_are_whole_files_of_their_own(whole: SampleFolder) -> None:
    with Image.open(whole.picture(0)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (16, 16))
    assert not [name for name in contents(whole.path) if name.startswith(".")]
