"""One training after another of the same weights: images become larger, as in section 5.1 of the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from space.architecture import Architecture
from space.shared.plain import InputError
from space.unet import UNet
from training.checkpoints import Checkpoints
from training.run import RunSettings, TrainingRun
from training.state import TrainingState
from training.trainer import Trainer

STAGE = "stage"  # of a state's identity, in trainings of several


@dataclass(frozen=True)
class StageSettings:
    """So many steps with images of this size; no batch size: that of the training."""

    image_size_px: int
    steps: int
    batch_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("image_size_px", "steps", "batch_size"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"{name}: {value} is not possible; allowed: 1 or more")


def check_same_weights(architectures: Sequence[Architecture]) -> None:
    """Raises InputError where one stage cannot go on with the weights of the one before."""
    with torch.device("meta"):
        shapes = [
            {name: tensor.shape for name, tensor in UNet(each).state_dict().items()} for each in architectures
        ]
    for number, own in enumerate(shapes):
        if own != shapes[0]:
            name = next(name for name in own if own[name] != shapes[0].get(name))
            raise InputError(
                f"stages[{number}].image_size_px: {name} depends on the size of the images; allowed: one size"
            )


def take_over(trainer: Trainer, before: Trainer) -> None:
    """Go on with the weights, averages and moments of another size's training, and with the data behind those
    that it has seen. Larger images may run out of memory once more."""
    state = before.state().copied()
    fresh = {"identity": trainer.identity, "rollbacks": 0, "losses": []}
    trainer.restore(TrainingState(state.plain | fresh, state.tensors), "the stage before")
    trainer.micro_batches.is_halved = False


def run_stages(
    trainer: Trainer,
    place: int,
    make: Callable[[int], Trainer],
    ends: Sequence[int],
    folder: Path,
    settings: RunSettings,
    during: Callable[[TrainingRun[Trainer], int], None],
    stopped: Callable[[], bool],
) -> Trainer:
    """Train stage after stage in a folder, beginning with a trainer of the stage number `place`.

    Args:
        make: makes the trainer of a stage, by its number.
        ends: the step at which each stage ends.
        during: `during(run, end)` trains one, to `end`.
        stopped: whether to end behind the step that is at work.

    Returns:
        The trainer of the stage that was trained last.
    """
    before: Trainer | None = None
    while True:
        with closing(TrainingRun(trainer, folder, settings, stopped=stopped)) as run:
            if before is None:
                run.go_on()
            else:
                take_over(trainer, before)
                run.keep_beginning()
            during(run, ends[place])
        if stopped() or place == len(ends) - 1:
            return trainer
        before, place = trainer, place + 1
        trainer = make(place)


def last_stage(folder: Path) -> int:
    """The number of the stage that the last state is of; whatever is wrong with that is said where it is gone
    on with."""
    try:
        state = Checkpoints(folder).latest()
    except InputError:
        return 0
    return 0 if state is None else int(state.plain["identity"].get(STAGE, 0))
