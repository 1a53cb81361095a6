"""One training by this process, by workers that it starts, or as one of those that are there already."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch

from mdsearch.long_training import LongTraining
from space.shared.plain import InputError
from training.devices import choose_device
from training.distributed.base import check_shares
from training.distributed.launch import be_one_of_many, run_workers
from training.distributed.ranks import RankGroup, given_workers, join, leave
from training.settings import TrainingSettings

Command = TypeVar("Command", bound=LongTraining)
Train = Callable[[Command, list[str], RankGroup, int | None], Any]
"""`train(command, words, ranks, micro_batch)`, a function of a module: the workers that share it, which all
call it at once, and a micro-batch in place of the settings', since memory ran out before."""


def train_by_workers(
    train: Train[Command], command: Command, words: list[str], settings: TrainingSettings, rivals: str = ""
) -> None:
    """
    Args:
        settings: of the command's training loop.
        rivals: what trains two networks, if anything does.

    Raises:
        InputError: so many cannot train here together.
        WorkersLost: so many that no more begin again.
        Exception: as `train`.
    """
    given = given_workers()
    if command.parallel == "fsdp" and (given or command.workers) > 1:
        check_shares(settings, rivals)
    work = partial(_as_worker, train, command, words, settings.device)
    if given is None and command.workers == 1:
        train(command, words, RankGroup(), None)
    elif given is None:
        _check_devices(command.workers, settings.device)
        run_workers(
            work,
            command.workers,
            least=command.min_workers,
            restarts=command.restarts,
            say=partial(print, flush=True),  # between the lines of workers
            preload=[train.__module__],
        )
    elif command.workers in (1, given) or command.resume is not None:
        if command.workers not in (1, given):  # the words of before say how many there were
            print(f"note: workers: {given}, as the environment has it, in place of {command.workers}")
        be_one_of_many(partial(work, None))
    else:
        raise InputError(
            f"workers: {command.workers}, where the environment has WORLD_SIZE={given}; allowed: {given}, or "
            "to leave it out"
        )


def _as_worker(
    train: Train[Command], command: Command, words: list[str], device: str, micro_batch: int | None
) -> None:
    ranks = join(choose_device(device), command.parallel)
    train(command, words, ranks, micro_batch)
    leave()


def _check_devices(workers: int, device: str) -> None:
    if choose_device(device).type == "cuda" and workers > torch.cuda.device_count():
        raise InputError(
            f"workers: {workers}, where there are {torch.cuda.device_count()} GPUs; allowed: at most "
            "one for each, or device=cpu of what it trains by"
        )
