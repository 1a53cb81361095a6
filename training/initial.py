"""What a training begins with in place of random weights: those of a trained model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from space.difference import difference_in_a_line
from space.shared.plain import InputError
from training.frozen_folders import frozen_digest
from training.latents import check_space, latent_space
from training.model import Model, ModelSettings, load_model
from training.trainer import Trainer

# What reads a folder, by which choice.
FROM_FOLDER = {"latents": ("codec", "vae"), "text": ("encoder", "clip")}


def begin_with(trainer: Trainer, folder: Path) -> Model:
    """Give a trainer, and its average, the weights of a model; returns the model as it was.

    How keys are weighed may be another: relu in place of softmax, say (section 3.2 of the paper).

    Raises:
        InputError: the folder holds no model, or weights that mean something else here.
    """
    model, own = load_model(folder, trainer.settings.device, "init_from"), trainer.objective.model
    check_same(model, own, folder)
    for made in (own, trainer.averaged):
        take_weights(made, model)
    return model


def check_same(model: Model, own: Model, folder: Path, *, but_for: Collection[str] = ()) -> None:
    """That weights of a model, from its folder, mean the same in another one.

    Raises:
        InputError: they do not.
    """
    width, own_width = (each.architecture.guidance_width for each in (model, own))
    if width and width != own_width:
        raise InputError(
            f"init_from: {folder} is told a guidance scale (guidance_width: {width}), which this training "
            f"has no place for ({own_width}); allowed: a model that is told none"
        )
    before = replace(
        model.architecture,
        attention=own.architecture.attention,
        latent_size=own.architecture.latent_size,
        guidance_width=own_width,
    )
    if before != own.architecture:
        found = difference_in_a_line(before, own.architecture)
        raise InputError(f"init_from: {folder} is of another architecture: {found}; allowed: other attention")
    check_space(latent_space(model.codec), own.codec, f"init_from: {folder} was trained on other latents")
    for name in ("latents", "text", "diffusion", "vocabulary"):
        theirs, ours = (meant(each.settings, name) for each in (model, own))
        if theirs != ours and name not in but_for:
            raise InputError(
                f"init_from: {folder} was trained with other training.{name}"
                if name != "vocabulary"
                else f"init_from: {folder} knows other words than these captions have"
            )


def take_weights(own: Model, model: Model) -> None:
    """Give a model those of another one; a guidance embedding that it has alone starts without effect."""
    unet = own.unet
    if isinstance(unet.guidance, nn.Linear) and not model.architecture.guidance_width:
        nn.init.zeros_(unet.guidance.weight)
    for name, part in model.saved_parts().items():
        new = {f"guidance.{key}": value for key, value in _guidance(own).items()} if name == "unet" else {}
        own.saved_parts()[name].load_state_dict({**new, **part.state_dict()})


def _guidance(model: Model) -> dict[str, Tensor]:
    layer = model.unet.guidance
    return layer.state_dict() if isinstance(layer, nn.Module) else {}


def meant(settings: ModelSettings, name: str) -> object:
    """What a setting of a model means: of a folder, what lies in it, wherever that is.

    Raises:
        InputError: the folder cannot be read.
    """
    value = getattr(settings, name)
    if name not in FROM_FOLDER:
        return value
    field, choice = FROM_FOLDER[name]
    if getattr(value, field) != choice:
        return replace(value, folder=None)
    return replace(value, folder=frozen_digest(f"{name}.folder", value.folder))
