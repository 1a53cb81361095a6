"""What a training step does otherwise on a GPU: the device is never made to wait for the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grad_norm_, clip_grads_with_norm_, get_total_norm

from space.shared.plain import InputError

T = TypeVar("T")


def choose_device(name: str) -> torch.device:
    """auto: CUDA where there is one. Raises InputError for cuda where there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: 'cuda' is not available here; allowed: auto, cpu")
    return torch.device(name)


class Scalar:
    """The value of a scalar tensor, to be read later.

    On a GPU it is copied as soon as it is computed. `read` waits for that alone, not for what was launched
    since: read behind the launch of the backward pass, it leaves the device at work.
    """

    def __init__(self, value: Tensor) -> None:
        value = value.detach()
        self._event: torch.cuda.Event | None = None
        if value.device.type == "cuda":
            self._host = torch.empty((), dtype=value.dtype, pin_memory=True)
            self._host.copy_(value, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()
        else:
            self._host = value.clone()

    def read(self) -> float:
        if self._event is not None:
            self._event.synchronize()
        return float(self._host)


def moved(batch: T, device: torch.device) -> T:
    """Tensors in nested tuples, on a device. To a GPU they go by way of pinned memory, beside the step that
    is running and without waiting; whoever made the stream waits for it."""
    if isinstance(batch, Tensor):
        if device.type != "cuda" or batch.device.type != "cpu":
            return batch.to(device)  # type: ignore[return-value]
        return batch.pin_memory().to(device, non_blocking=True)  # type: ignore[return-value]
    if isinstance(batch, tuple):
        parts = [moved(part, device) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


def has_fused_optimizer(device: torch.device) -> bool:
    """Whether AdamW is one kernel there."""
    return device.type in ("cpu", "cuda")


def clip_gradients(parameters: list[Parameter], most: float, device: torch.device) -> Tensor:
    """As torch's `clip_grad_norm_`, whose norm a CPU may look at: there, gradients that are short enough are
    not multiplied by 1."""
    if device.type == "cpu":
        norm = get_total_norm([each.grad for each in parameters if each.grad is not None])
        if type(norm) is Tensor and bool(most / (norm + 1e-6) >= 1):
            return norm
        clip_grads_with_norm_(parameters, most, norm)
        return norm
    return clip_grad_norm_(parameters, most)


def on_own_stream(make: Callable[[int], T], device: torch.device) -> Callable[[int], T]:
    """`make`, for another thread: on a GPU its copies and random numbers run, and are waited for, beside the
    step that is running."""
    if device.type != "cuda":
        return make
    stream = torch.cuda.Stream(device)

    def beside(step: int) -> T:
        with torch.cuda.stream(stream):
            batch = make(step)
        stream.synchronize()
        return batch

    return beside


def used_here(batch: T, device: torch.device) -> T:
    """A batch of another stream, whose memory is not given away before this stream is done with it."""
    if device.type == "cuda":
        for tensor in _tensors(batch):
            if tensor.device.type == "cuda":  # which step it is stays here
                tensor.record_stream(torch.cuda.current_stream(device))
    return batch


def _tensors(batch: Any) -> Iterator[Tensor]:
    """Those in nested tuples."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, tuple):
        for part in batch:
            yield from _tensors(part)
