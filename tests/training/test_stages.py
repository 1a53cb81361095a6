"""Stages of larger images, and weights of a trained model to begin with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mdsearch.commands import train
from mdsearch.train_command import command_of
from space.architecture import Architecture
from space.shared.plain import InputError
from tests.training.examples import weights, wider
from training.checkpoints import Checkpoints
from training.data.dataset import Dataset
from training.data.factory import load_data
from training.data.scenes import ScenesSettings
from training.initial import begin_with
from training.objectives.diffusion import DiffusionBatch, DiffusionObjective
from training.settings import TrainingSettings
from training.stages import STAGE, check_same_weights, take_over
from training.trainer import Trainer


@pytest.fixture
def words(tiny: Architecture, tmp_path: Path) -> list[str]:
    """Four steps of the tiny network with images of 16 px, then two of 24 px."""
    (tmp_path / "tiny.yaml").write_text(tiny.to_yaml())
    return [
        f"arch_file={tmp_path / 'tiny.yaml'}", f"out={tmp_path / 'out'}", "proxy=full", "data.scenes=96",
        "training.batch_size=6", "training.warmup_steps=2", "training.sampling_steps=2",
        "training.latents.coordinates=false", "training.validation_images=8", "training.device=cpu",
        "state_every_steps=2", "images=2",
        "stages=[{image_size_px: 16, steps: 4}, {image_size_px: 24, steps: 2, batch_size: 4}]",
    ]  # fmt: skip


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


def test_stages_are_one_training(words: list[str], tmp_path: Path, tiny: Architecture) -> None:
    """One command; by hand: the second goes on with all that the first has learnt, at the same learning rate,
    and with the seventh batch of its own, since 24 images are 6 batches of 4."""
    assert train.main(words) == 0
    out = tmp_path / "out"
    assert [line["step"] for line in curve(out) if "loss" in line] == [1, 2, 3, 4, 5, 6]
    state = Checkpoints(out).latest()
    assert state is not None and (state.step, state.plain["data_offset"]) == (6, 2)
    settings = command_of(words)[0].training
    first, second = (
        Trainer(
            replace(tiny, latent_size=size // 2),
            load_data(ScenesSettings(scenes=96, image_size_px=size)),
            replace(settings, steps=6, batch_size=batch_size),
            seed=0,
            identity={STAGE: place},
        )
        for place, (size, batch_size) in enumerate([(16, 6), (24, 4)])
    )
    first.train_to(4)
    take_over(second, first)
    assert all(map(torch.equal, weights(first), weights(second)))
    assert isinstance(second.objective, DiffusionObjective)
    second.train_to(6)
    tensors = second.state().tensors
    assert all(torch.equal(state.tensors[name], tensors[name]) for name in tensors)
    assert json.loads((out / "model.json").read_text())["settings"]["image_size_px"] == 24
    card = (out / "README.md").read_text()
    assert "| 4 steps of 6 images of 16 px, then 2 steps of 4 images of 24 px, learning rate" in card


@pytest.mark.parametrize("stop", [3, 4, 5])
def test_a_staged_training_goes_on_from_any_stage(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    elsewhere = [word for word in words if not word.startswith("out=")]
    assert train.main([*elsewhere, f"out={tmp_path / 'whole'}"]) == 0
    train_to = Trainer.train_to

    def broken(trainer: Trainer, step: int, on_step: object) -> None:
        def check(done: int, loss: float) -> None:
            if done == stop:
                raise ZeroDivisionError
            on_step(done, loss)  # type: ignore[operator]

        train_to(trainer, step, check)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_to", broken)
        with pytest.raises(ZeroDivisionError):
            train.main(words)
    assert train.main([f"resume={tmp_path / 'out'}"]) == 0
    ours, theirs = (Checkpoints(tmp_path / name).latest() for name in ("out", "whole"))
    assert ours is not None and theirs is not None and ours.plain == theirs.plain
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in theirs.tensors)


def test_what_fails_as_images_grow_goes_back_to_there(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch of the second stage is broken, whose last state is of the first stage."""
    batch = DiffusionObjective.batch

    def broken(self: DiffusionObjective, step: int, rows: range | None = None) -> DiffusionBatch:
        made = batch(self, step, rows)
        is_first = step == 6 and self.model.settings.image_size_px == 24
        return made._replace(images=made.images * float("nan")) if is_first else made

    monkeypatch.setattr(DiffusionObjective, "batch", broken)
    assert train.main(words) == 0
    state = Checkpoints(tmp_path / "out").latest()
    assert state is not None
    assert [state.plain[name] for name in ("step", "rollbacks", "data_offset")] == [6, 1, 3]
    fewer = "stages=[{image_size_px: 16, steps: 9}]"
    with pytest.raises(InputError, match=r"stages: 1, but .* is in number 2; allowed: as many or more"):
        train.main([f"resume={tmp_path / 'out'}", fewer])


