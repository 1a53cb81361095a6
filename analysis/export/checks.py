"""Does a written file compute what PyTorch does? And where it does not, from which stage on?"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from analysis.export.components import Component
from space.interchange.onnx_files import dynamic_shapes
from space.shared.plain import InputError

Bits = Literal["fp32", "fp16", "int8"]
MOST_RELATIVE_ERROR = 1e-3  # in fp32
LEAST_PSNR_DB = 35.0  # in fewer bits
LEAST_DEVIATION = 1e-6  # of the output; errors are shares of it, and of zero a check would say nothing

NAMED_OPERATOR = (  # in the errors of PyTorch's exporters, of coremltools
    r"target=torch\.ops\.(\w+\.\w+)",
    r"OpOverload\(op='(\w+\.\w+)'",
    r"function for op '(\w+)'",
)

WriteFile = Callable[[Component, Path, Bits], None]
RunFile = Callable[[Path, Mapping[str, np.ndarray]], list[np.ndarray]]


@dataclass(frozen=True)
class Figures:
    """How near a file's output is to PyTorch's; of several, the worst."""

    deviation: float
    relative_error: float
    psnr_db: float

    def good(self, precision: Bits) -> bool:
        if precision == "fp32":
            return self.relative_error <= MOST_RELATIVE_ERROR
        return self.psnr_db >= LEAST_PSNR_DB


def figures(made: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> Figures:
    """Of all outputs: the relative error is that of the Euclidean norm; a signal's peak its largest value."""
    return _worst([_figures(a, b) for a, b in zip(made, expected, strict=True)])


def _figures(made: np.ndarray, expected: np.ndarray) -> Figures:
    if made.shape != expected.shape or not (np.isfinite(made).all() and np.isfinite(expected).all()):
        return Figures(0.0, math.inf, -math.inf)
    wrong = float(np.square(made.astype(np.float64) - expected).mean())
    size, peak = float(np.square(expected.astype(np.float64)).mean()), float(np.abs(expected).max())
    relative = 0.0 if wrong == 0 else math.sqrt(wrong / size) if size else math.inf
    psnr = math.inf if wrong == 0 else 10 * math.log10(peak**2 / wrong) if peak else -math.inf
    return Figures(float(expected.std()), relative, psnr)


def _worst(each: Sequence[Figures]) -> Figures:
    return Figures(
        min(one.deviation for one in each),
        max(one.relative_error for one in each),
        min(one.psnr_db for one in each),
    )


def refuse_silent(component: Component) -> None:
    """Raises InputError for a module that predicts nothing, or a constant: no check would find what is
    wrong."""
    deviation = min(map(_within_channels, component()))
    if not deviation > LEAST_DEVIATION:
        raise InputError(
            f"{component.name}: its output deviates by {deviation:.2g}, so that a check would say nothing; "
            f"needed: above {LEAST_DEVIATION}, weights that are trained"
        )


def _within_channels(output: Tensor) -> float:
    rows = output.transpose(0, 1).flatten(1) if output.ndim > 2 else output
    return float(rows.std(dim=-1).max())


def checked_file(
    component: Component, path: Path, precision: Bits, write: WriteFile, run: RunFile
) -> Figures:
    """The file's output beside the module's: with the examples, and with one image more and a single time.

    Raises:
        InputError: the first stage that differs.
    """
    given = [component]
    if component.dynamic:
        given.append(component.with_axes({"batch": 3, "steps": 1}))
    found = _worst([_beside(each, path, run) for each in given])
    if not found.good(precision):
        allowed = (
            f"relative error {found.relative_error:.2g}, allowed {MOST_RELATIVE_ERROR:g}"
            if precision == "fp32"
            else f"PSNR {found.psnr_db:.1f} dB, needed {LEAST_PSNR_DB:g}"
        )
        where = first_difference(component, path.parent, precision, write, run)
        raise InputError(f"{component.name}: {path.name} differs from PyTorch ({allowed}), first at {where}")
    return found


