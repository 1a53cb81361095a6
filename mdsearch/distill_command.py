"""What `mdsearch distill` is to do: its settings, from a command line, a trained model and an earlier one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from conf.compose import compose_and_keep
from conf.repeated import refuse_beside, without
from conf.words import as_text, path_of
from mdsearch.long_training import LongTraining
from mdsearch.train_command import OF_RUN, WORDS, read_kept, trained_as, whole_settings
from space.shared.plain import InputError, from_plain
from training.data.factory import DataSettings
from training.data.scenes import ScenesSettings
from training.distillation import OF_MODEL, DistillationSettings, with_base
from training.files import CONFIG_NAME
from training.model_card import CardSettings
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
        self.check_kept([self.training.steps])
        if self.training.ema_lengths and self.objective.finetune == "lora":
            raise InputError(
                "training.ema_lengths: none are kept beside objective.finetune: lora; allowed: []"
            )

    def folder(self) -> Path:
        name = f"{Path(self.init_from).resolve().name}-{self.objective.name}-seed{self.seed}"
        return Path(self.resume or self.out or f"distilled/{name}")


def distill_command_of(words: list[str]) -> tuple[DistillCommand, list[str]]:
    """From a command line; a resumed distillation starts from its own first words."""
    refuse_beside(words, "resume", ["init_from", "out"], "whose base and folder go on")
    _refuse_decided(words)
    resume, start = (path_of(words, name) for name in ("resume", "init_from"))
    if resume is None:
        if start is None:
            raise InputError("init_from: missing; which trained model is to generate in fewer steps?")
        return _composed(words, trained_as(start), start), words
    before = list(map(str, read_kept(resume, WORDS, list)))
    stored = read_kept(resume, CONFIG_NAME, dict)
    added = [word for word in words if not word.startswith("resume=")]
    start = path_of(before, "init_from")
    if start is None:
        raise InputError(f"resume: {str(resume)!r} is no folder of a distillation (it began with no model)")
    command = _composed(words, stored, start, before, stored.get("presets", {}))
    return command, [*without(before, added), *added]


def of_base(command: DistillCommand) -> dict[str, Any]:
    """The settings that the base was trained with, as far as its folder says them."""
    return {name: value for name, value in trained_as(Path(command.init_from)).items() if name in OF_RUN}


def notes_of(command: DistillCommand, words: Sequence[str]) -> list[str]:
    """What a person should know of what is asked for, in lines."""
    return [*_unlearnt(command), *_off_its_steps(command), *_without_effect(command, words)]


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


def _composed(
    words: list[str],
    stored: Mapping[str, Any],
    start: Path,
    before: Sequence[str] = (),
    kept: Mapping[str, str] = MappingProxyType({}),
) -> DistillCommand:
    base = describe_base(start)
    if "data" not in stored and not any(word.startswith("data=") for word in (*before, *words)):
        raise InputError(
            f"data: {str(start)!r} does not say what it was trained on; needed: data=folder, data=scenes, ..."
        )
    new, earlier = (as_text(each, DISTILL_TEXTS) for each in (words, before))
    of_run = whole_settings({"data": stored["data"]} if "data" in stored else {})
    plain, texts = compose_and_keep("distill", new, before=earlier, stored=of_run, kept=kept)
    command: DistillCommand = from_plain(DistillCommand, plain | {"presets": texts})
    if command.objective.teacher is not None:
        describe_base(Path(command.objective.teacher), TEACHER)
    return replace(command, training=with_base(command.training, base, command.objective))


def _refuse_decided(words: Sequence[str]) -> None:
    for word in words:
        name = word.lstrip("+~").partition("=")[0]
        for decided, by in DECIDED.items():
            if name == decided or name.startswith(f"{decided}."):
                raise InputError(f"{name}: has no effect here, where {by} decides it; leave it out")
