"""`mdsearch train adapter`: what controls a diffusion model, and whatever is distilled from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from mdsearch.by_workers import train_by_workers
from mdsearch.long_training import (
    LongTraining,
    came_to_its_end,
    check_ahead,
    check_same_training,
    keep_words,
    run_in_folder,
    train_in_sight,
)
from mdsearch.with_a_base import composed_with_base
from space.shared.command_lines import command_line
from space.shared.plain import InputError, from_plain, to_plain
from training.adapter_kinds import AdapterSettings, ControlNetSettings
from training.adapting import AdapterTrainer, beside_base
from training.card_parts import CardSettings, save_card
from training.data.factory import DataSettings, load_data
from training.data.scenes import ScenesSettings
from training.distributed.ranks import RankGroup
from training.part_cards import adapter_card
from training.run import ModelScores, last_scored
from training.settings import TrainingSettings

ADAPTER_TEXTS = (
    "init_from", "out", "resume", "data.folder", "data.captions", "data.source",
    "card.licence", "card.data_licence",
)  # fmt: skip
DECIDED_BY_BASE = {
    f"training.{name}": "init_from" for name in ("diffusion", "latents", "text", "guidance", "sampling_steps")
}


@dataclass(frozen=True, kw_only=True)
class AdapterCommand(LongTraining):
    """The fields of conf/train_adapter.yaml."""

    init_from: str
    adapter: AdapterSettings = field(default_factory=ControlNetSettings)
    data: DataSettings = field(default_factory=ScenesSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    images: int = 16
    card: CardSettings = field(default_factory=CardSettings)

    def __post_init__(self) -> None:
        self.check_counts([self.training.steps])
        if self.training.ema_lengths:
            raise InputError("training.ema_lengths: none are kept of an adapter; allowed: []")

    def folder(self) -> Path:
        name = f"{Path(self.init_from).resolve().name}-{self.adapter.name}-seed{self.seed}"
        return Path(self.resume or self.out or f"adapters/{name}")


def adapter_command(words: list[str]) -> tuple[AdapterCommand, list[str]]:
    """From a command line; a resumed training starts from its own first words."""
    asked = "which trained diffusion model is it for?"
    decided = DECIDED_BY_BASE
    found = composed_with_base("train_adapter", words, ADAPTER_TEXTS, decided, "an adapter's training", asked)
    command: AdapterCommand = from_plain(AdapterCommand, found.plain)
    return replace(command, training=beside_base(command.training, found.base)), found.words


def train_adapter(
    command: AdapterCommand, words: list[str], ranks: RankGroup, micro_batch: int | None
) -> AdapterTrainer:
    """Train to `training.steps`, going on from the last state in the folder.

    Raises:
        Diverged: training failed, and again after it had gone back; the state of before is on the disk.
        StorageAway: the folder could not be written for a long time.
        KeyboardInterrupt: after Ctrl-C, the state being on the disk.
    """
    folder, last = command.folder(), command.training.steps
    check_ahead(folder, last, "training.steps")
    data = ranks.in_turn(partial(load_data, command.data))
    for line in [*data.notes(), *command.without_effect_alone(command.workers)]:
        print(line)
    trainer = AdapterTrainer(
        Path(command.init_from), data, command.training, command.adapter, seed=command.seed, ranks=ranks
    )
    trainer.micro_batches.shrink(micro_batch)
    trainer.say = print
    for line in trainer.unread_text():
        print(line)
    with run_in_folder(trainer, folder, command) as (run, _):
        deciding = {"adapter": command.adapter, "training": command.training}
        ranks.first(partial(check_same_training, folder, command.resume, "adapter", deciding))
        run.go_on()
        ranks.first(partial(keep_words, folder, words, to_plain(replace(command, resume=None)), {}))
        ranks.first(partial(_save_card, command, trainer, folder))
        train_in_sight(run, last, last, of=f" of {command.adapter.name}")
        ranks.first(partial(_save_card, command, trainer, folder))
    return trainer


def _save_card(command: AdapterCommand, trainer: AdapterTrainer, folder: Path) -> None:
    scored, base = last_scored(folder) or ModelScores(), Path(command.init_from)
    save_card(folder, adapter_card(folder, trainer, base, command.data, command.card, scored))


def main(words: list[str]) -> int:
    command, words = adapter_command(words)
    folder = command.folder()
    training = partial(train_by_workers, train_adapter, command, words, command.training)
    if not came_to_its_end(training, AdapterTrainer.command, folder):
        return 1
    attach = command_line("attach", model=command.init_from, folder=folder, out=f"{folder}-pipeline")
    print(f"trained: {folder / command.adapter.name}\nas a pipeline, also of what was distilled: {attach}")
    return 0
