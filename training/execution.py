"""How what is trained runs: its layout in memory, what of it is compiled, which activations are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any, Literal

import torch
from torch import nn

from space.blocks import FullBlock, SeparableBlock, TransformerLayer
from space.shared.compiling import missing_to_compile, with_own_code
from space.shared.plain import InputError
from space.unet import Checkpointing, UNetEncoder

MemoryFormat = Literal["auto", "contiguous", "channels_last"]
BLOCKS = (FullBlock, SeparableBlock, TransformerLayer)
OnStep = Callable[[int, float], None]


def lay_out(modules: Iterable[nn.Module], memory_format: MemoryFormat) -> None:
    """Weights of convolutions, whose layout the maps between them take; auto: as they are."""
    if memory_format == "auto":
        return
    wanted = torch.channels_last if memory_format == "channels_last" else torch.contiguous_format
    for module in modules:
        module.to(memory_format=wanted)


def keep_activations(modules: Iterable[nn.Module], but_for: Checkpointing) -> None:
    """All, but for those within levels or blocks of the UNets. Raises InputError where there are none."""
    networks = [each for module in modules for each in module.modules() if isinstance(each, UNetEncoder)]
    if but_for != "none" and not networks:
        raise InputError(f"checkpointing: {but_for} is not possible where no UNet is trained; allowed: none")
    for network in networks:
        network.checkpoint(but_for)


class CompiledBlocks:
    """Blocks that run compiled from now on, forward and backward; copies of them run as they were.

    Blocks that differ in their weights alone share what is compiled. That happens in the first step, and
    again where a batch has another size. What cannot be compiled whole is an error: nothing runs eagerly
    without a word.

    Attributes:
        blocks: how many.
        kinds: how many of them differ.

    Raises:
        InputError: there is no compiler here, or nothing to compile.
    """

    def __init__(self, modules: Iterable[nn.Module], device: str) -> None:
        if missing := missing_to_compile(device):
            raise InputError(f"compile: blocks needs {missing}, which is not here; allowed: none")
        blocks = [block for module in modules for block in module.modules() if isinstance(block, BLOCKS)]
        if not blocks:
            raise InputError("compile: blocks is not possible where none of a UNet is trained; allowed: none")
        kinds: dict[str, Any] = {}
        for block in blocks:
            kind = repr(block)  # widths, heads, groups: all but the weights
            if kind not in kinds:
                kinds[kind] = torch.compile(with_own_code(_run), fullgraph=True, dynamic=False)
            block._compiled_call_impl = partial(kinds[kind], block)  # as Module.compile does
        self.blocks, self.kinds = len(blocks), len(kinds)
        self._before = self._told = _clock().seconds

    def telling(self, say: Callable[[str], None], steps: int, on_step: OnStep | None) -> OnStep:
        """`on_step`, which says how long compiling took, behind the step that did it."""

        def after(step: int, loss: float) -> None:
            if (seconds := _clock().seconds) > self._told:
                self._told, took = seconds, seconds - self._before
                say(
                    f"compiled {self.kinds} kinds of {self.blocks} blocks in {took:.1f} s: "
                    f"{1e3 * took / steps:.2g} ms a step over the {steps} steps planned"
                )
            if on_step is not None:
                on_step(step, loss)

        return after


def _run(block: nn.Module, *inputs: Any) -> Any:
    return block._call_impl(*inputs)


class _Clock:
    """Of this process: `seconds` it has spent compiling so far, backward passes among it."""

    def __init__(self) -> None:
        from torch._dynamo.callback import on_compile_end, on_compile_start

        self.seconds, self._began = 0.0, 0.0
        on_compile_start(self._begin)
        on_compile_end(self._end)

    def _begin(self, _: Any) -> None:
        self._began = time.perf_counter()

    def _end(self, _: Any) -> None:
        self.seconds += time.perf_counter() - self._began


@cache
def _clock() -> _Clock:
    return _Clock()
