"""Measuring steps of networks fairly: turn by turn, with intervals, memory and where the time goes."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

Step = Callable[[], object]

PROFILED_STEPS = 3
KINDS = [
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("convolution", r"conv"),
        ("attention products", r"scaled_dot_product|flash_attention|efficient_attention"),
        ("matrix products (linear)", r"::(addmm|mm|bmm|baddbmm|linear)$"),
        ("norms", r"(group|layer)_norm"),
        ("swish, gelu", r"silu|gelu"),
        ("copies: layout, cat, dtype", r"copy_|::cat$|contiguous|clone"),
        ("sums, products, divisions", r"::(add|mul|div|sub|sum)_?$"),
        ("fused by the compiler", r"triton|cpp_fused|Compiled|CompiledFunction"),
    )
]
REST = "the rest"  # allocation, views, filling, autograd's own work


def wait() -> None:
    """For the GPU, if there is one, to finish."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def milliseconds(step: Step) -> float:
    wait()
    start = time.perf_counter()
    step()
    wait()
    return 1e3 * (time.perf_counter() - start)


def interleaved_ms(steps: Mapping[str, Step], rounds: int) -> dict[str, list[float]]:
    """Name -> ms in each round: A B, B A, A B, ... after two rounds that don't count."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(-2, rounds):
        for name in steps if number % 2 == 0 else reversed(list(steps)):
            elapsed = milliseconds(steps[name])
            if number >= 0:
                times[name].append(elapsed)
    return times


def ratio_interval(mine: list[float], reference: list[float]) -> tuple[float, float, float]:
    """Median of the rounds' ratios, and its 95 % interval by bootstrap over rounds."""
    ratios = np.array(mine) / np.array(reference)
    resampled = np.random.default_rng(0).choice(ratios, (4000, len(ratios)))
    low, high = np.quantile(np.median(resampled, axis=1), (0.025, 0.975))
    return float(np.median(ratios)), float(low), float(high)


def matrix_product_gflops(device: str, dtype: torch.dtype) -> float:
    """GFLOP/s that a large square matrix product reaches here, the best of six."""
    side = 8192 if device == "cuda" else 2048
    matrix = torch.randn(side, side, device=device, dtype=dtype)
    return 2 * side**3 / min(milliseconds(lambda: matrix @ matrix) for _ in range(6)) / 1e6


@contextmanager
def held_for_backward(network: nn.Module) -> Iterator[dict[int, int]]:
    """Fills {storage: bytes} with what forward passes inside leave for the backward pass, weights left out.

    The output must be kept alive inside, or its storages could be used, and counted, again.
    """
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    held: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield held


def peak_gpu_bytes(step: Step) -> int:
    """Bytes allocated on the GPU at most during a step, beyond what was held before it."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return torch.cuda.max_memory_allocated() - before


def ms_by_kind(step: Step, device: str) -> dict[str, float]:
    """Kind of operator -> ms per step: of the kernels it launched on a GPU, of itself on a CPU."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    step()
    with torch.profiler.profile(activities=activities) as profiler:
        for _ in range(PROFILED_STEPS):
            step()
        wait()
    sums: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        if event.device_type != torch.autograd.DeviceType.CPU:
            continue  # a kernel: its time stands with the operator that launched it
        own_us = event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
        sums[operator_kind(event.key)] += own_us / 1e3 / PROFILED_STEPS
    return sums


def operator_kind(operator: str) -> str:
    return next((kind for kind, pattern in KINDS if pattern.search(operator)), REST)
