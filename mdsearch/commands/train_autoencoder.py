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
from mdsearch.by_workers import train_by_workers
from mdsearch.long_training import (
    WORDS,
    LongTraining,
    came_to_its_end,
    check_ahead,
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
from training.distributed.ranks import RankGroup
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
        self.check_counts([self.reconstruction.steps])

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


def make_trainer(command: AutoencoderCommand, ranks: RankGroup) -> AutoencoderTrainer:
    """Raises InputError where autoencoder, data, networks and the weights to begin with do not fit."""
    data, settings = ranks.in_turn(partial(load_data, command.data)), command.reconstruction
    for line in [*data.notes(), *command.without_effect_alone(command.workers)]:
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
    make = partial(perceptual_network, command.perceptual, command.weights, device)  # may fetch its weights
    network = ranks.in_turn(make) if is_asked else None
    begin = command.folder() if _has_weights(command) else command.init_from and Path(command.init_from)
    trainer = AutoencoderTrainer(
        command.autoencoder,
        data,
        settings,
        seed=command.seed,
        perceptual=network,
        start=_start(begin) if begin else None,
        ranks=ranks,
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


def train_autoencoder(
    command: AutoencoderCommand, words: list[str], ranks: RankGroup, micro_batch: int | None
) -> AutoencoderTrainer:
    """Train to `reconstruction.steps`, going on from the last state in the folder.

    Raises:
        Diverged: training failed, and again after it had gone back; the state of before is on the disk.
        StorageAway: the folder could not be written for a long time.
        KeyboardInterrupt: after Ctrl-C, the state being on the disk.
    """
    folder, last = command.folder(), command.reconstruction.steps
    check_ahead(folder, last, "reconstruction.steps")
    trainer = make_trainer(command, ranks)
    trainer.micro_batches.shrink(micro_batch)
    with run_in_folder(trainer, folder, command) as (run, _):
        deciding = {"reconstruction": command.reconstruction}
        ranks.first(partial(check_same_training, folder, command.resume, "reconstruction", deciding))
        run.scores = trainer.scores
        run.go_on()
        settings, texts = (
            to_plain(replace(command, resume=None)),
            {DESCRIPTION: command.autoencoder.to_yaml()},
        )
        ranks.first(partial(keep_words, folder, words, settings, texts))
        ranks.first(partial(_save_card, command, trainer, folder))
        looks = f"; perceptual network: {trainer.identity.get('perceptual', 'none')}"
        train_in_sight(run, last, last, beside=looks)
        ranks.first(partial(_save_card, command, trainer, folder))
    if ranks.is_first:
        for line in trainer.warnings():
            print(line)
    return trainer


def _save_card(command: AutoencoderCommand, trainer: AutoencoderTrainer, folder: Path) -> None:
    scored = last_scored(folder) or ModelScores()
    save_card(folder, autoencoder_card(folder, trainer, command.data, command.card, scored))


def main(words: list[str]) -> int:
    command, words = autoencoder_command(words)
    folder, settings = command.folder(), command.reconstruction.of_the_loop()
    rivals = "" if command.reconstruction.adversarial.kind == "none" else "reconstruction.adversarial"
    training = partial(train_by_workers, train_autoencoder, command, words, settings, rivals)
    if not came_to_its_end(training, AutoencoderTrainer.command, folder, "reconstruction"):
        return 1
    print(f"trained: {folder}")
    return 0
