"""What `mdsearch train` is to do: its settings, from a command line and from what an earlier one stored."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch

from conf.compose import compose_and_keep
from conf.repeated import refuse_beside, without
from conf.words import as_lists, as_text, path_of
from mdsearch.long_training import WORDS, LongTraining, read_kept
from space.architecture import Architecture
from space.proxy import Proxy, narrow
from space.shared.command_lines import setting_word
from space.shared.plain import InputError, from_plain, to_plain
from training.card_parts import CardSettings
from training.data.factory import DataSettings
from training.data.scenes import ScenesSettings
from training.figures import check_figures
from training.files import ARCHITECTURE_NAME, CONFIG_NAME
from training.latents import make_codec
from training.logs.trackers import TrackerName
from training.settings import TrainingSettings, idle_settings
from training.stages import StageSettings

TRAIN_TEXTS = (
    "arch_file", "run", "out", "resume", "init_from", "data.folder", "data.captions", "data.source",
    "card.licence", "card.data_licence",
)  # fmt: skip
OF_RUN = ("proxy", "data", "training")
CPU = torch.device("cpu")
STEPS = {"steps": None}  # of a training; they do not tell one from another


@dataclass(frozen=True)
class TrainedStage:
    """Which steps are trained how, on what."""

    training: TrainingSettings
    data: DataSettings
    until: int


@dataclass(frozen=True, kw_only=True)
class TrainCommand(LongTraining):
    """The fields of conf/train.yaml."""

    arch: Architecture
    proxy: Proxy = field(default_factory=Proxy)
    data: DataSettings = field(default_factory=ScenesSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    arch_file: str | None = None
    init_from: str | None = None
    attention: Literal["softmax", "relu"] | None = None
    stages: tuple[StageSettings, ...] = ()
    scores: bool = False
    run: str | None = None
    dry_run: bool = False
    throughput: float | None = None
    accelerators: int | None = None
    expected_images: tuple[int, ...] = ()
    format: Literal["text", "json"] = "text"
    logger: tuple[TrackerName, ...] = ()
    card: CardSettings = field(default_factory=CardSettings)

    def __post_init__(self) -> None:
        fewest = min(self.expected_images, default=None)
        check_figures(self.throughput, accelerators=self.accelerators, expected_images=fewest)
        if self.format != "text" and not self.dry_run:
            raise InputError(f"format: {self.format!r} is of a plan; allowed: text, or beside dry_run=true")
        ends = [stage.until for stage in self.all_stages()]
        if len(self.expected_images) not in (0, 1, len(ends)):
            raise InputError(
                f"expected_images: {len(self.expected_images)} of them; allowed: none, one, or one for "
                f"each of {len(ends)} stages"
            )
        self.check_counts(ends)

    def architecture(self) -> Architecture:
        """At the paper's scale."""
        chosen = self.arch if self.arch_file is None else Architecture.load(self.arch_file)
        return chosen if self.attention is None else replace(chosen, attention=self.attention)

    def all_stages(self) -> list[TrainedStage]:
        """One after the other; a training without any is one itself."""
        if not self.stages:
            return [TrainedStage(self.training, self.data, self.training.steps)]
        steps, made, until = sum(stage.steps for stage in self.stages), list[TrainedStage](), 0
        for stage in self.stages:
            until += stage.steps
            batch_size = stage.batch_size or self.training.batch_size
            training = replace(self.training, steps=steps, batch_size=batch_size)
            data = replace(self.data, image_size_px=stage.image_size_px)
            made.append(TrainedStage(training, data, until))
        return made

    def protocol(self, step: int) -> str:
        """How the weights at a step came to be, for a card: with what they began, and the steps of each
        stage."""
        done, parts = 0, list[str]()
        for stage in self.all_stages():
            steps, done = min(stage.until, step) - done, min(stage.until, step)
            if steps or not parts:
                size = f" of {stage.data.image_size_px} px" if self.stages else ""
                parts.append(f"{steps:,} steps of {stage.training.batch_size:,} images{size}")
        begun = "" if self.init_from is None else f"begun with {Path(self.init_from).resolve().name}: "
        return begun + ", then ".join(parts)

    def narrowed(self, stage: TrainedStage, factor: int | None = None) -> Architecture:
        """As a stage trains it: for latents of its images' size, which are `factor` times larger; None: as
        the codec has it. Raises InputError where none are."""
        architecture = narrow(self.architecture(), self.proxy)
        if not self.stages:
            return architecture
        factor = factor or make_codec(self.training.latents, CPU).factor
        size = stage.data.image_size_px
        if size % factor:
            raise InputError(
                f"stages: image_size_px: {size} is no multiple of {factor}, the pixels of a latent pixel"
            )
        return replace(architecture, latent_size=size // factor)

    @property
    def together(self) -> int:
        """How many accelerators train, in a plan."""
        return self.accelerators or self.workers

    def idle(self) -> list[str]:
        """A line for each setting that changes nothing, or does not come to what it says."""
        training, steps = self.training, self.all_stages()[-1].until
        lines = idle_settings(training)
        if training.warmup_steps > steps:
            lines.append(
                f"training.warmup_steps={training.warmup_steps} of {steps} steps: the learning rate never is "
                f"{training.learning_rate:g}"
            )
        return [*lines, *self.without_effect_alone(self.together)]

    def expected(self, place: int) -> int | None:
        """How many images a stage is said to have, by its number."""
        told = self.expected_images
        return told[place if len(told) > 1 else 0] if told else None

    def folder(self) -> Path:
        of_run = "" if self.run is None else f"{Path(self.run).resolve().name}-"
        return Path(self.resume or self.out or f"trained/{of_run}{self.architecture().id}-seed{self.seed}")


def command_of(words: list[str]) -> tuple[TrainCommand, list[str]]:
    """From a command line; a resumed training starts from its own first words."""
    refuse_beside(words, "arch_file", ["arch"], "which is an architecture itself")
    refuse_beside(words, "resume", ["arch", "arch_file", "out", "run"], "whose folder and architecture go on")
    refuse_beside(words, "init_from", ["run"], "whose settings the training goes on with")
    resume, run, start = (path_of(words, name) for name in ("resume", "run", "init_from"))
    if resume is None:
        command = _composed(words, whole_settings(_trained_with(run) or trained_as(start)))
        _note_other_settings(command, words)
        return command, words
    before = list(map(str, read_kept(resume, WORDS, list)))
    added = [word for word in words if not word.startswith("resume=")]
    merged = [*without(before, added), *added]
    stored = read_kept(resume, CONFIG_NAME, dict) if (resume / CONFIG_NAME).is_file() else {}
    from_run = OF_RUN if path_of(merged, "run") or path_of(merged, "init_from") else ()  # may be gone
    of_run = whole_settings({name: stored[name] for name in from_run if name in stored})
    resumed = _composed(words, of_run, before, stored.get("presets", {}))
    return replace(resumed, arch_file=str(resume / ARCHITECTURE_NAME)), merged


def _composed(
    words: list[str],
    of_run: Mapping[str, Any],
    before: Sequence[str] = (),
    kept: Mapping[str, str] = MappingProxyType({}),
) -> TrainCommand:
    new, earlier = (as_text(as_lists(each, ["logger"]), TRAIN_TEXTS) for each in (words, before))
    plain, texts = compose_and_keep("train", new, before=earlier, stored=of_run, kept=kept)
    command: TrainCommand = from_plain(TrainCommand, plain | {"presets": texts})
    if command.resume is not None or any(word.startswith("arch") for word in words):
        return command
    if command.init_from is not None:
        file = Path(command.init_from) / ARCHITECTURE_NAME
        return replace(command, arch_file=str(file)) if file.is_file() else command
    if command.run is None:
        return command
    from search.runs.folder import winner_of

    return replace(command, arch_file=str(winner_of(Path(command.run))))


def _trained_with(run: Path | None) -> dict[str, Any]:
    if run is None:
        return {}
    from search.runs.folder import trained_with

    return trained_with(run)


def trained_as(model: Path | None) -> dict[str, Any]:
    """The settings of a trained model, by its run or its own training; empty where there are none."""
    if model is None:
        return {}
    from search.runs.folder import run_around, trained_with

    run = run_around(model / ARCHITECTURE_NAME)
    if run is not None:
        return trained_with(run)
    if not (model / CONFIG_NAME).is_file():
        return {}
    stored = read_kept(model, CONFIG_NAME, dict, "init_from")
    return {name: stored[name] for name in OF_RUN if name in stored}


def whole_settings(stored: dict[str, Any]) -> dict[str, Any]:
    """With the fields that are stored only where they differ: words may set them."""
    kinds: dict[str, Any] = {"training": TrainingSettings, "data": DataSettings}
    read = {name: from_plain(kinds[name], stored[name], name) for name in kinds if name in stored}
    return stored | {name: to_plain(value, all_fields=True) for name, value in read.items()}


def _note_other_settings(command: TrainCommand, words: list[str]) -> None:
    """A winner alone does not bring along what its search trained with."""
    if command.run is not None or command.arch_file is None or command.init_from is not None:
        return
    from search.runs.folder import run_around, trained_with

    run = run_around(Path(command.arch_file))
    if run is None:
        return
    now, left = to_plain(command), [name for name in OF_RUN if not any(w.startswith(name) for w in words)]
    others = [name for name in left if now[name] | STEPS != trained_with(run)[name] | STEPS]
    if others:
        take = setting_word("run", run)
        print(f"note: {run} had other settings of {', '.join(others)}; {take} takes them", file=sys.stderr)
