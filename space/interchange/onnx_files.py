"""Any module as an ONNX file, and such a file in fewer bits. Knows no architecture.

Every file is written whole or not at all. Weights beyond what one protobuf holds lie beside it, in
`<name>.data`.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from space.shared.files import replacing_files

Axes = Sequence[int] | Mapping[int, str]
OPSET = 20  # has Gelu as one operation; runtimes of the last two years read it
LARGEST_FILE = 1536 * 2**20  # bytes, as torch.onnx has it; protobuf ends at 2 GiB
FOLDED_AT_MOST = 1 << 40  # elements: a weight is transposed in the file, not at each start

WEIGHT_AXES = {"Conv": 0, "Gemm": 1, "MatMul": 1}  # of output channels; Gemm's with transB: 0
INT8_FROM = 1024  # elements; smaller weights stay as they are
INT8_LARGEST = 127


def write_onnx(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    path: Path,
    *,
    dynamic: Mapping[str, Axes] | None = None,
) -> None:
    """Export `module`, called with `inputs` in their order, whose keys name the inputs of the file.

    Args:
        inputs: examples. A dynamic axis needs a length above 1, or torch takes it as fixed.
        outputs: names, in the order of what `module` returns.
        dynamic: by input, the axes of any length, with their names: those of one name are of one length.
            Without names axis 0 is `batch`, others are their own.

    Raises:
        torch.onnx.OnnxExporterError: an operation that ONNX, or the exporter, does not have.
        OSError: it cannot be written.
    """
    program = onnx_program(module, inputs, outputs, dynamic or {})
    with replacing_files(path.parent, path.name) as folder:
        program.save(folder / path.name)


def onnx_program(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    dynamic: Mapping[str, Axes],
) -> torch.onnx.ONNXProgram:
    """What `write_onnx` writes. Raises torch.onnx.OnnxExporterError."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # that axes of one name are one, and of torch's own names
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic_shapes(inputs, dynamic),
            opset_version=OPSET,
            optimize=False,  # its rewrites took six times as long as `_fold`, and ONNX Runtime gained nothing
            verbose=False,
        )
    assert program is not None
    _fold(program)
    return program


def dynamic_shapes(inputs: Mapping[str, Tensor], dynamic: Mapping[str, Axes]) -> tuple[Any, ...]:
    """As torch.export takes them, by position."""
    named = {name: _named(name, dynamic.get(name, ())) for name in inputs}
    sizes = {called: torch.export.Dim(called) for axes in named.values() for called in axes.values()}
    return tuple({axis: sizes[called] for axis, called in axes.items()} for axes in named.values())


def _named(name: str, axes: Axes) -> Mapping[int, str]:
    if isinstance(axes, Mapping):
        return axes
    return {axis: f"{name}_{axis}" if axis else "batch" for axis in axes}


def _fold(program: torch.onnx.ONNXProgram) -> None:
    """What is known beforehand is computed now: transposed weights, shapes, splits of a known number."""
    import onnx_ir.passes.common as passes
    from onnxscript.optimizer import fold_constants

    model = program.model
    passes.InlinePass()(model)
    fold_constants(
        model, onnx_shape_inference=True, input_size_limit=FOLDED_AT_MOST, output_size_limit=FOLDED_AT_MOST
    )
    for tidy in (
        passes.RemoveUnusedNodesPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.DeduplicateInitializersPass(),
        passes.CommonSubexpressionEliminationPass(),
        passes.OutputFixPass(),
        passes.NameFixPass(),
    ):
        tidy(model)
    for node in model.graph:  # what PyTorch notes of each: whole stack traces, with the paths of this machine
        kept = {key: value for key, value in node.metadata_props.items() if key == "namespace"}
        node.metadata_props.clear()
        node.metadata_props.update(kept)


# ---------------------------------------------------------------------- fewer bits


