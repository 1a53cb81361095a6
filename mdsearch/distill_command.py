"""What `mdsearch distill` is to do: its settings, from a command line, a trained model and an earlier one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mdsearch.long_training import LongTraining, read_kept
from mdsearch.train_command import OF_RUN, trained_as
from mdsearch.with_a_base import composed_with_base
from space.shared.plain import InputError, from_plain
from training.card_parts import CardSettings
from training.data.factory import DataSettings
from training.data.scenes import ScenesSettings
from training.distillation import OF_MODEL, DistillationSettings, with_base
from training.files import CONFIG_NAME
from training.objectives.ufogen import UfogenSettings
from training.settings import TrainingSettings
from training.teachers import TEACHER, describe_base

DISTILL_TEXTS = (
    "init_from", "out", "resume", "objective.teacher", "data.folder", "data.captions", "data.source",
    "card.licence", "card.data_licence",
)  # fmt: skip
DECIDED = {  # of what training settings say, by what else
    **{f"training.{name}": "init_from" for name in OF_MODEL},
    "training.guidance": "objective",
    "training.sampling_steps": "objective.sampling_steps",
}


@dataclass(frozen=True, kw_only=True)
class DistillCommand(LongTraining):
    """The fields of conf/distill.yaml."""

    init_from: str
    objective: DistillationSettings = field(default_factory=UfogenSettings)
    data: DataSettings = field(default_factory=ScenesSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    scores: bool = False
    card: CardSettings = field(default_factory=CardSettings)

    def __post_init__(self) -> None:
        self.check_counts([self.training.steps])
        if self.training.ema_lengths and self.objective.finetune == "lora":
            raise InputError(
                "training.ema_lengths: none are kept beside objective.finetune: lora; allowed: []"
            )

    def folder(self) -> Path:
        name = f"{Path(self.init_from).resolve().name}-{self.objective.name}-seed{self.seed}"
        return Path(self.resume or self.out or f"distilled/{name}")


def distill_command_of(words: list[str]) -> tuple[DistillCommand, list[str]]:
    """From a command line; a resumed distillation starts from its own first words."""
    asked = "which trained model is to generate in fewer steps?"
    found = composed_with_base("distill", words, DISTILL_TEXTS, DECIDED, "a distillation", asked)
    command: DistillCommand = from_plain(DistillCommand, found.plain)
    if command.objective.teacher is not None:
        describe_base(Path(command.objective.teacher), TEACHER)
    training, own = with_base(command.training, found.base, command.objective), command.objective
    if own.finetune == "lora" and own.lora_learning_rate is not None:
        training = replace(training, learning_rate=own.lora_learning_rate)
    return replace(command, training=training), found.words


def of_base(command: DistillCommand) -> dict[str, Any]:
    """The settings that the base was trained with, as far as its folder says them."""
    return {name: value for name, value in trained_as(Path(command.init_from)).items() if name in OF_RUN}


def notes_of(command: DistillCommand, words: Sequence[str]) -> list[str]:
    """What a person should know of what is asked for, in lines."""
    alone = [f"note: {line}" for line in command.without_effect_alone(command.workers)]
    return [*_unlearnt(command), *_off_its_steps(command), *_without_effect(command, words), *alone]


def _unlearnt(command: DistillCommand) -> Iterator[str]:
    """What guidance needs, and neither model has seen."""
    own, training = command.objective, command.training
    dropout = of_base(command).get("training", {}).get("caption_dropout")
    if own.guides and dropout == 0:
        yield (
            f"warning: {command.init_from} was trained without caption_dropout, so guidance, from which "
            f"objective={own.name} learns, means nothing to it"
        )
    elif dropout and not training.caption_dropout and training.guidance != 1 and not own.guidance_width:
        yield (
            f"warning: training.caption_dropout is 0 ({command.init_from}: {dropout:g}), but what generates "
            f"with guidance {training.guidance:g} needs the empty caption, too"
        )


def _off_its_steps(command: DistillCommand) -> Iterator[str]:
    """A teacher that was made for fewer steps is no teacher of more."""
    asked = getattr(command.objective, "teacher_steps", None)
    folder = Path(command.objective.teacher or command.init_from)
    if asked is None or not (folder / CONFIG_NAME).is_file():
        return
    before = read_kept(folder, CONFIG_NAME, dict, TEACHER).get("objective")
    learnt = before.get("sampling_steps") if isinstance(before, dict) else None
    if learnt is not None and learnt != asked:
        yield (
            f"warning: {folder} has learnt to generate in {learnt} steps; objective.teacher_steps is {asked}"
        )


def _without_effect(command: DistillCommand, words: Sequence[str]) -> Iterator[str]:
    for name in (word.lstrip("+~").partition("=")[0] for word in words):
        for field_name, beside in command.objective.without_effect().items():
            if f"{name}.".startswith(f"objective.{field_name}."):
                yield f"note: {name} has no effect beside objective.{beside}"
