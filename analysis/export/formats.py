"""Which formats are there, and how is a component written in one, checked, with a manifest beside it?"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import nn

from analysis.export.checks import Bits, RunFile, WriteFile, checked_file, refuse_silent
from analysis.export.components import Component, apple_component, unet_component
from analysis.export.coreml_component import VERIFY_SCRIPT, write_mlpackage
from analysis.export.onnx_component import run_onnx, write_onnx_component
from analysis.export.torch_component import fixed, run_program, run_pte, write_program, write_pte
from space.interchange.onnx_files import OPSET
from space.shared.files import write_whole
from space.shared.image_files import SAMPLES_MANIFEST as MANIFEST  # one name for what lies beside files
from space.shared.plain import InputError, nearest
from space.unet import UNet

SPARE = 50_000_000  # bytes: graphs, manifests, examples
NOTED_VERSIONS = ("torch", "onnx", "onnxscript", "onnxruntime", "coremltools", "executorch", "mdsearch")


@dataclass(frozen=True)
class ExportFormat:
    """How a component is written.

    Attributes:
        file: its name in the folder of the component.
        bytes_each: of disk, for each parameter, by precision: what is written on the way too. The first is
            the precision where none is chosen.
        run: what is written, on this machine; None: it cannot run here.
        package: that it needs, which `pip install 'mdsearch[<name of the format>]'` brings.
    """

    file: str
    bytes_each: Mapping[Bits, int]
    write: WriteFile
    run: RunFile | None
    package: str | None = None
    component: Callable[[UNet], Component] = unet_component


FORMATS: Mapping[str, ExportFormat] = {
    "onnx": ExportFormat("model.onnx", {"fp32": 4, "fp16": 10, "int8": 5}, write_onnx_component, run_onnx),
    "torch": ExportFormat("model.pt2", {"fp32": 4}, write_program, run_program),
    "coreml": ExportFormat(
        "model.mlpackage", {"fp16": 8}, write_mlpackage, None, "coremltools", apple_component
    ),
    "executorch": ExportFormat(
        "model.pte",
        {"fp32": 4},
        write_pte,
        run_pte,
        "executorch",
        lambda unet: fixed(unet_component(unet)),
    ),
}


def chosen_format(to: str, precision: Bits | None) -> tuple[ExportFormat, Bits]:
    """Raises InputError for a precision that a format lacks, or a package that is not installed."""
    format_ = FORMATS[to]
    if precision is None:
        bits = next(iter(format_.bytes_each))
    elif precision in format_.bytes_each:
        bits = precision
    else:
        told = nearest(precision, format_.bytes_each)
        raise InputError(f"precision: {precision} is not possible with to={to}; {told}")
    if format_.package is not None and importlib.util.find_spec(format_.package) is None:
        raise InputError(f"to: {to} needs {format_.package}; install it: pip install 'mdsearch[{to}]'")
    return format_, bits


def bytes_needed(format_: ExportFormat, precision: Bits, parameters: int) -> int:
    return format_.bytes_each[precision] * parameters + SPARE


def write_component(
    component: Component, to: str, folder: Path, *, precision: Bits | None = None, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Write into a folder that is there, check what was written, and put a manifest beside it.

    Args:
        about: what the manifest says beside: of which network it is a component.

    Returns:
        The manifest.

    Raises:
        InputError: an operator that the format lacks, with its block; an output that differs from PyTorch's,
            with the first stage that does; or one that is next to nothing.
    """
    format_, precision = chosen_format(to, precision)
    path = folder / format_.file
    refuse_silent(component)
    format_.write(component, path, precision)
    found = None
    if format_.run is not None:
        found = checked_file(component, path, precision, format_.write, format_.run)
    manifest = {
        **about,
        "component": component.name,
        "format": to,
        "file": format_.file,
        "precision": precision,
        "opset": OPSET if to == "onnx" else None,
        "inputs": {name: _described(component, name) for name in component.inputs},
        "outputs": list(component.outputs),
        "verified": found is not None,
        "check": None if found is None else asdict(found),
        "to_verify": f"python {VERIFY_SCRIPT}, on a Mac" if to == "coreml" else None,
        "versions": _versions(),
    }
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def _described(component: Component, name: str) -> dict[str, Any]:
    tensor, axes = component.inputs[name], component.dynamic.get(name, {})
    shape = [axes.get(axis, length) for axis, length in enumerate(tensor.shape)]
    return {"shape": shape, "type": str(tensor.dtype).removeprefix("torch.")}


def _versions() -> dict[str, str]:
    installed = {}
    for name in NOTED_VERSIONS:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def network_digest(module: nn.Module) -> str:
    """Of all weights, by name: equal for equal networks, whatever file they came from."""
    whole = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        whole.update(name.encode())
        whole.update(tensor.detach().cpu().float().contiguous().numpy().data)
    return f"sha256:{whole.hexdigest()}"
