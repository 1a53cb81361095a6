"""`mdsearch export`: a network in the format of where it runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from analysis.export.checks import Bits
from analysis.export.components import random_unet
from analysis.export.formats import (
    FORMATS,
    ExportFormat,
    bytes_needed,
    chosen_format,
    network_digest,
    write_component,
)
from analysis.export.pipeline import write_pipeline
from analysis.export.pipeline_components import coordinates_inside
from conf.compose import compose
from conf.repeated import refuse_beside
from conf.words import as_text
from mdsearch.commands.convert import Source, files_in, keep_card, precision_of, read_source, write_source
from search.runs.files import RECORD_NAME
from space.architecture import Architecture
from space.interchange.diffusers_config import diffusers_config
from space.shared.disk import refuse_little_disk
from space.shared.outputs import free_folder, writing_folder
from space.shared.plain import InputError, from_plain
from training.files import MODEL_NAME
from training.model import load_model

EXPORT_TEXTS = ("run", "model", "arch_file", "out")
SOURCES = ("run", "model", "arch_file", "arch")
RANDOM = "random"
NOT_TRAINED = "everything around it: not trained"


@dataclass(frozen=True)
class ExportCommand:
    """The fields of conf/export.yaml."""

    to: Literal["onnx", "coreml", "executorch", "torch", "diffusers"]
    out: str
    arch: dict[str, Any]
    run: str | None = None
    arch_file: str | None = None
    model: str | None = None
    precision: Bits | None = None
    format: Literal["text", "json"] = "text"


def main(words: list[str]) -> int:
    command: ExportCommand = from_plain(ExportCommand, compose("export", as_text(words, EXPORT_TEXTS)))
    _one_source(words)
    told = export(command)
    if command.format == "json":
        print(json.dumps(told, indent=2))
        return 0
    print(f"{told['id']}: weights {told['weights']}, {told['format']} in {told['precision']}")
    if told["check"] is not None:
        error, psnr = told["check"]["relative_error"], told["check"]["psnr_db"]
        print(f"checked against PyTorch: relative error {error:.2g}, PSNR {psnr:.1f} dB")
    elif told["to_verify"] is not None:
        print(f"not verified here; {told['to_verify']}")
    for file in told["written"]:
        print(file)
    for note in told["left_out"]:
        print(f"left out: {note}")
    return 0


def export(command: ExportCommand) -> dict[str, Any]:
    """Write, check, and say what was done: the manifest, and which files there are.

    Raises:
        InputError: an `out` that is there, too little disk, a package that is missing, a network that cannot
            be read, or one that is not the same when exported. Nothing is left then.
    """
    out = free_folder(command.out)
    if command.to == "diffusers":
        return _as_diffusers(command, out)
    format_, precision = chosen_format(command.to, command.precision)
    source = _source(command)
    _check_disk(out, format_, precision, source.unet)
    with writing_folder(out) as folder:
        manifest = _write(source, command.to, folder, precision)
        _keep_card(source, folder)
    return {**manifest, "written": files_in(out), "left_out": []}


def _write(source: Source, to: str, folder: Path, precision: Bits) -> dict[str, Any]:
    """The network; in ONNX all that its model generates with. Returns the network's manifest."""
    if to == "onnx" and not _is_random(source) and (source.path / MODEL_NAME).is_file():
        model = load_model(source.path, "cpu")
        _check_disk(folder, *chosen_format(to, precision), model)
        return write_pipeline(model, folder, precision=precision, about=_about(source))["unet"]
    component = FORMATS[to].component(source.unet.float().eval())
    if source.coordinates:
        component = coordinates_inside(component, source.unet.architecture.condition_channels)
    return write_component(component, to, folder, precision=precision, about=_about(source))


def _keep_card(source: Source, folder: Path) -> None:
    if not _is_random(source):
        keep_card(source, folder)


def _is_random(source: Source) -> bool:
    return source.unknown == NOT_TRAINED


def _one_source(words: list[str]) -> None:
    """Which network, said once."""
    given = [word.lstrip("+~").partition("=")[0].partition(".")[0] for word in words]
    sources = [name for name in SOURCES if name in given]
    if not sources:
        raise InputError(f"run: missing; which network? Needed: one of {', '.join(SOURCES)}")
    refuse_beside(words, sources[0], set(SOURCES) - {sources[0]}, "which names the network")


def _source(command: ExportCommand) -> Source:
    if command.run is not None:
        path = Path(command.run).expanduser()
        if not (path / RECORD_NAME).is_file():
            raise InputError(f"run: {command.run!r} holds no run; allowed: runs/<name>, or another as model=")
        return read_source(path)
    if command.model is not None:
        return read_source(Path(command.model).expanduser())
    if command.arch_file is not None:
        architecture = Architecture.load(command.arch_file)
    elif "patch" in command.arch:
        raise InputError("arch: a DiT is no UNet, and nothing here exports one; allowed: md, md_lite, ...")
    else:
        architecture = Architecture.from_plain(command.arch, "arch")
    return Source(Path(RANDOM), random_unet(architecture), unknown=NOT_TRAINED)


def _about(source: Source) -> dict[str, Any]:
    unet = source.unet
    return {
        "id": unet.architecture.id,
        "architecture": unet.architecture.to_plain(),
        "parameters": sum(parameter.numel() for parameter in unet.parameters()),
        "weights": RANDOM if _is_random(source) else network_digest(unet),
    }


def _check_disk(out: Path, format_: ExportFormat, precision: Bits, module: nn.Module) -> None:
    parameters = sum(parameter.numel() for parameter in module.parameters())
    refuse_little_disk(bytes_needed(format_, precision, parameters), out)


def _as_diffusers(command: ExportCommand, out: Path) -> dict[str, Any]:
    """As `mdsearch convert` writes it: in diffusers' own layout where there is one."""
    if command.precision is not None:
        raise InputError("precision: as the weights are, with to=diffusers; mdsearch convert chooses another")
    source = _source(command)
    about = _about(source)
    try:
        diffusers_config(source.unet.architecture)
        own_layout = not source.coordinates
    except InputError:
        own_layout = False
    _check_disk(out, *chosen_format("torch", None), source.unet)  # weights as they are, as there
    with writing_folder(out) as folder:
        left_out = write_source(source, folder, "diffusers" if own_layout else "pipeline_unet")
        _keep_card(source, folder)
    precision = precision_of(source.unet)
    told = {**about, "format": "diffusers", "precision": precision, "check": None, "to_verify": None}
    return {**told, "written": files_in(out), "left_out": left_out}
