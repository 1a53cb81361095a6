"""What training at scale takes, before it begins: throughput, memory and disk, and where each is from."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from space.architecture import Architecture
from space.prices.macs import price
from space.shared.plain import InputError
from training.data.base import CommonSettings
from training.data.encoded import EncodedSettings
from training.data.encoded_files import SHARD_NAMES
from training.devices import choose_device
from training.memory import TrainingMemory, available_bytes, training_memory
from training.rehearsal import Rehearsed, rehearse
from training.settings import TrainingSettings

REHEARSED_MACS = 60e9  # of a step's images, forward: some seconds on one core
GIB = 2**30
DEVICES_GIB = (16, 24, 40, 80)  # whose micro-batches are said
LATENT_BYTES = 2  # bf16 or fp16
HOUR = 3600.0
PACE_UNKNOWN = (
    "unknown: nothing ran here, and throughput=... (images a second of one accelerator) is not stated"
)
T = TypeVar("T")


@dataclass
class WorkPlan:
    """Lines by what they are of, the figures in them, and why it would not begin."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def add(self, label: str, lines: str | Iterable[str]) -> None:
        self.lines += [(label, line) for line in ([lines] if isinstance(lines, str) else lines)]

    def text(self) -> str:
        refused = [("refused", line) for line in self.refused]
        return "\n".join(f"{label:<10} {line}" for label, line in [*refused, *self.lines])

    def to_json(self) -> str:
        said = [{"of": label, "said": line} for label, line in self.lines]
        return json.dumps({"refused": self.refused, **self.figures, "lines": said}, indent=1)


def without_error(refused: list[str], look: Callable[[], T]) -> T | None:
    """What `look` finds; None, with the reason in one line more, where that is refused."""
    try:
        return look()
    except InputError as error:
        refused.append(" ".join(str(error).split()))
        return None


@dataclass(frozen=True)
class Pacing:
    """How fast one accelerator trains a network, if that is known.

    Attributes:
        images_per_second: of the size that the network is for.
        source: where that is from, in words.
        memory, on_gpu: on this machine, and in the precision of a GPU.
        free: bytes on this machine.
    """

    macs: int
    images_per_second: float | None
    source: str
    memory: TrainingMemory
    on_gpu: TrainingMemory
    free: int
    rehearsed: Rehearsed | None

    def seconds(self, images: int, macs: int | None = None) -> float | None:
        """Of one accelerator, for so many images; of another size, by its MACs."""
        if self.images_per_second is None:
            return None
        return images / self.images_per_second * (1.0 if macs is None else macs / self.macs)

    def line(self) -> str:
        if self.images_per_second is None:
            return PACE_UNKNOWN
        return f"{self.images_per_second:.3g} images a second of one accelerator, {self.source}"

    def memory_lines(self) -> list[str]:
        gpu, least = self.on_gpu, self.memory.needed(1)
        held = ", ".join(f"{gib} GiB hold {gpu.micro_batch_in(gib * GIB)}" for gib in DEVICES_GIB)
        fixed, image = in_bytes(gpu.fixed), in_bytes(gpu.image)
        lines = [f"on a GPU {fixed} whatever the batch, {image} an image: as micro-batch {held}"]
        if self.rehearsed is None:
            lines.append(
                f"nothing ran here: a micro-batch of 1 needs {in_bytes(least)}; free: {in_bytes(self.free)}"
            )
        else:
            one = self.rehearsed
            lines.append(
                f"two steps of {one.images} image{'s' * (one.images > 1)} ran here on random latents "
                f"({one.device}, {one.seconds:.3g} s a step, loss {one.loss:.3g})"
            )
        return lines

    def figures(self) -> dict[str, Any]:
        one = self.rehearsed
        return {
            "throughput": {"images_per_second": self.images_per_second, "source": self.source},
            "memory_bytes": {"here": vars(self.memory), "on_gpu": vars(self.on_gpu), "free": self.free},
            "rehearsed": None if one is None else vars(one),
        }


def pacing(architecture: Architecture, settings: TrainingSettings, stated: float | None, seed: int) -> Pacing:
    """As stated, or by two steps on random latents, which are run where memory allows, whatever is stated.

    Args:
        stated: images a second of one accelerator.
    """
    device = choose_device(settings.device)
    here, gpu = (settings.is_bf16_on(each) for each in (device, torch.device("cuda")))
    memory, free = training_memory(architecture, here), available_bytes(device)
    held = memory, training_memory(architecture, gpu), free
    macs, most = price(architecture).macs, settings.micro_batch or settings.batch_size
    images = min(memory.micro_batch_in(free), most, max(1, int(REHEARSED_MACS / macs)))
    one = None
    if images:
        print(f"two steps of {images} on random latents ...", file=sys.stderr, flush=True)
        one = rehearse(architecture, settings, images, seed)
    if stated is not None:
        return Pacing(macs, stated, "stated", *held, one)
    if one is None:
        return Pacing(macs, None, "unknown", *held, None)
    source = f"measured here on one {one.device} ({one.threads} threads), which stands for an accelerator"
    return Pacing(macs, one.images_per_second, source, *held, one)


def latent_bytes(architecture: Architecture) -> int:
    """Of an image with one caption, as `mdsearch encode` stores them."""
    latents = architecture.latent_channels * architecture.latent_size**2
    return LATENT_BYTES * (latents + architecture.context_length * architecture.context_width)


def latents_on_disk(
    data: CommonSettings, architecture: Architecture, expected: int | None, plan: WorkPlan
) -> dict[str, int]:
    """What latents take that are there, or would; nothing of other data."""
    if not isinstance(data, EncodedSettings):
        return {}
    there = sum(file.stat().st_size for file in data.place.glob(SHARD_NAMES))
    if there:
        plan.add("disk", f"{in_bytes(there)} of latents and text features in {data.place}")
        return {"latents": there}
    one, side = latent_bytes(architecture), architecture.latent_size
    features = LATENT_BYTES * architecture.context_length * architecture.context_width
    line = f"latents of {side}x{side}: {in_bytes(one)} an image, {in_bytes(features)} of it text features"
    if expected is None:
        plan.add("disk", line)
        return {"an_image": one}
    plan.add("disk", f"{line}; {in_bytes(one * expected)} for {expected:,} images")
    return {"an_image": one, "latents": one * expected}


def in_bytes(count: float) -> str:
    """Like "7.4 TB", "812 MB"."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"
