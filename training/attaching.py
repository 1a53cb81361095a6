"""An adapter with a model that it was not trained with, but that is of the same network: as one pipeline.

The model is the adapter's base, or one that was distilled from it, of which nothing is trained again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from space.architecture import Architecture
from space.difference import difference_in_a_line
from space.interchange.checkpoints import PIPELINE_FILE, PIPELINE_UNET, empty_unet, save
from space.interchange.controlnet_files import PIPELINE_CONTROLNET, STOCK_CONTROLNET
from space.interchange.inpainting import carried_to
from space.interchange.weight_files import CONFIG_FILE, read_plain
from space.shared.files import write_whole
from space.shared.outputs import writing_folder
from space.shared.plain import InputError, to_plain
from space.unet import UNet
from training.adapting import AdapterRecord, latents_of, read_record, reader_of
from training.files import CARD_NAME
from training.handing_over import trained_unet
from training.interchange.pipelines import not_of_a_pipeline, save_parts
from training.interchange.words import read_words
from training.latents import make_codec
from training.model import ModelSettings, read_description
from training.teachers import OWN_CHOICES

ADAPTER_CARD = "adapter.md"  # beside that of the model
Attached = tuple[UNet, str, dict[str, Any]]  # network, class of the pipeline, what its index says beside


def attach(model: Path, adapter: Path, out: Path) -> str:
    """Write a pipeline of diffusers to a new folder; returns its class.

    Raises:
        InputError: the adapter is of another architecture or latent space, or the model is none for a
            pipeline, or it cannot be written.
    """
    architecture, settings = read_description(model)
    record = read_record(adapter)
    check_belongs(record, architecture, settings)
    words = read_words(model, architecture, settings)
    if reasons := not_of_a_pipeline(settings, has_words=words is not None):
        raise InputError(f"model: {'; '.join(reasons)}")
    unet, coordinates = trained_unet(model, architecture), settings.latents.coordinates
    with writing_folder(out) as own:
        index = save_parts(settings, own, words)
        unet, kind, more = _KINDS[record.adapter](unet, adapter / record.adapter, own)
        save(unet, own / "unet", coordinates=coordinates)
        index |= {"_class_name": kind, "unet": list(PIPELINE_UNET)} | more
        index = {name: value for name, value in index.items() if value is not None}
        if (model / CARD_NAME).is_file():  # it says whom the images are by
            shutil.copyfile(model / CARD_NAME, own / CARD_NAME)
        if (adapter / CARD_NAME).is_file():
            shutil.copyfile(adapter / CARD_NAME, own / ADAPTER_CARD)
        write_whole(own / PIPELINE_FILE, json.dumps(index, indent=2) + "\n")
    return kind


def check_belongs(record: AdapterRecord, architecture: Architecture, settings: ModelSettings) -> None:
    """Raises InputError, naming what of the latents, or which layer first, is another than the adapter's."""
    ours = latents_of(settings.latents, make_codec(settings.latents, torch.device("cpu")))
    for name in ours:
        if (there := record.latents.get(name)) != ours[name]:
            raise InputError(
                f"adapter: is for another latent space: latents.{name} {there!r} there, {ours[name]!r} in "
                "the model"
            )
    process: dict[str, Any] = to_plain(settings.diffusion, all_fields=True)
    for name, value in (record.diffusion or {}).items():
        if name not in OWN_CHOICES and process.get(name) != value:
            raise InputError(
                f"adapter: is for another diffusion: diffusion.{name} {value!r} there, {process.get(name)!r} "
                "in the model"
            )
    before = replace(
        record.architecture,
        latent_size=architecture.latent_size,
        guidance_width=architecture.guidance_width,
    )
    if before.id == architecture.id:
        return
    none: tuple[str, list[int]] = ("no layer", [])
    for one, other in zip_longest(_layers(before), _layers(architecture), fillvalue=none):
        if one != other:
            raise InputError(
                f"adapter: is for another architecture: first {one[0]} {one[1]} there, {other[0]} {other[1]} "
                "in the model"
            )
    raise InputError(
        f"adapter: is for another architecture: {difference_in_a_line(before, architecture)} in the model"
    )


def unknown_reader(record: AdapterRecord, model: Path, settings: ModelSettings) -> str | None:
    """What to say of a model that reads captions otherwise than the one that the adapter was trained with."""
    if record.reader in (None, reader_of(model, settings)):
        return None
    return (
        f"warning: {model} is neither the model that the adapter was trained with nor distilled from it: it "
        "reads captions by another text encoder"
    )


def _layers(architecture: Architecture) -> Iterator[tuple[str, list[int]]]:
    for name, tensor in empty_unet(architecture).state_dict().items():
        yield name, list(tensor.shape)


# ---------------------------------------------------------------------- kinds


def _controlnet(unet: UNet, adapter: Path, out: Path) -> Attached:
    kind = _class_of(adapter, STOCK_CONTROLNET, PIPELINE_CONTROLNET)
    shutil.copytree(adapter, out / "controlnet")
    return unet, "StableDiffusionControlNetPipeline", {"controlnet": kind}


def _t2i(unet: UNet, adapter: Path, out: Path) -> Attached:
    from space.interchange.t2i_adapter import PIPELINE_T2I, STOCK_T2I

    kind = _class_of(adapter, STOCK_T2I, PIPELINE_T2I)
    shutil.copytree(adapter, out / "adapter")
    return unet, "StableDiffusionAdapterPipeline", {"adapter": kind, "image_encoder": None}  # it has none


def _inpainting(unet: UNet, adapter: Path, out: Path) -> Attached:
    return carried_to(unet, adapter), "StableDiffusionInpaintPipeline", {}


def _lora(unet: UNet, adapter: Path, out: Path) -> Attached:
    from space.interchange.pipeline_unet import PipelineUNet

    wrapper = PipelineUNet.wrapping(unet)
    wrapper.load_lora_adapter(str(adapter))
    wrapper.fuse_lora()
    wrapper.unload_lora()
    return unet, "StableDiffusionPipeline", {}


_KINDS: dict[str, Callable[[UNet, Path, Path], Attached]] = {
    "controlnet": _controlnet,
    "inpainting": _inpainting,
    "lora": _lora,
    "t2i": _t2i,
}


def _class_of(folder: Path, *kinds: tuple[str, str]) -> list[str]:
    """Module and class by which a pipeline's index names what lies in a folder."""
    name = read_plain(folder / CONFIG_FILE).get("_class_name")
    for kind in kinds:
        if kind[1] == name:
            return list(kind)
    raise InputError(f"{folder / CONFIG_FILE}: _class_name: {name!r} is no adapter's")
