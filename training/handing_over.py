"""A trained model as a folder for anybody: a diffusers pipeline, its samples, and a card that tells of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from space.architecture import Architecture
from space.interchange.checkpoints import PIPELINE_FILE, PIPELINE_UNET, assign, empty_unet, save
from space.interchange.weight_files import read_tensors
from space.shared.files import making_folder, write_whole
from space.shared.plain import InputError
from space.unet import UNet
from training.files import ARCHITECTURE_NAME, CARD_NAME, PIPELINE_FOLDER, SAMPLES_NAME
from training.interchange.pipelines import not_of_a_pipeline, save_parts
from training.interchange.words import read_words
from training.model import read_description
from training.model_card import Card, card_text


def hand_over(folder: Path, card: Card) -> list[str]:
    """Write `PIPELINE_FOLDER` and the card of a trained model's folder anew.

    Returns:
        Why there is no pipeline, a line each; none: there is one.

    Raises:
        OSError: it cannot be written.
    """
    withdraw(folder)
    reasons = _write_pipeline(folder, card)
    write_whole(folder / CARD_NAME, card_text(card, folder, is_pipeline=False))
    return reasons


def withdraw(folder: Path) -> None:
    """Remove what was handed over of other weights than those that the folder holds now."""
    shutil.rmtree(folder / PIPELINE_FOLDER, ignore_errors=True)


def _write_pipeline(folder: Path, card: Card) -> list[str]:
    architecture, settings = read_description(folder)
    words = read_words(folder, architecture, settings)
    if reasons := not_of_a_pipeline(settings, has_words=words is not None):
        return reasons
    try:
        with making_folder(folder / PIPELINE_FOLDER) as own:
            own.mkdir()
            unet = trained_unet(folder, architecture)
            index = save_parts(settings, own, words)
            save(unet, own / "unet", coordinates=settings.latents.coordinates)
            for name in (SAMPLES_NAME, ARCHITECTURE_NAME):
                if (folder / name).is_file():
                    shutil.copyfile(folder / name, own / name)
            write_whole(own / CARD_NAME, card_text(card, folder, is_pipeline=True))
            index["unet"] = list(PIPELINE_UNET)
            write_whole(own / PIPELINE_FILE, json.dumps(index, indent=2) + "\n")
    except InputError as error:  # what it predicts is nothing that diffusers' schedulers step by, say
        return [str(error)]
    return []


def trained_unet(folder: Path, architecture: Architecture) -> UNet:
    """The network of a trained model's folder. Raises InputError where its weights cannot be read, or are
    another one's."""
    return assign(empty_unet(architecture), read_tensors(folder / "unet.safetensors"))
