"""`mdsearch train` and `mdsearch generate`: in this process, on a tiny network."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conf.compose import compose
from mdsearch.commands import generate, train
from mdsearch.train_command import whole_settings
from space.architecture import Architecture
from space.shared.files import alone_in
from space.shared.plain import InputError, from_plain, to_plain
from tests.training.logs import fake
from training.data.digits import DigitsSettings
from training.data.factory import DataSettings
from training.data.folder import FolderSettings
from training.data.scenes import ScenesSettings
from training.files import STATES_FOLDER, states_in
from training.generation.grid import save_grid
from training.latents import LatentSettings
from training.logs import trackers
from training.settings import TrainingSettings
from training.state import read_state
from training.trainer import Trainer


@pytest.fixture
def words(tiny: Architecture, tmp_path: Path) -> list[str]:
    """A training of six steps of the tiny network as it stands."""
    (tmp_path / "tiny.yaml").write_text(tiny.to_yaml())
    return [
        f"arch_file={tmp_path / 'tiny.yaml'}",
        f"out={tmp_path / 'out'}",
        "proxy=full",
        "data.image_size_px=16",
        "data.scenes=96",
        "training.steps=6",
        "training.batch_size=4",
        "training.warmup_steps=2",
        "training.sampling_steps=2",
        "training.latents.coordinates=false",
        "training.validation_images=8",
        "training.device=cpu",
        "state_every_steps=4",
        "images=6",
    ]


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


def states(folder: Path) -> list[int]:
    return [read_state(path).step for path in states_in(folder / STATES_FOLDER)]


def test_training_writes_weights_that_generate_uses(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(words) == 0
    out = tmp_path / "out"
    assert [line["step"] for line in curve(out) if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in curve(out) if "validation_loss" in line] == [4, 6]
    assert Image.open(out / "samples.png").size == (3 * 16 * 3, 2 * 16 * 3)
    assert len({file.stat().st_mode for file in out.rglob("*") if file.is_file()}) == 1  # as the umask says
    card = (out / "README.md").read_text()
    assert "| 72 images of scenes, 16 px, digest" in card and f"mdsearch generate model={out}" in card
    assert "Images:" not in card  # these are by nobody
    handed = (out / "pipeline" / "README.md").read_text()
    (loss,) = (line["validation_loss"] for line in curve(out) if line["step"] == 6 and "loss" not in line)
    assert f"| validation_loss | {loss:.4g} | - |" in handed and "6 steps of 4 images" in handed
    assert "from_pretrained" in handed and "from_pretrained" not in card
    assert f"to hand over: {out / 'pipeline'}" in capsys.readouterr().out

    image = tmp_path / "generated" / "image.png"
    prompt = "prompt=a large red circle, {in} the 'top left' on navy"
    assert generate.main([f"model={out}", prompt, f"out={image}", "count=3", "enlarge=2", "seed=1"]) == 0
    assert Image.open(image).size == (2 * 16 * 2, 2 * 16 * 2)
    assert str(image) in capsys.readouterr().out
    from training.model import load_model

    generated = load_model(out, "cpu").generate([prompt.removeprefix("prompt=")], seed=1)
    sheet = np.asarray(Image.open(image))
    assert (sheet[:32:2, :32:2] == generated[0]).all()


def test_an_interrupted_training_goes_on_to_the_same_weights(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = [word for word in words if not word.startswith("out=")]
    assert train.main([*elsewhere, f"out={tmp_path / 'whole'}"]) == 0
    monkeypatch.setattr(Trainer, "train_to", _pressing_ctrl_c_at(5, Trainer.train_to))
    with pytest.raises(KeyboardInterrupt):
        train.main(words)
    monkeypatch.undo()
    out = tmp_path / "out"
    assert states(out) == [4, 5] and not (out / "pipeline").exists()
    assert train.main([f"resume={out}"]) == 0
    for name in ("unet.safetensors", "text.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    losses = [line for line in curve(out) if "loss" in line]
    assert losses == [line for line in curve(tmp_path / "whole") if "loss" in line]


def _pressing_ctrl_c_at(
    last: int, train_to: Callable[..., None], number: int = signal.SIGINT
) -> Callable[..., None]:
    def pressed(trainer: Trainer, step: int, on_step: Callable[[int, float], None]) -> None:
        def press(step: int, loss: float) -> None:
            if step == last:
                os.kill(os.getpid(), number)
            on_step(step, loss)

        train_to(trainer, step, press)

    return pressed


def test_two_trainings_do_not_write_to_one_folder(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with alone_in(tmp_path / "out"), pytest.raises(InputError, match="out: another training writes to"):
        train.main(words)
    assert list((tmp_path / "out").iterdir()) == []


def test_resuming_takes_further_words(words: list[str], tmp_path: Path) -> None:
    assert train.main(words) == 0
    assert train.main([f"resume={tmp_path / 'out'}", "training.steps=8"]) == 0
    assert [line["step"] for line in curve(tmp_path / "out") if "loss" in line][-3:] == [6, 7, 8]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_folder_of_another_training_is_refused_and_left_as_it_was(words: list[str], tmp_path: Path) -> None:
    """Its card would say of its weights what was chosen for none of their steps."""
    assert train.main(words) == 0
    out = tmp_path / "out"
    before = contents(out)
    for change, message in (
        (
            "training.learning_rate=0.01",
            r"training\.learning_rate: 0\.01, but .* with 0\.001; needed",
        ),
        (f"init_from={out}", r"init_from: .*, but .* holds a training with None"),
        ("seed=1", r"is of another seed \(0\)"),
        ("training.diffusion.prediction=v", "prediction: v, but"),
    ):
        with pytest.raises(InputError, match=message):
            train.main([*words, change])
        assert contents(out) == before
    with pytest.raises(InputError, match=r"training\.steps: 3 steps, but .* at step 6; allowed: 6 or more"):
        train.main([f"resume={out}", "training.steps=3"])
    with pytest.raises(InputError, match=r"is of another diffusion \(x0"):
        train.main([f"resume={out}", "training.diffusion.prediction=v"])
    assert contents(out) == before
    longer = [word for word in words if not word.startswith("training.steps")]
    assert train.main([*longer, "training.steps=7", "training.micro_batch=2"]) == 0  # it learns the same
    assert states(out)[-1] == 7 and "7 steps of 4 images" in (out / "README.md").read_text()


def test_memory_that_runs_out_twice_ends_with_the_reason(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def too_large(*arguments: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Trainer, "train_to", too_large)
    assert train.main(words) == 1
    said = capsys.readouterr().out
    assert "out of memory: DefaultCPUAllocator: can't allocate memory; a smaller training.micro_batch" in said
    assert f"mdsearch train resume={tmp_path / 'out'} training.micro_batch=" in said
    monkeypatch.setattr(Trainer, "train_to", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train.main(words)


def test_a_word_given_anew_counts_also_where_an_older_one_was_the_same(tmp_path: Path) -> None:
    (tmp_path / "overrides.yaml").write_text("[seed=3, training.steps=5, training.steps=9]")
    command, words = train.command_of([f"resume={tmp_path}", "training.steps=5"])
    assert (command.training.steps, command.seed, words) == (5, 3, ["seed=3", "training.steps=5"])


def test_what_cannot_be_used_is_said(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"resume: .* is no folder of a training"):
        train.main([f"resume={tmp_path}"])
    with pytest.raises(InputError, match=r"nothing\.yaml: cannot be read as an architecture"):
        train.main(["arch_file=nothing.yaml"])
    with pytest.raises(InputError, match=r"latent_channels: .* 8, .* codec .* 14"):
        train.main(["proxy=full", "data.scenes=96"])
    with pytest.raises(InputError, match="holds no trained model"):
        generate.main([f"model={tmp_path}", "prompt=x"])
    for out in ("apple", "red.apple"):  # before anything is generated
        with pytest.raises(InputError, match=rf"out: '{out}' .*; allowed: \.png.*did you mean '{out}\.png'"):
            generate.main([f"model={tmp_path}", "prompt=x", f"out={out}"])
    with pytest.raises(InputError, match=r"out: .* cannot be written: unknown file extension"):
        save_grid(np.zeros((1, 2, 2, 3), np.uint8), tmp_path / "picture.nothing")


def test_presets_hold_the_values_of_the_paper_and_of_the_code() -> None:
    folders = ["training.latents.folder=vae", "training.text.folder=clip"]
    paper = from_plain(TrainingSettings, compose("train", ["training=paper", *folders])["training"])
    assert (paper.learning_rate, paper.betas, paper.weight_decay) == (1e-3, (0.9, 0.999), 0.01)
    assert (paper.batch_size, paper.steps, paper.latents.codec, paper.text.encoder) == (
        4096,
        750_000,
        "vae",
        "clip",
    )
    short = compose("train", [])
    with_coordinates = TrainingSettings(latents=LatentSettings(coordinates=True))
    assert from_plain(TrainingSettings, short["training"]) == with_coordinates
    assert from_plain(DataSettings, short["data"]) == ScenesSettings()
    digits = from_plain(DataSettings, compose("train", ["data=digits"])["data"])
    assert digits == DigitsSettings()
    folder = compose("train", ["data=folder", "data.folder=images"])["data"]
    assert from_plain(DataSettings, folder) == FolderSettings(folder="images")
    with pytest.raises(InputError, match="missing"):
        compose("train", ["data=folder"])


def test_it_goes_on_when_the_presets_that_it_was_made_of_are_gone(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text("defaults: [short, _self_]\ngradient_clip: 0.5\n")
    words = [f"training={preset}", *words]
    command, _ = train.command_of(words)
    monkeypatch.setattr(Trainer, "train_to", _pressing_ctrl_c_at(1, Trainer.train_to, signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):  # as a cluster asks that takes the machine
        train.main(words)
    preset.unlink()
    assert states(tmp_path / "out") == [1]
    resumed, _ = train.command_of([f"resume={command.folder()}"])
    assert (resumed.training, resumed.presets) == (command.training, command.presets)
    assert resumed.training.gradient_clip == 0.5
    with pytest.raises(InputError, match=r"training: no file"):
        train.command_of([f"training={preset}"])


def test_a_tracker_has_what_a_training_told_and_how_it_ended(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = fake.Server()
    monkeypatch.setattr(fake, "SERVER", server)
    monkeypatch.setitem(trackers.TRACKERS, "mlflow", f"{fake.__name__}:Fake")
    monkeypatch.setattr(trackers, "find_spec", lambda name: object())
    words = [*words, "logger=mlflow"]
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_to", _pressing_ctrl_c_at(5, Trainer.train_to))
        with pytest.raises(KeyboardInterrupt):
            train.main(words)
    (run,) = server.runs
    assert (run.ended, run.files) == ("stopped", [])
    assert train.main([f"resume={tmp_path / 'out'}"]) == 0
    assert server.runs == [run] and run.ended == "finished"
    assert run.files == ["README.md", "samples.png", "architecture.yaml"]
    assert [step for step, _ in run.values("loss")] == [4, 5, 6]
    assert [step for step, _ in run.values("validation_loss")] == [4, 6]
    assert (run.what.name, run.what.params["training"]["steps"]) == ("out", 6)


def test_words_may_set_what_a_model_stored_only_where_it_differed() -> None:
    stored = {"data": to_plain(ScenesSettings()), "training": to_plain(TrainingSettings())}
    assert "style" not in stored["data"] and "compile" not in stored["training"]
    composed = compose(
        "train", ["data.style=outline", "training.compile=blocks"], stored=whole_settings(stored)
    )
    assert (composed["data"]["style"], composed["training"]["compile"]) == ("outline", "blocks")
