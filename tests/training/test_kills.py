"""Processes killed while they train, at any step and at any moment of writing a state: what goes on from the
disk ends with the bits of what nobody killed."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from space.architecture import Architecture
from space.shared.workers import fork_server
from training import checkpoints, state
from training.checkpoints import Checkpoints
from training.data.dataset import Dataset
from training.distributed.launch import BY_A_FIRST_STEP
from training.files import STATES_FOLDER
from training.settings import TrainingSettings
from training.state import TrainingState
from training.trainer import Trainer

LAST = 7


@dataclass(frozen=True)
class Makes:
    """A trainer, the same one in any process."""

    architecture: Architecture
    data: Dataset
    settings: TrainingSettings

    def __call__(self) -> Trainer:
        return Trainer(self.architecture, self.data, self.settings, seed=3)


@pytest.fixture(scope="module")
def make(tiny: Architecture, scenes: Dataset, settings: TrainingSettings) -> Makes:
    return Makes(tiny, scenes, replace(settings, ema_lengths=(0.05, 0.1)))


@pytest.fixture(scope="module")
def undisturbed(make: Makes) -> TrainingState:
    trainer = make()
    trainer.train_to(LAST)
    return trainer.state()


def go_on(make: Makes, folder: Path, kill_at: int = LAST + 1) -> Trainer:
    """From the last state to the end, with a state written beside every second step."""
    trainer = make()
    with closing(Checkpoints(folder, keep_last=2)) as states:
        if (found := states.latest()) is not None:
            trainer.restore(found)

        def on_step(step: int, loss: float) -> None:
            if step % 2 == 0:
                states.save(trainer.state())
            if step == kill_at:
                kill()

        trainer.train_to(LAST, on_step)
    return trainer


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(make: Makes, folder: Path, *, kill_at: int = LAST + 1, moment: str = "") -> None:
    """`go_on` in a process of its own, until it is killed. Forked of a server, for torch cannot go on in a
    fork of a process whose gradients ran in threads."""
    process = fork_server(("training.trainer", *BY_A_FIRST_STEP)).Process(
        target=go_on_to_be_killed, args=(make, folder, kill_at, moment)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def go_on_to_be_killed(make: Makes, folder: Path, kill_at: int, moment: str) -> None:
    torch.set_num_threads(1)
    if moment:
        _kill_at(moment, folder)
    go_on(make, folder, kill_at)


def assert_same(ours: TrainingState, theirs: TrainingState) -> None:
    assert ours.plain == theirs.plain and ours.tensors.keys() == theirs.tensors.keys()
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in ours.tensors)


@pytest.mark.parametrize("steps", [[1], [2, 3], [5, 5, 7]])
def test_killed_at_any_step_it_ends_with_the_same_bits(
    make: Makes, undisturbed: TrainingState, tmp_path: Path, steps: list[int]
) -> None:
    """Weights, averages, moments, and which data come next."""
    for step in steps:
        killed(make, tmp_path, kill_at=step)
    assert_same(go_on(make, tmp_path).state(), undisturbed)


MOMENTS = ["before the tensors", "half the tensors", "before the JSON", "half the JSON", "before older go"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_it_writes_a_state_it_goes_on_from_the_one_before(
    make: Makes, undisturbed: TrainingState, tmp_path: Path, moment: str
) -> None:
    killed(make, tmp_path, moment=moment)
    found = Checkpoints(tmp_path).latest()
    assert (found.step if found else 0) == (4 if moment == "before older go" else 2)
    assert_same(go_on(make, tmp_path).state(), undisturbed)
    assert len(list((tmp_path / STATES_FOLDER).iterdir())) == 4  # two states, and nothing half written


def _kill_at(moment: str, folder: Path) -> None:
    """Of the second state that is written; in the process that is to be killed."""
    written, file_digest, write_whole = state.write_state, state.file_digest, state.write_whole

    def is_second() -> bool:
        return len(list((folder / STATES_FOLDER).glob("*.json"))) == 1

    def half(path: Path) -> None:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def write(one: TrainingState, where: Path) -> Path:
        if moment == "before the tensors" and is_second():
            kill()
        path = written(one, where)
        if moment == "before older go" and one.step == 4:
            kill()
        return path

    def digest(path: Path) -> bytes:
        if moment == "half the tensors" and is_second():
            half(path)
            kill()
        return file_digest(path)

    def whole(path: Path, text: str, *, durable: bool = False) -> Path:
        if is_second() and moment in ("before the JSON", "half the JSON"):
            if moment == "half the JSON":
                path.with_name(f".{path.name}.0").write_text(text[: len(text) // 2])
            kill()
        return write_whole(path, text, durable=durable)

    for module, name, replaced in (
        (checkpoints, "write_state", write),
        (state, "file_digest", digest),
        (state, "write_whole", whole),
    ):
        setattr(module, name, replaced)
