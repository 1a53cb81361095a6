"""A long training in its folder: what fails is gone back from once, and the last good state stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from space.architecture import Architecture
from space.shared.retries import StorageAway
from tests.search.disks import fill, small_disk
from tests.training.examples import weights
from training.checkpoints import Checkpoints
from training.data.dataset import Dataset
from training.failures import Diverged
from training.logs.event_files import EventReader
from training.objectives.diffusion import DiffusionBatch, DiffusionObjective
from training.run import RunSettings, TrainingRun
from training.settings import TrainingSettings
from training.trainer import Trainer

MakesTrainer = Callable[..., Trainer]


class Broken(DiffusionObjective):
    """The images of these steps of the data are this many times as bright."""

    factors: ClassVar[dict[int, float]] = {}

    def batch(self, step: int, rows: range | None = None) -> DiffusionBatch:
        batch = super().batch(step, rows)
        return batch._replace(images=batch.images * self.factors.get(step, 1.0))


@pytest.fixture
def make(tiny: Architecture, scenes: Dataset, settings: TrainingSettings) -> MakesTrainer:
    def made(factors: dict[int, float] | None = None, **changes: object) -> Trainer:
        objective = type("Broken", (Broken,), {"factors": factors or {}})
        trainer = Trainer(tiny, scenes, replace(settings, **changes), seed=2, objective=objective)  # type: ignore[arg-type]
        trainer.say = said.append
        return trainer

    said: list[str] = []
    made.said = said  # type: ignore[attr-defined]
    return made


def run_to(trainer: Trainer, folder: Path, last: int, **kept: int) -> None:
    settings = RunSettings(**{"state_every_steps": 4, "images": 2} | kept)
    with closing(TrainingRun(trainer, folder, settings)) as run:
        run.go_on()
        run.train_to(last, lambda step, loss: None)


def curve(folder: Path) -> list[int]:
    lines = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if "loss" in line]


def logged(folder: Path) -> list[int]:
    """The steps at which TensorBoard has points."""
    return [event.step for event in EventReader(folder).new() if "loss" in event.values]


def last_state(folder: Path) -> int:
    state = Checkpoints(folder).latest()
    return 0 if state is None else state.step


def test_after_a_loss_that_is_no_number_it_goes_on_from_the_last_state_past_the_batches_since(
    make: MakesTrainer, tmp_path: Path
) -> None:
    trainer, expected = make({5: float("nan")}), make()
    run_to(trainer, tmp_path, 10)
    expected.train_to(4)
    expected.data_offset = 2  # batches 4 and 5 are left out
    expected.train_to(10)
    assert all(map(torch.equal, weights(trainer), weights(expected)))
    assert (trainer.rollbacks, trainer.data_offset) == (1, 2)
    assert curve(tmp_path) == list(range(1, 11)) and last_state(tmp_path) == 10
    assert logged(tmp_path) == [4, 8, 10]  # a point a part, none of the steps that did not stay
    (line,) = make.said  # type: ignore[attr-defined]
    assert "loss is NaN at step 6: back to step 4, and on without the 2 batches since" in line
    resumed = make({5: float("nan")})
    with closing(TrainingRun(resumed, tmp_path, RunSettings())) as run:
        run.go_on()
    assert (resumed.step, resumed.rollbacks, resumed.data_offset) == (10, 1, 2)


@pytest.mark.parametrize(
    ("factors", "kept", "reason", "last"),
    [
        ({5: float("nan"), 8: float("inf")}, {}, r"after going back 1 time\(s\); last good state: step 4", 4),
        ({2: float("nan")}, {}, "loss is NaN at step 3; last good state: none was written", 0),
        ({5: float("nan")}, {"rollbacks": 0}, "loss is NaN at step 6; last good state: step 4", 4),
    ],
)
def test_it_ends_with_the_reason_where_going_back_has_not_helped_or_is_not_to_be(
    make: MakesTrainer,
    tmp_path: Path,
    factors: dict[int, float],
    kept: dict[str, int],
    reason: str,
    last: int,
) -> None:
    with pytest.raises(Diverged, match=reason):
        run_to(make(factors), tmp_path, 10, **kept)
    assert last_state(tmp_path) == last
    assert max(logged(tmp_path)) > last  # with the steps that led to it


def test_weights_whose_validation_is_no_number_are_no_state_to_go_back_to(
    make: MakesTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finite, but so large that the next loss is none: the state of before is the last good one."""
    trainer = make()
    validated = trainer.objective.validation_loss
    monkeypatch.setattr(
        trainer.objective,
        "validation_loss",
        lambda model: float("inf") if trainer.step == 8 and not trainer.rollbacks else validated(model),
    )
    run_to(trainer, tmp_path, 10)
    assert (trainer.rollbacks, trainer.data_offset, last_state(tmp_path)) == (1, 5, 10)
    assert "validation loss is no number at step 8: back to step 4" in make.said[0]  # type: ignore[attr-defined]


