"""A trained model that learns to generate in fewer steps: any objective of `conf/objective`, one trainer."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

from space.interchange.checkpoints import PIPELINE_FILE
from space.shared.command_lines import command_line
from space.shared.plain import ByName, InputError
from training.adapters import LORA_FOLDER, has_lora, is_lora, merged, save_lora
from training.data.dataset import Dataset
from training.files import MODEL_NAME
from training.generation.identity import model_identity
from training.initial import check_same, take_weights
from training.model import Model, ModelSettings, load_model, read_description
from training.objectives.base import TrainingObjective
from training.objectives.student import StudentSettings
from training.settings import TrainingSettings
from training.trainer import Trainer

OBJECTIVES = {
    "lcm": "training.objectives.lcm:LcmSettings",
    "steps": "training.objectives.steps:StepsSettings",
    "ufogen": "training.objectives.ufogen:UfogenSettings",
}
DistillationSettings = Annotated[StudentSettings, ByName(OBJECTIVES)]
"""The settings of any of them: a field of this type is read by its `name`."""
OF_MODEL = ("diffusion", "latents", "text")


def with_base(training: TrainingSettings, base: ModelSettings, own: StudentSettings) -> TrainingSettings:
    """Settings of a training that begins with a model: noise, latents and text are the model's, and how it
    generates is what the objective makes of it.

    Raises:
        InputError: the model's noise levels and the objective's do not go together.
    """
    diffusion, (steps, guidance) = base.diffusion, own.sampled(base)
    if own.zero_terminal_snr is not None:
        diffusion = replace(diffusion, zero_terminal_snr=own.zero_terminal_snr)
    return replace(
        training,
        diffusion=diffusion,
        latents=base.latents,
        text=base.text,
        guidance=guidance,
        sampling_steps=steps,
    )


class Distiller(Trainer):
    """Training that begins with the model of a folder, and keeps that folder's digest in its states.

    Raises:
        InputError: the folder holds no model, or one that does not fit the data; as `Trainer`.
    """

    command: ClassVar[str] = "distill"

    def __init__(
        self, base: Path, data: Dataset, settings: TrainingSettings, own: StudentSettings, *, seed: int
    ) -> None:
        self.own, model = own, load_base(base, settings.device)
        super().__init__(
            replace(
                model.architecture, guidance_width=own.guidance_width or model.architecture.guidance_width
            ),
            data,
            with_base(settings, model.settings, own),
            seed=seed,
            objective=partial(_objective, base=model, folder=base, own=own),
            identity={"base": model_identity(base)["digest"]},
        )
        network = self.averaged.unet.named_parameters()
        self.parameters = sum(parameter.numel() for name, parameter in network if not is_lora(name))

    def save_weights(self, folder: str | Path) -> None:
        """The averaged weights, adapters among them; and the adapters alone."""
        merged(self.averaged).save(folder)
        if has_lora(self.averaged):
            save_lora(self.averaged, self.own.lora, Path(folder) / LORA_FOLDER)


def load_base(folder: Path, device: str) -> Model:
    """Raises InputError as `describe_base`, or where weights don't fit."""
    describe_base(folder)
    return load_model(folder, device)


def describe_base(folder: Path) -> ModelSettings:
    """Raises InputError where a folder holds no diffusion model of ours."""
    if (folder / PIPELINE_FILE).is_file() and not (folder / MODEL_NAME).is_file():
        raise InputError(
            f"init_from: {str(folder)!r} is a pipeline of diffusers; needed: a model of ours, as "
            f"{command_line('convert', model=folder, to='mdsearch', out='base')} makes of it"
        )
    try:
        _, settings = read_description(folder)
    except InputError as error:
        raise InputError(f"init_from: {error}") from None
    if settings.one_step:
        raise InputError(
            f"init_from: {str(folder)!r} generates in one step already; needed: a diffusion model, such as "
            "the one that it was distilled from"
        )
    return settings


def _objective(
    model: Model,
    data: Dataset,
    settings: TrainingSettings,
    seed: int,
    *,
    base: Model,
    folder: Path,
    own: StudentSettings,
) -> TrainingObjective[Any, Model]:
    check_same(base, model, folder, but_for=["diffusion"])
    take_weights(model, base)
    return own.make(model, data, settings, seed, base)