def _beside(component: Component, path: Path, run: RunFile) -> Figures:
    given = {name: tensor.numpy() for name, tensor in component.inputs.items()}
    return figures(run(path, given), [tensor.numpy() for tensor in component()])


def first_difference(
    component: Component, folder: Path, precision: Bits, write: WriteFile, run: RunFile
) -> str:
    """Write the module once more with the results of all its stages as outputs, and compare them in order."""
    path = folder / f"stages-of-{component.name}"
    with _watched(component) as watched:
        try:
            write(watched, path, precision)
            given = {name: tensor.numpy() for name, tensor in watched.inputs.items()}
            made = run(path, given)
            expected = [tensor.numpy() for tensor in watched()]
        finally:
            for left in folder.glob(f"{path.name}*"):
                left.unlink()
    skipped = len(component.outputs)
    for (label, _), one, other in zip(component.stages, made[skipped:], expected[skipped:], strict=True):
        if not figures([one], [other]).good(precision):
            return label
    return "no single stage: their errors add up"


class _Watched(nn.Module):
    def __init__(self, component: Component) -> None:
        super().__init__()
        self.module, self.seen = component.module, dict[str, Tensor]()
        self.labels = [label for label, _ in component.stages]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        made = self.module(*inputs)
        outputs = (made,) if isinstance(made, Tensor) else tuple(made)
        return (*outputs, *[self.seen[label] for label in self.labels])


@contextmanager
def _watched(component: Component) -> Iterator[Component]:
    """The component with what leaves each of its stages as further outputs."""
    module = _Watched(component).eval()

    def note(label: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda stage, given, made: module.seen.update({label: made})

    hooks = [stage.register_forward_hook(note(label)) for label, stage in component.stages]
    try:
        names = tuple(f"stage_{number}" for number in range(len(component.stages)))
        yield replace(component, module=module, outputs=component.outputs + names)
    finally:
        for hook in hooks:
            hook.remove()


# ---------------------------------------------------------------------- what cannot be written


def unsupported(component: Component, error: Exception) -> InputError:
    """What an exporter did not know, and the block that it stands in."""
    operator, block = _culprit(component, str(error))
    reason = operator or next(iter(str(error).strip().splitlines()), type(error).__name__)
    return InputError(f"{component.name}: {block} cannot be exported: {reason} is not supported")


def _culprit(component: Component, told: str) -> tuple[str, str]:
    """The operator that an error names, if any, and the stage where it stands; what PyTorch itself does not
    trace stands in the stage that was entered last."""
    entered = ["what surrounds the stages"]
    hooks = [
        stage.register_forward_pre_hook(lambda module, given, label=label: entered.append(label))
        for label, stage in component.stages
    ]
    try:
        with torch.no_grad():
            program = exported(component)
    except Exception:  # torch.export raises of many kinds
        return "", entered[-1]
    finally:
        for hook in hooks:
            hook.remove()
    names = [name for pattern in NAMED_OPERATOR for name in re.findall(pattern, told)]
    for graph in (program.graph, program.run_decompositions().graph):
        for node in graph.nodes:
            name = str(node.target).rpartition(".")[0]  # aten.add of aten.add.Tensor
            if node.op == "call_function" and {name, name.rpartition(".")[2]} & set(names):
                return name, _stage_of(component, node.meta.get("nn_module_stack") or {})
    return next(iter(names), ""), "a block"


def _stage_of(component: Component, stack: Mapping[str, tuple[str, Any]]) -> str:
    places = {id(module): name for name, module in component.module.named_modules()}
    paths = [path for path, _ in stack.values()]
    for label, module in component.stages:
        if any(path == places[id(module)] for path in paths):
            return label
    return paths[-1] if paths and paths[-1] else "what surrounds the stages"


def exported(component: Component) -> torch.export.ExportedProgram:
    """By torch.export, with its axes of any length."""
    return torch.export.export(
        component.module,
        tuple(component.inputs.values()),
        dynamic_shapes=dynamic_shapes(component.inputs, component.dynamic),
    )
