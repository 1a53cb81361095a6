"""Chains of a price list and whole networks, exported with the script that measures them elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evaluators.latency import on_device
from evaluators.latency.probes import Probe, build_probe, pair, probe_parameters
from evaluators.latency.runtimes import OUTPUT
from evaluators.latency.whole import unet_inputs, unet_module
from space.architecture import Architecture
from space.choices import Space
from space.prices.latency import LIST_FORM
from space.prices.macs import price
from space.prices.parts import TimedPart
from space.shared.outputs import writing_folder
from space.shared.plain import InputError, to_plain

SCRIPT_FILE = "measure.py"
STAGE_BYTES = {"onnx": 4, "coreml": 2}
STAGE_PRECISION = {"onnx": "fp32", "coreml": "fp16"}
UNVERIFIED = (
    "unverified: written on a machine that cannot run Core ML, where no stage was ever run and no output "
    "compared; one that does not run is named"
)


def stages_bytes(parts: Sequence[TimedPart], networks: Sequence[Architecture], to: str) -> int:
    """Of all weights together, about."""
    of_networks = sum(price(a).parameters for a in networks)
    return STAGE_BYTES[to] * (sum(map(probe_parameters, _probes(parts))) + of_networks)


def write_stages(
    space: Space,
    parts: Sequence[TimedPart],
    networks: Sequence[Architecture],
    folder: Path,
    to: str,
    on_done: Callable[[int, int], None] = lambda done, of: None,
) -> None:
    """A new folder: a file a chain, one a network to which sums are fitted, what they are, and the script.

    Raises:
        InputError: coremltools is asked for and not there, it cannot be written, or `folder` holds files.
    """
    write, versions = writer_of(to)
    probes = _probes(parts)
    names = {probe: str(number) for number, probe in enumerate(probes)}
    chains: dict[str, Any] = {}
    whole: list[dict[str, Any]] = []
    total = len(names) + len(networks)
    with writing_folder(folder) as own:
        for number, (probe, name) in enumerate(names.items()):
            on_done(number, total)
            module, takes = build_probe(probe)
            file = write(module.eval().requires_grad_(False), takes, own / name)
            chains[name] = {"file": file.name, "inputs": _shapes(takes), "about": probe.name()}
        for number, a in enumerate(networks):
            on_done(len(names) + number, total)
            takes = unet_inputs(a, 1)[0]
            file = write(unet_module(a).eval().requires_grad_(False), takes, own / f"whole-{number}")
            whole.append({"file": file.name, "inputs": _shapes(takes), "architecture": a.to_plain()})
        on_done(total, total)
        entries = [
            {
                "part": {
                    "kind": part.kind,
                    "size": part.size,
                    "inputs": part.inputs,
                    "outputs": part.outputs,
                    "options": dict(part.options),
                },
                "more": names[one.more],
                "fewer": names[one.fewer],
                "times": one.times,
            }
            for part in parts
            for one in [pair(part)]
        ]
        plain = {
            "form": LIST_FORM,
            "to": to,
            **({"note": UNVERIFIED} if to == "coreml" else {}),
            "precision": STAGE_PRECISION[to],
            "versions": versions,
            "space": to_plain(space),
            "chains": chains,
            "whole": whole,
            "entries": entries,
        }
        (own / on_device.STAGES_FILE).write_text(json.dumps(plain, indent=1), encoding="utf-8")
        script = Path(on_device.__file__).read_text(encoding="utf-8")
        (own / SCRIPT_FILE).write_text(script, encoding="utf-8")


def _shapes(takes: dict[str, Tensor]) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in takes.items()}


def _probes(parts: Sequence[TimedPart]) -> list[Probe]:
    both = (probe for part in parts for one in [pair(part)] for probe in (one.more, one.fewer))
    return list(dict.fromkeys(both))


# ---------------------------------------------------------------------- one chain


Write = Callable[[nn.Module, dict[str, Tensor], Path], Path]


def writer_of(to: str) -> tuple[Write, dict[str, str]]:
    versions = {"torch": str(torch.__version__)}
    if to == "onnx":
        return _write_onnx, versions
    try:
        import coremltools
    except ImportError:
        raise InputError(
            "to: coreml needs the package coremltools, which is not here; allowed: onnx, or to install it"
        ) from None
    return _write_coreml, versions | {"coremltools": coremltools.__version__}


def _write_onnx(module: nn.Module, takes: dict[str, Tensor], path: Path) -> Path:
    from space.interchange.onnx_files import write_onnx

    file = path.with_suffix(".onnx")
    write_onnx(module, takes, [OUTPUT], file)
    return file


def _write_coreml(module: nn.Module, takes: dict[str, Tensor], path: Path) -> Path:
    """An `mlprogram` in fp16; prediction needs macOS, so it is not run here."""
    import coremltools

    program = torch.export.export(module, tuple(takes.values())).run_decompositions({})
    inputs = [coremltools.TensorType(name=name, shape=tuple(value.shape)) for name, value in takes.items()]
    model = coremltools.convert(
        program,
        inputs=inputs,
        outputs=[coremltools.TensorType(name=OUTPUT)],
        minimum_deployment_target=coremltools.target.iOS17,
    )
    file = path.with_suffix(".mlpackage")
    model.save(str(file))
    return file
