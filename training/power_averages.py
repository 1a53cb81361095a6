"""Averages of weights whose length is chosen when training is over.

By formulas of Karras et al. (2024, "Analyzing and Improving the Training Dynamics of Diffusion Models"). An
average at step t weighs the weights of step s by (g + 1) s^g / t^(g + 1): the longer training goes on, the
longer it is. Its length is the standard deviation of that weighing, as a share of t. Two of them, stored now
and then, span nearly every other one: a least-squares problem of a few numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from space.shared.files import replacing
from space.shared.plain import InputError

FOLDER = "averages"
LONGEST = 0.28  # of a power above 0


def power_of(length: float) -> float:
    """g of an average of this length, the largest root of (g + 2)^2 (g + 3) = (g + 1) / length^2."""
    inverse = length**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


class PowerAverages:
    """Averages of several lengths beside a training.

    Attributes:
        tensors: by length, then by the parameter's name.
    """

    def __init__(self, module: nn.Module, lengths: Sequence[float]) -> None:
        self._powers = [power_of(length) for length in lengths]
        self._trained: list[Tensor] = list(module.parameters())
        self.tensors = {
            f"{length:g}": {name: each.detach().clone() for name, each in module.named_parameters()}
            for length in lengths
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """With the weights after step number `step`, from 1."""
        for power, average in zip(self._powers, self.tensors.values(), strict=True):
            kept = (1 - 1 / step) ** (power + 1)
            torch._foreach_lerp_(list(average.values()), self._trained, 1 - kept)

    def load(self, stored: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Raises InputError for a length, and KeyError for a name, that is not there."""
        for length, average in self.tensors.items():
            if not stored[length]:
                raise InputError(
                    f"training.ema_lengths: there is no average of {length} since the first step; allowed: "
                    "the lengths that training began with, or none"
                )
            for name, tensor in average.items():
                tensor.copy_(stored[length][name])


class StoredAverage(NamedTuple):
    """An average on the disk: of which step and length."""

    step: int
    length: str
    path: Path


def store(averages: PowerAverages, step: int, folder: Path) -> None:
    """A file for each length. Raises OSError."""
    from safetensors.torch import save_file

    (folder / FOLDER).mkdir(exist_ok=True)
    for length, tensors in averages.tensors.items():
        with replacing(folder / FOLDER / f"{step:08d}-{length}.safetensors") as own:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, own)


def stored_in(folder: Path) -> list[StoredAverage]:
    """In the order of their steps."""
    found = []
    for path in sorted((folder / FOLDER).glob("*-*.safetensors")):
        step, _, length = path.stem.partition("-")
        found.append(StoredAverage(int(step), length, path))
    return sorted(found)


def remove_behind(folder: Path, step: int) -> None:
    """Those of later steps, which training takes again."""
    for stored in stored_in(folder):
        if stored.step > step:
            stored.path.unlink()


def post_hoc_shares(stored: Sequence[tuple[int, float]], wanted: tuple[int, float]) -> np.ndarray:
    """How much of each (step, length) makes up, as near as can be, the one that is wanted."""
    together = np.array([[_overlap(one, other) for other in stored] for one in stored])
    with_wanted = np.array([_overlap(one, wanted) for one in stored])
    return np.linalg.lstsq(together, with_wanted, rcond=None)[0]


def _overlap(one: tuple[int, float], other: tuple[int, float]) -> float:
    """The integral of the product of two weighings over all steps up to the earlier of the two."""
    (early, a), (late, b) = sorted((step, power_of(length)) for step, length in (one, other))
    share = early / late
    return (a + 1) * (b + 1) / (a + b + 1) * share**b / late


def average_of(folder: Path, length: float, step: int | None = None) -> tuple[int, dict[str, Tensor]]:
    """The step, the last one stored unless said, and the average of any length then, by parameter.

    Raises:
        InputError: what is stored does not span it.
    """
    found = [stored for stored in stored_in(folder) if step is None or stored.step <= step]
    at = max((stored.step for stored in found), default=0) if step is None else step
    if len({stored.length for stored in found}) < 2 or at not in {stored.step for stored in found}:
        steps = sorted({stored.step for stored in stored_in(folder)})
        said = f"of steps {steps[0]} to {steps[-1]}" if steps else "none"
        raise InputError(
            f"model: {folder} holds averages {said}; needed: of two lengths (training.ema_lengths) at "
            f"{'some step' if step is None else f'step {step}'}"
        )
    if not 0 < length < LONGEST:
        raise InputError(f"length: {length:g} is not possible; allowed: above 0, below {LONGEST}")
    parts = post_hoc_shares([(stored.step, float(stored.length)) for stored in found], (at, length))
    return at, dict(_combined(found, parts))


def _combined(found: Sequence[StoredAverage], parts: np.ndarray) -> Iterator[tuple[str, Tensor]]:
    """Tensor by tensor, so that memory holds no more than one of each file."""
    from safetensors import safe_open

    files = [safe_open(stored.path, "pt") for stored in found]
    for name in files[0].keys():  # noqa: SIM118 - no mapping
        each = zip(files, parts.tolist(), strict=True)
        whole = sum(file.get_tensor(name).double() * part for file, part in each)
        assert isinstance(whole, Tensor)
        yield name, whole.float()
