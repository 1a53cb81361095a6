"""`mdsearch convert`: a network with its weights, to and from diffusers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from conf.compose import compose
from conf.words import as_text, fields_of_today
from mdsearch.commands.train import TrainCommand
from search.confirmation.leading import trial_folder
from search.runs.files import ARCHITECTURE_NAME, CONFIG_NAME, RECORD_NAME
from search.runs.folder import stored_settings
from space.architecture import Architecture
from space.interchange.checkpoints import (
    PIPELINE_FILE,
    PIPELINE_UNET,
    assign,
    empty_unet,
    load,
    reads_coordinates,
    save,
    save_diffusers,
)
from space.interchange.weight_files import CONFIG_FILE, read_plain
from space.proxy import Proxy, narrow
from space.shared.files import write_whole
from space.shared.outputs import free_folder, writing_folder
from space.shared.plain import InputError, from_plain
from space.unet import UNet
from training.diffusion import check_ddim
from training.files import CARD_NAME, MODEL_NAME, STATES_FOLDER
from training.generation.settings import PRECISIONS
from training.handing_over import trained_unet
from training.interchange.pipelines import (
    WITHOUT_COORDINATES,
    WITHOUT_WORDS,
    not_of_a_pipeline,
    not_of_our_sampling,
    save_parts,
    save_scheduler,
    settings_of_pipeline,
    settings_of_training,
)
from training.interchange.words import read_words
from training.latents import make_codec
from training.model import ModelSettings, check_latents, read_description, stored_space, write_model
from training.settings import TrainingSettings
from training.state import AVERAGED, read_state
from training.text import SmallTextEncoder

CONVERT_TEXTS = ("model", "out")
Layout = Literal["diffusers", "pipeline_unet", "mdsearch"]
UNET, SCHEDULER = "unet", "scheduler"


@dataclass(frozen=True)
class ConvertCommand:
    """The fields of conf/convert.yaml."""

    model: str
    out: str
    to: Layout
    variant: str | None = None
    precision: Literal["fp32", "fp16", "bf16"] | None = None
    size_numbers: int | None = None
    format: Literal["text", "json"] = "text"


@dataclass(frozen=True)
class Source:
    """A network that was read.

    Attributes:
        settings: what a model of ours is beside its weights, as far as the source says it.
        unknown: why there are no settings.
        words: the text encoder that was trained with it.
        pipeline: the folder of diffusers that it is a part of.
        coordinates: whether two of its channels are coordinates.
    """

    path: Path
    unet: UNet
    settings: ModelSettings | None = None
    unknown: str = ""
    words: SmallTextEncoder | None = None
    pipeline: Path | None = None
    coordinates: bool = False

    @property
    def folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent


def main(words: list[str]) -> int:
    command = from_plain(ConvertCommand, compose("convert", as_text(words, CONVERT_TEXTS)))
    told = convert(command)
    if command.format == "json":
        print(json.dumps(told, indent=2))
        return 0
    about = f"{told['parameters']:,} parameters in {told['precision']}"
    print(f"{told['architecture']}: {about}, from {told['from']}")
    for file in told["written"]:
        print(file)
    for note in told["left_out"]:
        print(f"left out: {note}")
    return 0


def convert(command: ConvertCommand) -> dict[str, Any]:
    """Read, write, and say what was done.

    Raises:
        InputError: a model that cannot be read, or that the other side has no layout for; `out` holds files.
    """
    out = free_folder(command.out)
    source = read_source(Path(command.model).expanduser(), command.variant, command.size_numbers)
    if command.precision is not None:
        source.unet.to(PRECISIONS[command.precision])
    with writing_folder(out) as folder:
        left_out = write_source(source, folder, command.to)
        keep_card(source, folder)
    return {
        "architecture": source.unet.architecture.id,
        "parameters": sum(parameter.numel() for parameter in source.unet.parameters()),
        "precision": precision_of(source.unet),
        "from": str(source.path),
        "to": command.to,
        "written": files_in(out),
        "left_out": left_out,
    }


def files_in(out: Path) -> list[str]:
    return [str(path) for path in sorted(out.rglob("*")) if path.is_file()]


def keep_card(source: Source, out: Path) -> None:
    """Of a trained model, beside what becomes of it: it says whom the images are by."""
    if (card := source.folder / CARD_NAME).is_file():
        shutil.copyfile(card, out / CARD_NAME)


def precision_of(unet: UNet) -> str:
    weight = unet.conv_in.weight
    assert isinstance(weight, torch.Tensor)
    return next((name for name, kind in PRECISIONS.items() if kind == weight.dtype), str(weight.dtype))


# ---------------------------------------------------------------------- reading


def read_source(path: Path, variant: str | None = None, size_numbers: int | None = None) -> Source:
    """Raises InputError for what is none of the things that conf/convert.yaml lists."""
    if (path / RECORD_NAME).is_file():
        path = trial_folder(path)
    if (path / MODEL_NAME).is_file():
        return _from_model(path)
    if path.parent.name == STATES_FOLDER and path.suffix == ".json":
        return _from_state(path)
    _check_is_one(path)
    unet = load(path, variant=variant, size_numbers=size_numbers)
    source = Source(path, unet, coordinates=reads_coordinates(path))
    if not (path / PIPELINE_FILE).is_file():
        return replace(source, unknown="scheduler: a network alone says neither noise levels nor prediction")
    try:
        return replace(source, settings=settings_of_pipeline(path, unet.architecture), pipeline=path)
    except InputError as error:
        return replace(source, unknown=str(error), pipeline=path)


def _check_is_one(path: Path) -> None:
    """Something with the configuration of a network, in it or beside it."""
    beside = path.parent if path.is_file() else path
    if not any((folder / CONFIG_FILE).is_file() for folder in (beside, beside / UNET)):
        there = "holds no model" if path.is_dir() else "is no model" if path.exists() else "is not there"
        raise InputError(
            f"model: {str(path)!r} {there}; allowed: a run, a trial's folder, what train wrote, a "
            "states/<step>.json, a pipeline, its unet/, weights beside config.json"
        )


def _from_model(path: Path) -> Source:
    architecture, settings = read_description(path)
    unet = trained_unet(path, architecture)
    words = read_words(path, architecture, settings)
    return Source(path, unet, settings, words=words, coordinates=settings.latents.coordinates)


def _from_state(path: Path) -> Source:
    """The averaged weights of a training state. Beside it lies the architecture at the paper's scale; the
    settings of its run or training say what of that was trained, and how."""
    state, folder = read_state(path), path.parent.parent
    proxy, training = _trained_as(folder)
    architecture = narrow(Architecture.load(folder / ARCHITECTURE_NAME), proxy)
    if (identity := state.plain.get("identity", {}).get("architecture")) != architecture.id:
        raise InputError(f"{path}: is of architecture {identity}, but its folder says {architecture.id}")
    weights = {
        name.removeprefix("unet."): item
        for name, item in state.section(AVERAGED).items()
        if name.startswith("unet.")
    }
    return Source(
        path,
        assign(empty_unet(architecture), weights),
        settings_of_training(training, architecture),
        coordinates=training.latents.coordinates,
    )


def _trained_as(folder: Path) -> tuple[Proxy, TrainingSettings]:
    """Of a trial of a run, or of a folder that `mdsearch train` wrote."""
    run = folder.parent.parent
    if (run / RECORD_NAME).is_file():
        settings = stored_settings(run)
        return settings.proxy, settings.training
    path = folder / CONFIG_NAME
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
        command = from_plain(TrainCommand, fields_of_today(plain, "train"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, InputError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as the settings of a training: {reason}") from None
    return command.proxy, command.training


# ---------------------------------------------------------------------- writing


def write_source(source: Source, out: Path, to: Layout) -> list[str]:
    """Returns what was left out, a line each. Raises InputError where `to` has no layout for it, or its
    autoencoder is another one than it learnt."""
    writes = {
        "diffusers": _write_diffusers,
        "pipeline_unet": _write_pipeline_unet,
        "mdsearch": _write_mdsearch,
    }
    if source.settings is not None and to != "mdsearch":
        check_ddim(source.settings.diffusion)
    if to != "mdsearch" and source.settings is not None and stored_space(source.path) is not None:
        check_latents(source.path, make_codec(source.settings.latents, torch.device("cpu")))
    return writes[to](source, out)


def _write_diffusers(source: Source, out: Path) -> list[str]:
    save_diffusers(source.unet, out / UNET)
    return _write_around(source, out, ("diffusers", "UNet2DConditionModel"))


def _write_pipeline_unet(source: Source, out: Path) -> list[str]:
    save(source.unet, out / UNET, coordinates=source.coordinates)
    return _write_around(source, out, PIPELINE_UNET)


def _write_around(source: Source, out: Path, kind: tuple[str, str]) -> list[str]:
    """What belongs to a pipeline beside its network; what of it there is not, a line each."""
    without_coordinates = source.coordinates and kind != PIPELINE_UNET
    reasons = [WITHOUT_COORDINATES] if without_coordinates else []
    if source.pipeline is not None:
        index = read_plain(source.pipeline / PIPELINE_FILE)
        for name in index.keys() - {UNET}:
            if (source.pipeline / name).is_dir():
                shutil.copytree(source.pipeline / name, out / name)
        if reasons:
            return reasons
    elif source.settings is None:
        return [source.unknown, *reasons]
    elif reasons := not_of_a_pipeline(source.settings, has_words=source.words is not None) + reasons:
        save_scheduler(source.settings, out / SCHEDULER)
        return reasons
    else:
        index = save_parts(source.settings, out, source.words)
    write_whole(out / PIPELINE_FILE, json.dumps(index | {UNET: list(kind)}, indent=2) + "\n")
    return []


def _write_mdsearch(source: Source, out: Path) -> list[str]:
    """A model that generates where the source says all that one needs; else the network alone."""
    architecture, settings = source.unet.architecture, source.settings
    unknown = source.unknown
    if settings is not None and settings.text.encoder == "small" and source.words is None:
        unknown = WITHOUT_WORDS
    if settings is None or unknown:
        save(source.unet, out, coordinates=source.coordinates)
    else:
        parts: dict[str, Mapping[str, torch.Tensor]] = {"unet": source.unet.state_dict()}
        words = {} if source.words is None else {"text": source.words.state_dict()}
        write_model(out, architecture, settings, parts | words, stored_space(source.path))
    write_whole(out / ARCHITECTURE_NAME, architecture.to_yaml())
    if unknown or settings is None or source.pipeline is None:
        return [unknown] if unknown else []
    return not_of_our_sampling(source.pipeline, settings)
