"""`mdsearch train autoencoder`: images to latents and back, trained in a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from conf.compose import compose_and_keep
from conf.repeated import refuse_beside, without
from conf.stored import changed_by_words
from conf.words import as_entries, as_text, path_of
from evaluators.networks.perceptual import PerceptualName, check_files, perceptual_network
from evaluators.networks.weights import WeightsSettings
from mdsearch.long_training import (
    WORDS,
    LongTraining,
    came_to_its_end,
    check_ahead,
    check_alone,
    check_same_training,
    keep_words,
    read_kept,
    run_in_folder,
    train_in_sight,
)
from space.autoencoder import Autoencoder
from space.interchange.autoencoder_files import StoredAutoencoder, read_autoencoder
from space.interchange.weight_files import CONFIG_FILE
from space.shared.plain import InputError, from_plain, to_plain
from training.autoencoder import AUTOENCODER_RECORD, AutoencoderTrainer
from training.card_parts import CardSettings, save_card
from training.data.factory import DataSettings, load_data
from training.devices import choose_device
from training.files import CONFIG_NAME
from training.objectives.reconstruction import ReconstructionSettings
from training.part_cards import autoencoder_card
from training.run import ModelScores, last_scored

AUTOENCODER_TEXTS = (
    "out", "resume", "init_from", "data.folder", "data.captions", "data.source", "weights.cache_folder",
    "card.licence", "card.data_licence",
)  # fmt: skip
MAIN, WEIGHTS_FILES, DESCRIPTION = "train_autoencoder", "weights.files", "autoencoder.yaml"
AUTOENCODER_TRAINING = "an autoencoder's training"


@dataclass(frozen=True, kw_only=True)
class AutoencoderCommand(LongTraining):
    """The fields of conf/train_autoencoder.yaml."""

    autoencoder: Autoencoder
    data: DataSettings
    reconstruction: ReconstructionSettings = field(default_factory=ReconstructionSettings)
    perceptual: PerceptualName = "random"
    init_from: str | None = None
    images: int = 16
    weights: WeightsSettings = field(default_factory=WeightsSettings)
    card: CardSettings = field(default_factory=CardSettings)

    def __post_init__(self) -> None:
        self.check_kept([self.reconstruction.steps])

    def folder(self) -> Path:
        return Path(self.resume or self.out or f"trained/{self.autoencoder.id}-seed{self.seed}")


def autoencoder_command(words: list[str]) -> tuple[AutoencoderCommand, list[str]]:
    """From a command line; a resumed training starts from its own first words."""
    refuse_beside(words, "resume", ["autoencoder", "out", "init_from"], "whose folder and autoencoder go on")
    resume = path_of(words, "resume")
    before, stored = list[str](), dict[str, Any]()
    if resume is not None:
        before = list(map(str, read_kept(resume, WORDS, list, what=AUTOENCODER_TRAINING)))
        stored = read_kept(resume, CONFIG_NAME, dict, what=AUTOENCODER_TRAINING)
    kept: Mapping[str, str] = stored.get("presets", {})
    new, earlier = (as_entries(as_text(each, AUTOENCODER_TEXTS), WEIGHTS_FILES) for each in (words, before))
    plain, texts = compose_and_keep(MAIN, new, before=earlier, kept=kept)
    if resume is not None:
        then, _ = compose_and_keep(MAIN, [], before=earlier, kept=kept)
        plain = changed_by_words(stored, then, plain, new)
    command: AutoencoderCommand = from_plain(AutoencoderCommand, plain | {"presets": texts})
    added = [word for word in words if not word.startswith("resume=")]
    return command, [*without(before, added), *added]


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
    with run_in_folder(trainer, folder, command) as (run, _):
        check_same_training(
            folder, command.resume, "reconstruction", {"reconstruction": command.reconstruction}
        )
        run.scores = trainer.scores
        run.go_on()
        settings = to_plain(replace(command, resume=None))
        keep_words(folder, words, settings, {DESCRIPTION: command.autoencoder.to_yaml()})
        save_card(folder, _card(command, trainer, folder))
        looks = f"; perceptual network: {trainer.identity.get('perceptual', 'none')}"
        train_in_sight(run, last, last, beside=looks)
        save_card(folder, _card(command, trainer, folder))
    for line in trainer.warnings():
        print(line)
    return trainer


def _card(command: AutoencoderCommand, trainer: AutoencoderTrainer, folder: Path) -> str:
    scored = last_scored(folder) or ModelScores()
    return autoencoder_card(folder, trainer, command.data, command.card, scored)


def main(words: list[str]) -> int:
    check_alone("train autoencoder")
    command, words = autoencoder_command(words)
    train, folder = partial(train_autoencoder, command, words), command.folder()
    if not came_to_its_end(train, AutoencoderTrainer.command, folder, "reconstruction"):
        return 1
    print(f"trained: {folder}")
    return 0
