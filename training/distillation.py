"""A trained model that learns to generate in fewer steps: any objective of `conf/objective`, one trainer."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

from space.shared.plain import ByName, InputError
from training.adapters import LORA_FOLDER, has_lora, is_lora, merged, save_lora
from training.data.dataset import Dataset
from training.distributed.ranks import RankGroup
from training.generation.identity import model_identity
from training.initial import check_same, take_weights
from training.model import Model, ModelSettings
from training.objectives.base import TrainingObjective
from training.objectives.student import StudentSettings
from training.settings import TrainingSettings
from training.teachers import load_base, load_teacher
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
        InputError: the model and the objective do not go together.
    """
    own.check(base)
    diffusion, (steps, guidance) = base.diffusion, own.sampled(base)
    if own.zero_terminal_snr is not None:
        try:
            diffusion = replace(diffusion, zero_terminal_snr=own.zero_terminal_snr)
        except InputError as error:
            raise InputError(f"objective.{error}") from None
    if steps > (most := diffusion.timesteps):
        raise InputError(
            f"objective.sampling_steps: {steps} is not possible; allowed: at most {most}, the base's "
            "timesteps"
        )
    return replace(
        training,
        diffusion=diffusion,
        latents=base.latents,
        text=base.text,
        guidance=guidance,
        sampling_steps=steps,
    )


class Distiller(Trainer):
    """Training that begins with the model of a folder, and keeps that folder's digest in its states, as that
    of another one that teaches.

    Raises:
        InputError: the folders hold no models, or such as fit neither each other nor data and objective; as
            `Trainer`.
    """

    command: ClassVar[str] = "distill"

    def __init__(
        self,
        base: Path,
        data: Dataset,
        settings: TrainingSettings,
        own: StudentSettings,
        *,
        seed: int,
        ranks: RankGroup | None = None,
    ) -> None:
        self.own, model = own, load_base(base, own, settings.device)
        teacher, identity = (
            load_teacher(own, model, settings.device),
            {"base": model_identity(base)["digest"]},
        )
        if own.teacher is not None:
            identity["teacher"] = model_identity(own.teacher)["digest"]
        super().__init__(
            replace(model.architecture, guidance_width=own.guidance_width),
            data,
            with_base(settings, model.settings, own),
            seed=seed,
            objective=partial(_objective, base=model, folder=base, teacher=teacher, own=own),
            identity=identity,
            ranks=ranks,
        )
        network = self.averaged.unet.named_parameters()
        self.parameters = sum(parameter.numel() for name, parameter in network if not is_lora(name))

    def save_weights(self, folder: str | Path) -> None:
        """The averaged weights, adapters among them; and the adapters alone."""
        merged(self.averaged).save(folder)
        if has_lora(self.averaged):
            save_lora(self.averaged, self.own.lora, Path(folder) / LORA_FOLDER)


def _objective(
    model: Model,
    data: Dataset,
    settings: TrainingSettings,
    seed: int,
    *,
    base: Model,
    folder: Path,
    teacher: Model,
    own: StudentSettings,
) -> TrainingObjective[Any, Model]:
    check_same(base, model, folder, but_for=["diffusion"])
    take_weights(model, base)
    return own.make(model, data, settings, seed, teacher)
