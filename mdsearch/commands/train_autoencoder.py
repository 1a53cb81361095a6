"""`mdsearch train autoencoder`: images to latents and back, trained in a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from conf.compose import compose_and_keep
from conf.repeated import refuse_beside, without
from conf.words import as_entries, as_text, first_line, path_of
from evaluators.networks.perceptual import PerceptualName, check_files, perceptual_network
from evaluators.networks.weights import WeightsSettings
from mdsearch.long_training import (
    LongTraining,
    check_ahead,
    check_alone,
    held,
    interruption,
    refuse_other_settings,
)
from mdsearch.progress import training_progress
from mdsearch.train_command import WORDS
from space.autoencoder import Autoencoder
from space.interchange.autoencoder_files import StoredAutoencoder, read_autoencoder
from space.interchange.weight_files import CONFIG_FILE
from space.shared.command_lines import command_line
from space.shared.files import write_whole
from space.shared.plain import InputError, from_plain, to_plain
from space.shared.retries import StorageAway
from training.autoencoder import AUTOENCODER_RECORD, AutoencoderTrainer
from training.data.factory import DataSettings, load_data
from training.data.scenes import ScenesSettings
from training.devices import choose_device
from training.failures import Diverged
from training.files import CONFIG_NAME, has_states
from training.objectives.reconstruction import ReconstructionSettings
from training.run import TrainingRun

AUTOENCODER_TEXTS = (
    "out", "resume", "init_from", "data.folder", "data.captions", "data.source", "weights.cache_folder",
)  # fmt: skip
WEIGHTS_FILES, DESCRIPTION = "weights.files", "autoencoder.yaml"


@dataclass(frozen=True, kw_only=True)
class AutoencoderCommand(LongTraining):
    """The fields of conf/train_autoencoder.yaml."""

    autoencoder: Autoencoder
    data: DataSettings = field(default_factory=ScenesSettings)
    reconstruction: ReconstructionSettings = field(default_factory=ReconstructionSettings)
    perceptual: PerceptualName = "random"
    init_from: str | None = None
    images: int = 16
    weights: WeightsSettings = field(default_factory=WeightsSettings)

    def __post_init__(self) -> None:
        self.check_kept([self.reconstruction.steps])

    def folder(self) -> Path:
        return Path(self.resume or self.out or f"trained/{self.autoencoder.id}-seed{self.seed}")


def autoencoder_command(words: list[str]) -> tuple[AutoencoderCommand, list[str]]:
    """From a command line; a resumed training starts from its own first words."""
    refuse_beside(words, "resume", ["autoencoder", "out", "init_from"], "whose folder and autoencoder go on")
    resume = path_of(words, "resume")
    before: list[str] = []
    kept: Mapping[str, str] = {}
    if resume is not None:
        before = list(map(str, _read(resume / WORDS, list)))
        kept = _read(resume / CONFIG_NAME, dict).get("presets", {})
    new, earlier = (as_entries(as_text(each, AUTOENCODER_TEXTS), WEIGHTS_FILES) for each in (words, before))
    plain, texts = compose_and_keep("train_autoencoder", new, before=earlier, kept=kept)
    command: AutoencoderCommand = from_plain(AutoencoderCommand, plain | {"presets": texts})
    added = [word for word in words if not word.startswith("resume=")]
    return command, [*without(before, added), *added]


def _read(path: Path, kind: type, word: str = "resume") -> Any:
    none = f"{word}: {str(path.parent)!r} is no folder of an autoencoder's training"
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{none} ({first_line(error)})") from None
    if not isinstance(plain, kind):
        raise InputError(f"{none} ({path.name} holds something else)")
    return plain


def make_trainer(command: AutoencoderCommand) -> AutoencoderTrainer:
    """Raises InputError where autoencoder, data, networks and the weights to begin with do not fit."""
    data, settings = load_data(command.data), command.reconstruction
    for line in data.notes():
        print(line)
    device = str(choose_device(settings.device))
    judged = settings.adversarial
    if judged.kind != "none" and judged.from_step >= settings.steps:
        print(
            f"note: reconstruction.adversarial.from_step is {judged.from_step}: in {settings.steps} steps "
            "no discriminator judges"
        )
    is_asked = command.perceptual != "none" and settings.perceptual > 0
    check_files(command.weights, [command.perceptual] if is_asked else [])
    network = perceptual_network(command.perceptual, command.weights, device) if is_asked else None
    begin = command.folder() if _has_weights(command) else command.init_from and Path(command.init_from)
    trainer = AutoencoderTrainer(
        command.autoencoder,
        data,
        settings,
        seed=command.seed,
        perceptual=network,
        start=_start(begin) if begin else None,
    )
    trainer.say = print
    return trainer


def _start(folder: Path) -> StoredAutoencoder:
    try:
        return read_autoencoder(folder.expanduser())
    except InputError as error:
        raise InputError(f"init_from: {error}") from None


def _has_weights(command: AutoencoderCommand) -> bool:
    """Whether a resumed training holds the encoder that stays; what it began with may be gone."""
    return command.resume is not None and all(
        (command.folder() / name).is_file() for name in (CONFIG_FILE, AUTOENCODER_RECORD)
    )


def train_autoencoder(command: AutoencoderCommand, words: list[str]) -> AutoencoderTrainer:
    """Train to `reconstruction.steps`, going on from the last state in the folder.

    Raises:
        Diverged: training failed, and again after it had gone back; the state of before is on the disk.
        StorageAway: the folder could not be written for a long time.
        KeyboardInterrupt: after Ctrl-C, the state being on the disk.
    """
    folder, last = command.folder(), command.reconstruction.steps
    check_ahead(folder, last, "reconstruction.steps")
    trainer = make_trainer(command)
    with (
        held(folder),
        interruption() as stopped,
        closing(TrainingRun(trainer, folder, command.kept(), stopped=stopped)) as run,
    ):
        _check_same(command, folder)
        run.scores = trainer.scores
        run.go_on()
        _prepare(folder, command, words)  # once it is sure that the folder is of this training
        print(
            f"{trainer.parameters:,} parameters on {trainer.device}, {trainer.data.train_images:,} "
            f"images of {trainer.data.image_size_px} px, steps {trainer.step} to {last}, in {folder}; "
            f"perceptual network: {trainer.identity.get('perceptual', 'none')}"
        )
        with training_progress(Console(), last, trainer.step) as advance:
            run.train_to(last, advance)
    if stopped():
        print(f"stopped at step {trainer.step}; go on with: {command_line(trainer.command, resume=folder)}")
        raise KeyboardInterrupt
    return trainer


def _check_same(command: AutoencoderCommand, folder: Path) -> None:
    """Raises InputError where the folder is of another training, and no `resume=` asks to go on so."""
    if command.resume is None and has_states(folder):
        before = _read(folder / CONFIG_NAME, dict, "out")
        if "reconstruction" in before:  # else it is of another command, as its states say
            refuse_other_settings(folder, before, to_plain({"reconstruction": command.reconstruction}))


def _prepare(folder: Path, command: AutoencoderCommand, words: list[str]) -> None:
    """What is needed to go on: the words, the resolved settings, the autoencoder."""
    try:
        write_whole(folder / DESCRIPTION, command.autoencoder.to_yaml())
        write_whole(folder / WORDS, yaml.safe_dump(words))
        write_whole(
            folder / CONFIG_NAME, yaml.safe_dump(to_plain(replace(command, resume=None)), sort_keys=False)
        )
    except OSError as error:
        raise InputError(f"out: {str(folder)!r} cannot be written: {error}") from None


def main(words: list[str]) -> int:
    check_alone("train autoencoder")
    command, words = autoencoder_command(words)
    try:
        trainer = train_autoencoder(command, words)
    except Diverged as error:
        print(f"{error}; a lower reconstruction.learning_rate may help")
        return 1
    except StorageAway as error:
        print(error)
        return 1
    for line in trainer.warnings():
        print(line)
    print(f"trained: {command.folder()}")
    return 0