def test_a_spike_is_a_failure_where_that_is_asked_for(
    make: MakesTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of images forty times as bright, as a broken file may be."""
    monkeypatch.setattr("training.failures.FEWEST_LATELY", 4)
    trainer = make({5: 40.0}, spike_factor=20.0)
    with pytest.raises(Diverged, match=r"loss is .* at step 6, .* times the median of the last 5"):
        trainer.train_to(7)
    expected = make()
    expected.train_to(5)
    assert all(map(torch.equal, weights(trainer), weights(expected)))  # as they were before that step
    make({5: 40.0}).train_to(6)  # unless it is not asked for


def test_gradients_that_are_no_numbers_never_reach_the_weights(make: MakesTrainer) -> None:
    trainer = make()
    trainer.train_to(2)
    before, parameter = weights(trainer), next(iter(trainer.objective.model.unet.parameters()))
    handle = parameter.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(Diverged, match=r"gradient is .* at step 3"):
        trainer.train_to(4)
    handle.remove()
    assert all(map(torch.equal, before, weights(trainer)))


# ------------------------------------------------------------------------ memory


class Large(DiffusionObjective):
    """More images at once than `most` take more memory than there is."""

    most = 4

    def loss(self, part: str, batch: DiffusionBatch) -> torch.Tensor:
        if len(batch.images) > self.most:
            torch.empty(2**55)
        return super().loss(part, batch)


def test_out_of_memory_halves_the_micro_batch_once_and_keeps_the_batch(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, make: MakesTrainer
) -> None:
    trainer, said = Trainer(tiny, scenes, settings, seed=2, objective=Large), list[str]()
    trainer.say = said.append
    losses: list[float] = []
    trainer.train_to(3, lambda step, loss: losses.append(loss))
    (line,) = said
    assert "out of memory at step 1" in line and "of 4 images instead of 8, in batches of 8" in line
    halved, whole = make(micro_batch=4), make()
    expected: list[float] = []
    halved.train_to(3)
    whole.train_to(3, lambda step, loss: expected.append(loss))
    assert all(map(torch.equal, weights(trainer), weights(halved)))
    assert losses == pytest.approx(expected, rel=1e-4)
    state = trainer.state()
    resumed = Trainer(tiny, scenes, settings, seed=2, objective=Large)
    resumed.restore(state)
    assert (resumed.micro_batches.most, resumed.micro_batches.is_halved) == (4, True)
    smaller = type("Smaller", (Large,), {"most": 2})
    trainer = Trainer(tiny, scenes, settings, seed=2, objective=smaller)
    with pytest.raises(RuntimeError, match="allocate"):
        trainer.train_to(1)
    assert trainer.step == 0 and trainer.micro_batches.most == 4


@pytest.mark.parametrize("micro_batch", [1, 3, 8])
def test_gradients_in_parts_are_those_of_the_batch(make: MakesTrainer, micro_batch: int) -> None:
    """Whatever the parts, also where the last is smaller: the same images, noise and captions dropped."""
    whole, divided = make(caption_dropout=0.3), make(caption_dropout=0.3, micro_batch=micro_batch)
    losses: list[list[float]] = [[], []]
    for trainer, own in zip((whole, divided), losses, strict=True):
        trainer.train_to(2, lambda step, loss, own=own: own.append(loss))  # type: ignore[misc]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for one, other in zip(
        whole.objective.model.parameters(), divided.objective.model.parameters(), strict=True
    ):
        assert one.grad is not None and other.grad is not None
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)


# ------------------------------------------------------------------------ storage


@pytest.fixture
def full_disk(tmp_path: Path, make: MakesTrainer) -> Iterator[tuple[Path, Path]]:
    """A folder that holds the state of step 4, on a disk that is full now, and what takes the room."""
    with small_disk(tmp_path / "disk", "4m") as disk:
        run_to(make(), disk / "out", 4)
        yield disk / "out", fill(disk)


def test_with_a_full_disk_it_waits_and_goes_on_when_there_is_room(
    full_disk: tuple[Path, Path], make: MakesTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, ballast = full_disk
    monkeypatch.setattr("time.sleep", lambda seconds: ballast.unlink(missing_ok=True))
    trainer, expected = make(), make()
    run_to(trainer, folder, 8)
    expected.train_to(8)
    assert all(map(torch.equal, weights(trainer), weights(expected)))
    assert last_state(folder) == 8 and curve(folder) == list(range(1, 9))
    assert any("waits" in line and "No space left" in line for line in make.said)  # type: ignore[attr-defined]


def test_a_disk_that_stays_full_ends_it_with_the_reason_and_the_last_state(
    full_disk: tuple[Path, Path], make: MakesTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = full_disk
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(StorageAway, match=r"No space left on device.*mdsearch train resume="):
        run_to(make(), folder, 8)
    assert last_state(folder) == 4 and curve(folder) == [1, 2, 3, 4]
