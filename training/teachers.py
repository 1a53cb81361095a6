"""The trained models of a distillation: the base that it begins with, and the one that teaches."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path

import torch

from space.interchange.checkpoints import PIPELINE_FILE
from space.shared.command_lines import command_line
from space.shared.plain import InputError
from training.files import MODEL_NAME
from training.initial import meant
from training.model import Model, ModelSettings, load_model, read_description
from training.objectives.student import StudentSettings

TEACHER = "objective.teacher"
IN_COMMON = ("image_size_px", "latents", "text", "vocabulary", "diffusion")  # by teacher and student
OWN_CHOICES = ("zero_terminal_snr", "min_snr_gamma")  # of the diffusion, which a student has its own of


def load_base(folder: Path, own: StudentSettings, device: str) -> Model:
    """Raises InputError as `describe_base`, or for weights that don't fit, or a model that is told a guidance
    scale, where the student is not, or in another width."""
    describe_base(folder)
    base = load_model(folder, device)
    width = base.architecture.guidance_width
    if width and width != own.guidance_width:
        raise InputError(
            f"init_from: {str(folder)!r} is told a guidance scale (guidance_width: {width}), which "
            f"objective={own.name} as it stands has no place for ({own.guidance_width}); needed: "
            f"objective.w_conditioned=true objective.embedding_width={width} (steps, lcm), or a model that "
            "is told none"
        )
    return base


def describe_base(folder: Path, where: str = "init_from") -> ModelSettings:
    """Raises InputError where a folder holds no diffusion model of ours; `where` it is named."""
    if (folder / PIPELINE_FILE).is_file() and not (folder / MODEL_NAME).is_file():
        raise InputError(
            f"{where}: {str(folder)!r} is a pipeline of diffusers; needed: a model of ours, as "
            f"{command_line('convert', model=folder, to='mdsearch', out='base')} makes of it"
        )
    _, settings = read_description(folder, where)
    if settings.one_step:
        raise InputError(
            f"{where}: {str(folder)!r} generates in one step already; needed: a diffusion model, such as "
            "the one that it was distilled from"
        )
    return settings


def load_teacher(own: StudentSettings, base: Model, device: str) -> Model:
    """The one that `own` names, if it has an effect; else the base.

    Raises:
        InputError: it teaches nothing that a student of this base could learn.
    """
    if own.teacher is None or "teacher" in own.without_effect():
        return base
    describe_base(Path(own.teacher), TEACHER)
    teacher = load_model(own.teacher, device)
    _check_shared(teacher, base, own.teacher)
    if teacher.architecture.guidance_width and not own.always_guides:
        raise InputError(
            f"{TEACHER}: {own.teacher!r} is told a guidance scale, and objective={own.name} as it stands "
            "asks for predictions without; needed: objective.w_conditioned=true (steps), or another teacher"
        )
    return teacher


def _check_shared(teacher: Model, base: Model, folder: str) -> None:
    """Latents, noise levels and text features are the student's."""
    for name in IN_COMMON:
        theirs, ours = (meant(model.settings, name) for model in (teacher, base))
        if others := _others(name, theirs, ours):
            raise InputError(
                f"{TEACHER}: {folder!r} has other {name} than init_from: {others}; needed: the same"
            )
    if teacher.text is None or base.text is None:
        return
    own = base.text.state_dict()
    if any(not torch.equal(tensor, own[key]) for key, tensor in teacher.text.state_dict().items()):
        raise InputError(
            f"{TEACHER}: {folder!r} reads captions by a text encoder that it was trained with, other than "
            "that of init_from; needed: a model distilled from the same one, or a frozen encoder "
            "(training.text.encoder=clip) of both"
        )


def _others(name: str, theirs: object, ours: object) -> str:
    """What differs, in words; empty: nothing."""
    if not is_dataclass(theirs):
        different = "other words" if name == "vocabulary" else f"{theirs} (here {ours})"
        return "" if theirs == ours else different
    each = {field.name: (getattr(theirs, field.name), getattr(ours, field.name)) for field in fields(theirs)}
    return ", ".join(
        f"{key} {one} (here {other})"
        for key, (one, other) in each.items()
        if one != other and key not in OWN_CHOICES
    )
