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
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from mdsearch.commands import generate_samples as samples
from space.shared.plain import InputError
from tests.training.generation.examples import OURS, contents
from training.data.factory import load_data
from training.data.folder import FolderSettings
from training.generation import samples as generation_samples
from training.generation.identity import model_identity
from training.generation.sample_folder import SampleFolder, read_manifest
from training.generation.samples import Shard, generate_samples, manifest_of
from training.model import load_model

PATIENCE_SECONDS = 1500  # on a machine under any load; quick where nothing is wrong


# ---------------------------------------------------------------------- the same images however


def test_samples_are_what_the_model_generates(model: Path, whole: SampleFolder, captions: list[str]) -> None:
    generated = load_model(model, "cpu").generate(captions, seed=5, batch_size=2, steps=3, guidance=2.0)
    assert np.array_equal(whole.read(), generated)
    assert len({image.tobytes() for image in generated}) == 15


def test_shards_make_the_same_folder_in_any_order(
    model: Path, whole: SampleFolder, captions: list[str], tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    for number in (3, 1, 2):
        shard, on_generated = Shard(number, 3), lambda done, of: told.append((done, of))
        generate_samples(
            model, captions, OURS, tmp_path, shard=shard, device="cpu", on_generated=on_generated
        )
    # Batches 2, 5 (2 + 2 images), then 0, 3, 6, then 1, 4, 7, of which the last holds one image.
    assert told == [(0, 4), (2, 4), (4, 4), *((d, 6) for d in (0, 2, 4, 6)), *((d, 5) for d in (0, 2, 4, 5))]
    assert contents(tmp_path) == contents(whole.path)


def test_a_image_does_not_depend_on_how_many_follow(
    model: Path, whole: SampleFolder, captions: list[str], tmp_path: Path
) -> None:
    fewer = generate_samples(model, captions[:6], replace(OURS, count=6), tmp_path, device="cpu")
    assert np.array_equal(fewer.read(), whole.read()[:6])


def test_a_partly_finished_batch_is_made_again_whole_and_others_stay(
    model: Path, whole: SampleFolder, captions: list[str], tmp_path: Path
) -> None:
    folder = generate_samples(model, captions, OURS, tmp_path, device="cpu")
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    folder.image(5).unlink()
    (tmp_path / ".000005.png.abc.partial").write_bytes(folder.image(4).read_bytes()[:99])
    generate_samples(model, captions, OURS, tmp_path, device="cpu")
    assert contents(tmp_path) == contents(whole.path)
    again = {path.name for path, at in written.items() if path.stat().st_mtime_ns != at}
    assert again == {"000004.png", "000005.png"}


SLOW = replace(OURS, steps=100)  # long enough to be killed in the middle


@pytest.mark.timeout(3 * PATIENCE_SECONDS)
def test_workers_whose_command_is_killed_leave_none_behind_and_one_generates_the_rest(
    model: Path, captions: list[str], tmp_path: Path
) -> None:
    (tmp_path / "captions.txt").write_text("".join(f"{caption}\n" for caption in captions))
    out = tmp_path / "out"
    words = [
        f"model={model}", f"captions={tmp_path / 'captions.txt'}", f"out={out}", "steps=100", "guidance=2",
        "seed=5", "batch_size=2", "device=cpu",
    ]  # fmt: skip
    command = [sys.executable, "-m", "mdsearch", "generate", "samples", *words, "workers=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    wait_for(lambda: any(out.glob("0*.png")), process)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=PATIENCE_SECONDS)
    assert len(children) >= 2 and alive == []
    assert 0 < len(list(out.glob("0*.png"))) < 15
    assert samples.main([*words, "workers=1"]) == 0
    whole = generate_samples(model, captions, SLOW, tmp_path / "whole", device="cpu")
    assert contents(out) == contents(whole.path)


@pytest.mark.slow
def test_a_killed_worker_is_told_and_the_rest_made_by_others(
    model: Path, captions: list[str], tmp_path: Path
) -> None:
    killed = []

    def kill_one(done: int, of: int) -> None:
        if done and not killed:
            killed.append(active_children()[-1])
            killed[0].kill()

    with pytest.raises(InputError, match=r"workers: one was ended by SIGKILL .* the same command goes on"):
        generate_samples(
            model, captions, SLOW, tmp_path / "a", workers=3, device="cpu", on_generated=kill_one
        )
    assert 0 < len(list((tmp_path / "a").glob("0*.png"))) < 15
    assert active_children() == []
    generate_samples(model, captions, SLOW, tmp_path / "a", workers=3, device="cpu")
    whole = generate_samples(model, captions, SLOW, tmp_path / "b", device="cpu")
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
    assert manifest == manifest_of(model, captions, OURS, "cpu")
    assert manifest["settings"]["guidance"] == 2.0 and manifest["versions"]["torch"] == torch.__version__
    assert manifest["model"] == {"kind": "mdsearch", "digest": model_identity(model)["digest"]}
    rows = [json.loads(line) for line in (whole.path / "captions.jsonl").read_text().splitlines()]
    assert rows[14] == {"file": "000014.png", "caption": captions[14]}
    dataset = load_data(FolderSettings(image_size_px=16, folder=str(whole.path)))
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
        generate_samples(model, captions, replace(OURS, **change), whole.path, device="cpu")
    assert contents(whole.path) == before


def test_other_captions_and_other_weights_are_other_samples(
    model: Path, whole: SampleFolder, captions: list[str], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"made otherwise \(captions '\w{16}' there"):
        generate_samples(model, captions[::-1], OURS, whole.path, device="cpu")
    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert model_identity(tmp_path) == model_identity(model)  # wherever it lies
    weights = bytearray((tmp_path / "unet.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "unet.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match=r"made otherwise \(model\.digest "):
        generate_samples(tmp_path, captions, OURS, whole.path, device="cpu")


def test_folders_of_others_are_left_alone(model: Path, captions: list[str], tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("words")
    with pytest.raises(InputError, match=r"files that are not samples; .* out="):
        generate_samples(model, captions, OURS, tmp_path, device="cpu")
    with pytest.raises(InputError, match=r"out: .* cannot be written: Not a directory"):
        generate_samples(model, captions, OURS, tmp_path / "thesis.txt" / "out", device="cpu")
    assert contents(tmp_path) == {"thesis.txt": b"words"}


def test_a_folder_without_a_image_yet_is_taken_over(
    model: Path, whole: SampleFolder, captions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first command that was refused late, for what only the loaded model knew, is not in the way."""
    with pytest.raises(InputError, match="steps: 5000 is not possible"):
        generate_samples(model, captions, replace(OURS, steps=5000), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()

    def late(*arguments: object) -> None:
        raise InputError("late")

    monkeypatch.setattr(generation_samples, "open_generator", late)
    with pytest.raises(InputError, match="late"):
        generate_samples(model, captions, replace(OURS, steps=5), tmp_path / "out", device="cpu")
    monkeypatch.undo()
    generate_samples(model, captions, OURS, tmp_path / "out", device="cpu")
    assert contents(tmp_path / "out") == contents(whole.path)
    (tmp_path / "out" / "manifest.json").write_text("[")
    with pytest.raises(InputError, match="cannot be read as a manifest"):
        generate_samples(model, captions, OURS, tmp_path / "out", device="cpu")


def test_of_two_claims_at_once_the_later_one_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = SampleFolder(tmp_path, 1, 1)

    def overtaken(self: SampleFolder, manifest: dict[str, Any]) -> None:
        """The manifest of the one is there when the other claims the folder, from beginning to end."""
        assert read_manifest(tmp_path) == {"seed": 1}
        monkeypatch.undo()
        folder.claim({"seed": 2}, ["of the other"])
        self.check(manifest)

    monkeypatch.setattr(SampleFolder, "check", overtaken)
    with pytest.raises(InputError, match=r"\(seed 2 there and 1 now\); .* out="):
        folder.claim({"seed": 1}, ["of the one"])
    assert read_manifest(tmp_path) == {"seed": 2}
    assert "of the other" in (tmp_path / "captions.jsonl").read_text()


def test_a_shard_whose_folder_was_claimed_by_another_leaves_no_image_in_it(
    model: Path, whole: SampleFolder, captions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*arguments: Any) -> Any:
        """While this one loads its model another begins, of other settings, and ends."""
        monkeypatch.undo()
        generate_samples(model, captions, OURS, tmp_path / "out", shard=Shard(2, 2), device="cpu")
        return generation_samples.open_generator(*arguments)

    monkeypatch.setattr(generation_samples, "open_generator", slowly)
    with pytest.raises(InputError, match=r"\(settings\.seed 5 there and 6 now\)"):
        generate_samples(
            model, captions, replace(OURS, seed=6), tmp_path / "out", shard=Shard(1, 2), device="cpu"
        )
    generate_samples(model, captions, OURS, tmp_path / "out", shard=Shard(1, 2), device="cpu")
    assert contents(tmp_path / "out") == contents(whole.path)


def test_a_damaged_sample_is_named(whole: SampleFolder, tmp_path: Path) -> None:
    for name, content in contents(whole.path).items():
        (tmp_path / name).write_bytes(content[: 40 if name == "000003.png" else None])
    with pytest.raises(InputError, match=r"000003\.png: cannot be read as an image"):
        replace(whole, path=tmp_path).read()


@pytest.mark.parametrize("text", ["2", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^shard: "):
        Shard.parsed(text)


def test_images_are_whole_files_of_their_own(whole: SampleFolder) -> None:
    with Image.open(whole.image(0)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (16, 16))
    assert not [name for name in contents(whole.path) if name.startswith(".")]
