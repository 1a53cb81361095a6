"""What the steps of a training give: kept at next to no cost, made into points afterwards."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from training.devices import Scalar
from training.loop import TrainingLoop
from training.objectives.by_timestep import ByTimestep
from training.state import AVERAGED, OF_PARTS, TrainingState

POINT_EVERY = 10  # steps
STATUS = Path("/proc/self/status")


@dataclass
class _Window:
    """The steps that one point is of."""

    losses: list[float] = field(default_factory=list)
    norms: list[Scalar] = field(default_factory=list)


@dataclass(frozen=True)
class _Closed:
    """A window with what is read of the device later, when nothing waits for it."""

    window: _Window
    by_timestep: ByTimestep | None
    learning_rate: float
    images_per_second: float


class Meter:
    """Of a training: `step` follows each step, `points` are those since the last time.

    A point is the mean over the steps since the one before it. Nothing makes a device wait within a part.
    Of several workers, losses by timestep are of the images of the one that is watched.

    Args:
        loop: the training at work, which may be another one later.
    """

    def __init__(self, loop: Callable[[], TrainingLoop[Any]]) -> None:
        self._loop, self._closed, self._window = loop, dict[int, _Closed](), _Window()
        self._began = time.perf_counter()

    def start(self) -> None:
        """Steps follow; the time since the last one was not theirs."""
        self._began = time.perf_counter()

    def step(self, step: int, loss: float) -> None:
        self._window.losses.append(loss)
        if (norm := self._loop().gradient_norm) is not None:
            self._window.norms.append(norm)
        if step % POINT_EVERY == 0:
            self._close(step)

    def points(self) -> dict[int, dict[str, float]]:
        """Those of all steps that were taken since the last time. On a GPU this waits for the last step."""
        if self._window.losses:
            self._close(self._loop().step)
        closed, self._closed = self._closed, {}
        points = {step: _values(each) for step, each in closed.items()}
        if points:
            points[max(points)]["memory_mib"] = peak_memory_mib(self._loop().device)
        return points

    def drop(self) -> None:
        """The steps since the last time did not stay."""
        self._closed, self._window = {}, _Window()
        self._loop().objective.by_timestep()

    def _close(self, step: int) -> None:
        loop, now, window = self._loop(), time.perf_counter(), self._window
        images, seconds = len(window.losses) * loop.settings.batch_size, now - self._began
        optimizer = next(iter(loop.objective.parts.values())).optimizer
        self._closed[step] = _Closed(
            window,
            loop.objective.by_timestep(),
            float(optimizer.param_groups[0]["lr"]),
            images / max(seconds, 1e-9),
        )
        self._window, self._began = _Window(), now


def _values(closed: _Closed) -> dict[str, float]:
    losses, norms = closed.window.losses, [norm.read() for norm in closed.window.norms]
    values = {"loss": sum(losses) / len(losses)}
    if closed.by_timestep is not None:
        values |= {f"loss_by_timestep/{name}": loss for name, loss in closed.by_timestep.read().items()}
    values["learning_rate"] = closed.learning_rate
    if norms:
        values["gradient_norm"] = sum(norms) / len(norms)
    return values | {"images_per_second": closed.images_per_second}


def peak_memory_mib(device: torch.device) -> float:
    """The most that this process has held so far: of the device, or of the machine's memory on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if STATUS.is_file():  # where there is one: a forked process's `ru_maxrss` begins with its parent's
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


@torch.no_grad()
def average_gap(state: TrainingState) -> float:
    """How far the averaged weights of a state are from the trained ones, by the length of these."""
    averaged = state.section(AVERAGED)
    for part in state.plain["optimizers"]:
        trained = state.section(OF_PARTS, part, "weights")
        if trained.keys() == averaged.keys():
            break
    else:
        return math.nan
    pairs = [(averaged[name], tensor) for name, tensor in trained.items() if tensor.is_floating_point()]
    parts = [torch.stack([torch.dist(*pair).double(), pair[1].norm().double()]) for pair in pairs]
    gap, length = torch.stack(parts).square().sum(0).sqrt().tolist()
    return float(gap / length) if length else math.nan
