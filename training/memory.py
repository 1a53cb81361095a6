"""What training a network needs to hold, counted before anything is trained, and what is free here.

In closed form: weights, gradients, the average and AdamW's moments, all fp32. Counted, on tensors without
content: whatever autograd keeps of a forward pass for the backward pass, each storage once. That is nearly in
proportion to the images of a micro-batch; under autocast the weights are kept in bf16, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from space.architecture import Architecture
from space.prices.counters import example_inputs
from space.prices.macs import price
from space.prices.memory import peak_activation_bytes
from space.shared.cpus import CGROUPS
from space.unet import UNet
from training.state import STATE_BYTES_PER_PARAMETER

GRADIENT_BYTES_PER_PARAMETER = 4
USABLE = 0.9  # of what is free


@dataclass(frozen=True)
class TrainingMemory:
    """In bytes: what there is whatever the micro-batch, and what each of its images adds."""

    fixed: int
    image: int

    def needed(self, micro_batch: int) -> int:
        return self.fixed + micro_batch * self.image

    def micro_batch_in(self, available: int) -> int:
        """The most images that fit; 0 where not one does."""
        return max(0, int(USABLE * available - self.fixed) // self.image)


@lru_cache(maxsize=32)
def training_memory(architecture: Architecture, bf16: bool = False) -> TrainingMemory:
    parameters = price(architecture).parameters
    one, two = (_kept_for_backward(architecture, images, bf16) for images in (1, 2))
    image = two - one
    work = 2 * peak_activation_bytes(architecture, "bf16" if bf16 else "fp32")  # a map and its gradient
    state = parameters * (STATE_BYTES_PER_PARAMETER + GRADIENT_BYTES_PER_PARAMETER)
    return TrainingMemory(state + one - image, image + work)


def _kept_for_backward(architecture: Architecture, images: int, bf16: bool) -> int:
    """Bytes of the tensors that a forward pass leaves, but for the weights themselves."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    kept: dict[int, tuple[int, object]] = {}
    with FakeTensorMode():
        network = UNet(architecture)
        weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in weights:
                kept[storage._cdata] = storage.nbytes(), storage
            return tensor

        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16),
        ):
            network(*example_inputs(architecture, images)).float().square().mean()
    return sum(size for size, _ in kept.values())


def available_bytes(device: torch.device) -> int:
    """Of the GPU, or of this machine as far as its container goes."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min(_of_machine(), *_of_container())


def _of_machine() -> int:

    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:  # no Linux
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_container() -> Iterator[int]:
    """What its limit leaves; without one, no bound."""
    yield 1 << 62
    try:
        most, used = (CGROUPS / name for name in ("memory.max", "memory.current"))
        yield int(most.read_text(encoding="ascii")) - int(used.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such limit, or "max"
        return
