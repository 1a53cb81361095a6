"""A component as an ONNX file, for ONNX Runtime and all that reads ONNX."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from analysis.export.checks import Bits, unsupported
from analysis.export.components import Component
from space.interchange.onnx_files import fp16, weight_only_int8, write_onnx

IN_FEWER_BITS = {"fp16": fp16, "int8": weight_only_int8}


def write_onnx_component(component: Component, path: Path, precision: Bits) -> None:
    """Raises InputError, naming the block, for an operator that ONNX lacks."""
    with tempfile.TemporaryDirectory(dir=path.parent) as beside:
        whole = path if precision == "fp32" else Path(beside) / path.name
        try:
            write_onnx(
                component.module, component.inputs, component.outputs, whole, dynamic=component.dynamic
            )
        except torch.onnx.OnnxExporterError as error:
            raise unsupported(component, error) from None
        if precision != "fp32":
            IN_FEWER_BITS[precision](whole, path)


def run_onnx(path: Path, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """All outputs, by ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(None, dict(inputs))]