def weight_only_int8(source: Path, path: Path) -> None:
    """The file with the weights of convolutions and matrix products as int8, a scale an output channel.

    Activations stay fp32. A standard DequantizeLinear stands before each product; ONNX Runtime makes one
    integer kernel of it and a matrix product, and dequantizes a convolution's weight at each run.
    """
    import onnx

    model = onnx.load(source)
    graph = model.graph
    weights = {item.name: item for item in graph.initializer}
    before = []
    for name, axis in _weights_by_axis(graph, weights):
        values = onnx.numpy_helper.to_array(weights[name])
        quantized, scales = int8_by_channel(values, axis)
        graph.initializer.remove(weights[name])
        graph.initializer.extend(
            [
                onnx.numpy_helper.from_array(quantized, f"{name}.int8"),
                onnx.numpy_helper.from_array(scales, f"{name}.scales"),
            ]
        )
        before.append(
            onnx.helper.make_node(
                "DequantizeLinear",
                [f"{name}.int8", f"{name}.scales"],
                [name],
                name=f"dequantize.{name}",
                axis=axis,
            )
        )
    nodes = [*before, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    _save(model, path)


def int8_by_channel(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest multiples, -127 to 127, of one scale for each index along `axis`; and these scales."""
    others = tuple(other for other in range(values.ndim) if other != axis)
    scales = np.abs(values).max(axis=others, keepdims=True) / INT8_LARGEST
    scales = np.where(scales == 0, 1, scales).astype(np.float32)
    return np.rint(values / scales).astype(np.int8), scales.reshape(-1)


def _weights_by_axis(graph: Any, weights: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Weights that products alone use, and all along one axis."""
    uses = defaultdict(set)
    for node in graph.node:
        for at, name in enumerate(node.input):
            uses[name].add(_axis(node) if at == 1 else None)
    for name, axes in uses.items():
        axis = next(iter(axes)) if len(axes) == 1 else None
        if axis is None or name not in weights:
            continue
        kind, shape = weights[name].data_type, weights[name].dims
        if kind == 1 and len(shape) > axis and int(np.prod(shape)) >= INT8_FROM:  # 1: float32
            yield name, axis


def _axis(node: Any) -> int | None:
    if node.op_type == "Gemm" and any(item.name == "transB" and item.i for item in node.attribute):
        return 0
    return WEIGHT_AXES.get(node.op_type)


def fp16(source: Path, path: Path) -> None:
    """The file with weights and activations in half precision; inputs and outputs stay as they are.

    What leads to a sine or cosine stays fp32: a time of 999 has no room in half precision for the angle.
    ONNX Runtime on a CPU casts to fp32 and back around what it has no half-precision kernel for.
    """
    import onnx
    from onnxruntime.transformers import float16

    graph = onnx.load(source, load_external_data=False).graph
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tiny weights that become 0
        model = float16.convert_float_to_float16(
            str(source), keep_io_types=True, node_block_list=_leading_to(graph, ("Sin", "Cos"))
        )
    _save(_without_detours(model), path)


def _without_detours(model: Any) -> Any:
    """The converter casts down and up again between nodes that stay fp32, which loses what they were kept
    for; and puts its casts at the end, while ONNX asks for the order of computation."""
    import onnx
    import onnx_ir
    import onnx_ir.passes.common as passes

    whole = onnx_ir.from_proto(model)
    casts = {node.outputs[0]: node for node in whole.graph if node.op_type == "Cast"}
    for up in casts.values():
        value = up.inputs[0]
        down = casts.get(value) if value is not None else None
        if down is None or up.attributes["to"].as_int() != onnx.TensorProto.FLOAT:
            continue
        first = down.inputs[0]
        if first is not None and first.dtype == onnx_ir.DataType.FLOAT:
            for user, at in list(up.outputs[0].uses()):
                user.replace_input_with(at, first)
    passes.RemoveUnusedNodesPass()(whole)
    whole.graph.sort()
    return onnx_ir.to_proto(whole)


def _leading_to(graph: Any, kinds: Sequence[str]) -> list[str]:
    """Names of the nodes of these kinds and of all that their inputs are made by."""
    made_by = {output: node for node in graph.node for output in node.output}
    open_ends = [node for node in graph.node if node.op_type in kinds]
    seen: dict[str, None] = {}
    while open_ends:
        node = open_ends.pop()
        if node.name not in seen:
            seen[node.name] = None
            open_ends += [made_by[name] for name in node.input if name in made_by]
    return list(seen)


def _save(model: Any, path: Path) -> None:
    import onnx

    with replacing_files(path.parent, path.name) as folder:
        onnx.save(
            model,
            folder / path.name,
            save_as_external_data=sum(len(item.raw_data) for item in model.graph.initializer) > LARGEST_FILE,
            location=f"{path.name}.data",
        )
