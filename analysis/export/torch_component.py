"""A component as PyTorch's own exported program, and for ExecuTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from analysis.export.checks import Bits, exported, unsupported
from analysis.export.components import BATCH, Component
from space.shared.files import write_whole
from space.shared.plain import InputError


def write_program(component: Component, path: Path, precision: Bits) -> None:
    """For `torch.export.load`. Raises InputError, naming the block, for what torch.export does not trace."""
    with path.open("wb") as file:
        torch.export.save(_program(component), file)


def run_program(path: Path, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    with path.open("rb") as file:
        module = torch.export.load(file).module()
    with torch.no_grad():
        made = module(*map(torch.from_numpy, inputs.values()))
    return [tensor.numpy() for tensor in ([made] if isinstance(made, torch.Tensor) else made)]


def fixed(component: Component) -> Component:
    """With axes as long as in the examples, a time for each image: what XNNPACK plans its memory for."""
    return replace(component.with_axes({"steps": BATCH}), dynamic={})


def write_pte(component: Component, path: Path, precision: Bits) -> None:
    """For ExecuTorch's runtime, by XNNPACK where that has the operator. Raises InputError as that does."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = _program(component)
    try:
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    except Exception as error:  # of many kinds, by the pass that fails
        raise unsupported(component, error) from None
    write_whole(path, lowered.buffer)


def run_pte(path: Path, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Raises InputError for a file that its runtime does not take."""
    from executorch.runtime import Runtime

    try:
        method = Runtime.get().load_program(path).load_method("forward")
        return [tensor.numpy() for tensor in method.execute(list(map(torch.from_numpy, inputs.values())))]
    except RuntimeError as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(
            f"{path.name}: ExecuTorch's runtime does not take what was written: {reason}"
        ) from None


def _program(component: Component) -> torch.export.ExportedProgram:
    try:
        with torch.no_grad():
            return exported(component)
    except Exception as error:  # torch.export raises of many kinds
        raise unsupported(component, error) from None
