"""A component as a Core ML program in half precision, with all that a Mac needs to check and time it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analysis.export import on_a_mac
from analysis.export.checks import Bits, unsupported
from analysis.export.components import Component

KEPT_FP32 = ("sin", "cos")  # and what leads to them: a time of 999 has no room in half precision
EXAMPLE_FILE, VERIFY_SCRIPT = "example_{}.npy", "verify_on_mac.py"


def write_mlpackage(component: Component, path: Path, precision: Bits) -> None:
    """The package, inputs and expected outputs, and the script. Raises InputError as `unsupported`."""
    import coremltools as ct

    names, examples = list(component.inputs), tuple(component.inputs.values())
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # that tracing is an older way; what coremltools reads best
            traced = torch.jit.trace(component.module, examples)
        model = ct.convert(
            traced,
            inputs=[
                ct.TensorType(name, tensor.shape, dtype=np.float32)
                for name, tensor in zip(names, examples, strict=True)
            ],
            outputs=[ct.TensorType(name, dtype=np.float32) for name in component.outputs],
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.macOS13,
            compute_precision=ct.transform.FP16ComputePrecision(op_selector=_may_be_half),
            skip_model_load=True,
        )
    except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:
        raise unsupported(component, error) from None
    model.save(str(path))
    for name, tensor in zip(component.outputs, component(), strict=True):
        np.save(path.with_name(EXAMPLE_FILE.format(name)), tensor.numpy())
    for name, tensor in component.inputs.items():
        np.save(path.with_name(EXAMPLE_FILE.format(name)), tensor.numpy())
    path.with_name(VERIFY_SCRIPT).write_bytes(Path(on_a_mac.__file__).read_bytes())


def _may_be_half(operation: Any) -> bool:
    """Whether nothing that it makes leads to an operation that stays fp32 within a few more."""
    return not _leads(operation, 4)


def _leads(operation: Any, most: int) -> bool:
    return operation.op_type in KEPT_FP32 or (
        most > 0 and any(_leads(user, most - 1) for made in operation.outputs for user in made.child_ops)
    )