def test_stages_that_cannot_be_are_refused_before_anything_starts(
    words: list[str], tmp_path: Path, tiny: Architecture
) -> None:
    for stages, message in (
        ("[{image_size_px: 16, steps: 0}]", r"stages\[0\]\.steps: 0 is not possible"),
        ("[{image_size_px: 17, steps: 4}]", "stages: image_size_px: 17 is no multiple of 2"),
        ("[{image_size_px: 16}]", r"stages\[0\]\.steps: missing"),
    ):
        with pytest.raises(InputError, match=message):
            train.main([*words[:-1], f"stages={stages}"])
    assert not (tmp_path / "out").exists()
    check_same_weights([tiny, replace(tiny, latent_size=12)])
    with pytest.raises(InputError, match=r"stages\[1\]\.image_size_px: .*; allowed: one size"):
        check_same_weights([tiny, wider(tiny)])


# ------------------------------------------------------------------------ section 3.2


@pytest.fixture(scope="module")
def softmax(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("softmax")
    trainer = Trainer(tiny, scenes, settings, seed=0)
    trainer.train_to(12)
    trainer.save_weights(folder)
    return folder


def test_relu_attention_begins_with_the_weights_of_a_softmax_model(
    softmax: Path, tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    same, other = (
        Trainer(replace(tiny, attention=attention), scenes, settings, seed=5)
        for attention in ("softmax", "relu")
    )
    before = begin_with(other, softmax)
    assert all(
        torch.equal(theirs, ours)
        for made in (other.objective.model, other.averaged)
        for theirs, ours in zip(before.parameters(), made.parameters(), strict=True)
    )
    begin_with(same, softmax)
    as_it_was = other.objective.validation_loss(before)
    assert same.validation_loss() == as_it_was and other.validation_loss() != as_it_was


def test_a_model_of_something_else_is_no_beginning(
    softmax: Path, tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path: Path
) -> None:
    v = replace(settings, diffusion=replace(settings.diffusion, prediction="v"))
    for architecture, changed, message in (
        (wider(tiny), settings, "of another architecture: level 2: channels 16 -> 24"),
        (tiny, v, r"other training\.diffusion"),
    ):
        with pytest.raises(InputError, match=f"init_from: .*{message}"):
            begin_with(Trainer(architecture, scenes, changed, seed=0), softmax)
    with pytest.raises(InputError, match="holds no trained model"):
        begin_with(Trainer(tiny, scenes, settings, seed=0), tmp_path)


def test_fine_tuning_takes_the_settings_of_the_model_and_says_what_changed(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = [*words[:-1], "data.image_size_px=16", "training.steps=2"]
    assert train.main(start) == 0
    out = tmp_path / "out"
    tuned = [
        f"init_from={out}", "attention=relu", f"out={tmp_path / 'relu'}", "training.steps=4",
        "training.micro_batch=3", "state_every_steps=4", "images=2",
    ]  # fmt: skip
    assert train.main(tuned) == 0
    first, *rest = curve(tmp_path / "relu")
    assert first["step"] == 0 and first["validation_loss"] != first["before"]["validation_loss"]  # type: ignore[index]
    assert [line["step"] for line in rest if "loss" in line] == [1, 2, 3, 4]
    assert "right after softmax -> relu attention: validation_loss" in capsys.readouterr().out
    command, _ = command_of(tuned)
    assert command.architecture() == replace(command_of(start)[0].architecture(), attention="relu")
    assert (command.training.batch_size, command.training.micro_batch) == (6, 3)
    assert command.data == command_of(start)[0].data
    assert "| begun with out: 4 steps of 6 images, learning" in (tmp_path / "relu" / "README.md").read_text()
    with pytest.raises(InputError, match="run: has no effect beside init_from="):
        command_of([f"init_from={out}", "run=x"])
