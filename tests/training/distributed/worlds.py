"""What the workers of these tests do: trainings in worlds of several sizes, one world after the other."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, distributed

from space.architecture import Architecture
from space.proxy import Proxy
from space.shared.plain import InputError
from tests.training.objectives.test_base import TwoParts
from tests.training.test_supernet import rounds_of
from training.checkpoints import Checkpoints
from training.data.dataset import Dataset
from training.distributed import fsdp
from training.distributed.ranks import Parallel, RankGroup, join, leave
from training.failures import Diverged
from training.objectives.diffusion import DiffusionBatch, DiffusionObjective
from training.run import RunSettings, TrainingRun
from training.settings import TrainingSettings
from training.state import write_state
from training.supernet import SharedTrainer
from training.trainer import Trainer

CPU = torch.device("cpu")
HALF, LAST = 2, 4
END = 6  # of a training that is disturbed


class Watched(DiffusionObjective):
    """Keeps which rows of which step it is asked for, and has a loss that is no number at a place."""

    asked: ClassVar[list[tuple[int, int, int]]] = []
    broken: ClassVar[tuple[int, int]] = (-1, -1)  # step, row

    def batch(self, step: int, rows: range | None = None) -> DiffusionBatch:
        rows = range(self.settings.batch_size) if rows is None else rows
        type(self).asked.append((step, rows.start, rows.stop))
        batch = super().batch(step, rows)
        at, row = self.broken
        return batch._replace(noise=batch.noise * torch.nan) if step == at and row in rows else batch


@dataclass(frozen=True)
class Makes:
    """A trainer, the same one in any process."""

    architecture: Architecture
    data: Dataset
    settings: TrainingSettings

    def __call__(self, ranks: RankGroup | None = None, **changes: object) -> Trainer:
        settings = replace(self.settings, **changes)  # type: ignore[arg-type]
        return Trainer(self.architecture, self.data, settings, seed=3, objective=Watched, ranks=ranks)


def trained(trainer: Trainer, last: int, losses: list[float] | None = None) -> Trainer:
    kept = [] if losses is None else losses
    trainer.train_to(last, lambda step, loss: kept.append(loss))
    return trainer


def keep(trainer: Trainer, folder: Path) -> None:
    state = trainer.state()
    trainer.ranks.first(lambda: write_state(state.copied(), folder) and None)


def go_on(trainer: Trainer, folder: Path) -> Trainer:
    with closing(Checkpoints(folder)) as states:
        state = states.latest()
        assert state is not None
        trainer.restore(state)
    return trainer


# ---------------------------------------------------------------------- worlds

World = Callable[[RankGroup, Makes, Path], None]


def uninterrupted(ranks: RankGroup, make: Makes, folder: Path) -> None:
    """States of half of the way and of all; losses; and the rows that each worker asked for."""
    Watched.asked.clear()
    losses: list[float] = []
    trainer = trained(make(ranks), HALF, losses)
    keep(trainer, folder / "half" / "states")
    keep(trained(trainer, LAST, losses), folder / "states")
    (folder / f"{ranks.rank}.json").write_text(json.dumps({"losses": losses, "asked": Watched.asked}))


def resumed(ranks: RankGroup, make: Makes, folder: Path) -> None:
    """From the half of the same world."""
    keep(trained(go_on(make(ranks), folder / "half"), LAST), folder / "resumed" / "states")


def from_two(ranks: RankGroup, make: Makes, folder: Path) -> None:
    """From the half of the world of two."""
    keep(trained(go_on(make(ranks), folder.parent / "two" / "half"), LAST), folder / "from two" / "states")


def gone_back(ranks: RankGroup, make: Makes, folder: Path) -> None:
    """To the half, by the trainer that has trained on already."""
    keep(trained(go_on(trained(make(ranks), 3), folder / "half"), LAST), folder / "gone back" / "states")


def breaking(ranks: RankGroup, make: Makes, folder: Path) -> None:
    """One worker alone meets what is no number."""
    trainer = make(ranks)
    Watched.broken = (2, 0)
    try:
        trained(trainer, LAST)
    except Diverged as error:
        said = f"{error}; {trainer.step}"
        (folder / f"broken-{ranks.rank}.json").write_text(json.dumps(said))
    Watched.broken = (-1, -1)
    keep(trainer, folder / "broken" / "states")


def rivals(ranks: RankGroup, make: Makes, folder: Path) -> None:
    """Two parts, of which one's loss leaves gradients in the other."""
    told = json.dumps(two_parts(make, ranks))
    (folder / f"rivals-{ranks.rank}.json").write_text(told)


def two_parts(make: Makes, ranks: RankGroup | None = None) -> object:
    settings = replace(make.settings, warmup_steps=0, gradient_clip=1e6)
    trainer = Trainer(make.architecture, make.data, settings, seed=0, objective=TwoParts, ranks=ranks)
    try:
        trainer.train_to(2)
    except InputError as error:
        return str(error)
    objective = trainer.objective
    assert isinstance(objective, TwoParts)
    return [objective.critic.opinion.item(), *objective.biases.tolist()]


def rounds(ranks: RankGroup, make: Makes, folder: Path) -> None:
    """Of shared training: each step leaves weights out."""
    state = shared(make, ranks).state()
    ranks.first(lambda: write_state(state.copied(), folder / "rounds" / "states") and None)


def shared(make: Makes, ranks: RankGroup | None = None) -> SharedTrainer:
    of_all = rounds_of(make.architecture)
    trainer = SharedTrainer(of_all, Proxy(), make.data, make.settings, seed=0, ranks=ranks)
    trainer.train_to(LAST)
    return trainer


def strangers(ranks: RankGroup, make: Makes, folder: Path) -> None:
    """Each with a seed of its own."""
    trainer = Trainer(make.architecture, make.data, make.settings, seed=ranks.rank, ranks=ranks)
    try:
        trainer.train_to(1)
    except InputError as error:
        (folder / f"strangers-{ranks.rank}.json").write_text(json.dumps(str(error)))


@dataclass(frozen=True)
class Plan:
    """Which of four workers make a world, and what they do in it, in turn."""

    name: str
    workers: Sequence[int]
    parallel: Parallel
    does: Sequence[World]


PLANS = (
    Plan("two", (0, 1), "ddp", (uninterrupted, resumed, rivals, rounds, strangers)),
    Plan("two shares", (2, 3), "fsdp", (uninterrupted, resumed, gone_back, rivals)),
    Plan("four", (0, 1, 2, 3), "ddp", (uninterrupted, resumed, from_two, breaking)),
)


def all_worlds(make: Makes, folder: Path, micro_batch: int | None) -> None:
    torch.set_num_threads(1)
    fsdp.SHARDED_AT_ONCE = 1
    own = int(os.environ["RANK"])
    for plan in PLANS:
        if own not in plan.workers:
            continue
        store = distributed.TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False
        )
        within = distributed.PrefixStore(plan.name, store)
        rank, size = plan.workers.index(own), len(plan.workers)
        ranks = join(CPU, plan.parallel, store=within, rank=rank, size=size)
        (folder / plan.name).mkdir(exist_ok=True)
        for does in plan.does:
            does(ranks, make, folder / plan.name)
        ranks.wait()
        leave()


# ---------------------------------------------------------------------- what goes wrong


def in_a_run(
    make: Makes, folder: Path, trouble: Callable[[RankGroup, int, int], None], micro_batch: int | None
) -> None:
    """A training in its folder, disturbed behind its steps: `trouble(ranks, step, micro_batch)`."""
    torch.set_num_threads(1)
    ranks = join(CPU)
    trainer = make(ranks)
    trainer.micro_batches.shrink(micro_batch or trainer.micro_batches.most)
    real = trainer.objective.loss

    def loss(part: str, batch: DiffusionBatch) -> Tensor:
        trouble(ranks, trainer.step, trainer.micro_batches.most)
        return real(part, batch)

    trainer.objective.loss = loss  # type: ignore[method-assign]
    kept = RunSettings(state_every_steps=2, images=2)
    with closing(TrainingRun(trainer, folder, kept)) as run:
        run.go_on()
        run.train_to(END, lambda step, loss: None)
    if ranks.is_first:
        (folder / "world.json").write_text(json.dumps([ranks.size, trainer.micro_batches.most]))
    leave()


def killed_at(step: int, ranks: RankGroup, at: int, most: int) -> None:
    """While there are three."""
    if ranks.size == 3 and ranks.rank == 1 and at == step:
        os.kill(os.getpid(), signal.SIGKILL)


def short_of_memory(step: int, ranks: RankGroup, at: int, most: int) -> None:
    """On one worker, until micro-batches are small."""
    if ranks.rank == 1 and at == step and most > 2:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def wrong(step: int, ranks: RankGroup, at: int, most: int) -> None:
    if ranks.rank == 1 and at == step:
        raise ValueError("3.png:\nno such thing")
