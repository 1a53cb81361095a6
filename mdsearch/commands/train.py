"""`mdsearch train`: one architecture, trained for longer than a search can."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from mdsearch.by_workers import train_by_workers
from mdsearch.long_training import (
    came_to_its_end,
    check_ahead,
    end_if_stopped,
    held,
    interruption,
    keep_words,
    read_kept,
    refuse_other_settings,
    train_in_sight,
)
from mdsearch.plans import print_plan
from mdsearch.train_command import OF_RUN, TrainCommand, command_of
from mdsearch.train_plan import train_plan
from mdsearch.training_session import embedded_scores, hand_over_and_say
from space.shared.command_lines import command_line
from space.shared.plain import InputError, to_plain
from training.data.factory import load_data
from training.distributed.ranks import RankGroup
from training.encoders import check_size
from training.files import ARCHITECTURE_NAME, CARD_NAME, CONFIG_NAME, PIPELINE_FOLDER, has_states
from training.handing_over import withdraw
from training.initial import begin_with
from training.logs.following import Follower, followed
from training.logs.trackers import Described, check_trackers
from training.model_card import Card, card_of, write_card
from training.run import BEFORE, ModelScores, Scores, TrainingRun, last_scored
from training.stages import STAGE, check_same_weights, last_stage, run_stages
from training.trainer import Trainer

LEARNS = ("training", "stages", "init_from")  # fields that decide what a step does, beside a state's identity


def train(command: TrainCommand, words: list[str], ranks: RankGroup, micro_batch: int | None) -> Path:
    """Train to `training.steps`, going on from the last state in the folder; returns the folder.

    Raises:
        Diverged: training failed, and again after it had gone back; the state of before is on the disk.
        StorageAway: the folder could not be written for a long time.
        KeyboardInterrupt: after Ctrl-C, the state being on the disk.
    """
    check_trackers(command.logger)
    folder = command.folder()
    stages = command.all_stages()
    check_same_weights([command.narrowed(stage) for stage in stages])
    place = last_stage(folder) if command.stages else 0
    if place >= len(stages):
        raise InputError(
            f"stages: {len(stages)}, but what is in {str(folder)!r} is in number {place + 1}; allowed: as "
            "many or more"
        )
    check_ahead(folder, stages[-1].until, "stages" if command.stages else "training.steps")
    make = partial(_trainer, command, ranks, micro_batch)
    first = make(place)
    followers: list[Follower] = []

    def describe(run: TrainingRun[Trainer]) -> None:
        _keep(folder, command, words)  # once it is sure that the folder is of this training
        withdraw(folder)
        write_card(folder, _card(command, run.trainer, folder))
        run.scores = _scored_on(command, run.trainer, folder) if command.scores else None
        for follower in followers:
            run.watched.add(follower)

    def during(run: TrainingRun[Trainer], end: int) -> None:
        trainer = run.trainer
        ranks.first(partial(describe, run))
        if trainer.step == 0 and command.init_from is not None:
            _begin(trainer, Path(command.init_from), run)
        train_in_sight(run, end, stages[-1].until)

    def stopped() -> bool:
        return ranks.asked

    with ExitStack() as stack:
        if ranks.is_first:
            stack.enter_context(held(folder))
            _check_same(command, folder)
            if not has_states(folder):
                _keep(folder, command, words)
            what = _described(command, first, folder)
            followers = stack.enter_context(followed(command.logger, what, folder, stages[-1].until))
        ranks.asks = stack.enter_context(interruption())
        ends = [stage.until for stage in stages]
        trainer = run_stages(first, place, make, ends, folder, command.kept(), during, stopped)
        if not stopped():
            ranks.first(partial(hand_over_and_say, folder, partial(_card, command, trainer, folder)))
    end_if_stopped(stopped, trainer, folder)
    return folder


def _check_same(command: TrainCommand, folder: Path) -> None:
    """Raises InputError where the folder is of another training, and no `resume=` asks to go on otherwise."""
    if command.resume is None and has_states(folder) and (folder / CONFIG_NAME).is_file():
        deciding = {name: getattr(command, name) for name in LEARNS}
        before = read_kept(folder, CONFIG_NAME, dict, "out")
        refuse_other_settings(folder, before, to_plain(deciding))


def _trainer(command: TrainCommand, ranks: RankGroup, micro_batch: int | None, place: int) -> Trainer:
    """Of a stage, by its number; says what of the data does not reach it."""
    stage = command.all_stages()[place]
    architecture = command.narrowed(stage)
    check_size(architecture, stage.data, stage.training.latents)
    data = ranks.in_turn(partial(load_data, stage.data))
    for line in data.notes():
        print(line)
    identity = {STAGE: place} if command.stages else {}
    trainer = Trainer(architecture, data, stage.training, seed=command.seed, identity=identity, ranks=ranks)
    trainer.micro_batches.shrink(micro_batch)
    trainer.say = print
    for line in trainer.unread_text():
        print(line)
    return trainer


def _begin(trainer: Trainer, start: Path, run: TrainingRun[Trainer]) -> None:
    """With the weights of a model: its scores as it was, and right after."""
    model = begin_with(trainer, start)

    def measure() -> None:
        before = run.measured(model).scores
        after = run.measured(trainer.averaged).scores
        run.note(after | {"init_from": str(start), BEFORE: before})
        changed = f"{model.architecture.attention} -> {trainer.architecture.attention} attention"
        print(f"{start}, as it was: {_in_words(before)}\nright after {changed}: {_in_words(after)}")

    trainer.ranks.first(measure)


def _in_words(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in scores.items())


def _described(command: TrainCommand, trainer: Trainer, folder: Path) -> Described:
    """For trackers."""
    params = to_plain(replace(command, resume=None, presets={}))
    params |= {"architecture": trainer.architecture.id, "data_digest": trainer.data.digest}
    return Described("", folder.resolve().name, "train", params)


def _card(command: TrainCommand, trainer: Trainer, folder: Path) -> Card:
    name, scored = folder.resolve().name, last_scored(folder)
    steps = command.protocol(trainer.step)
    return card_of(name, trainer, command.data, command.card, scored or ModelScores(), steps)


def _scored_on(command: TrainCommand, trainer: Trainer, folder: Path) -> Scores:
    plain = to_plain(command, all_fields=True)
    return embedded_scores({name: plain[name] for name in OF_RUN}, command.seed, trainer, folder)


def _keep(folder: Path, command: TrainCommand, words: list[str]) -> None:
    """What is needed to go on: the words, the resolved settings, the architecture."""
    settings = to_plain(replace(command, resume=None))
    keep_words(folder, words, settings, {ARCHITECTURE_NAME: command.architecture().to_yaml()})


def main(words: list[str]) -> int:
    command, words = command_of(words)
    if command.dry_run:
        return print_plan(train_plan(command), command.format)
    folder = command.folder()
    for line in command.idle():
        print(f"note: {line}", file=sys.stderr)
    training = partial(train_by_workers, train, command, words, command.training)
    if not came_to_its_end(training, Trainer.command, folder):
        return 1
    print(f"trained: {folder}\ngenerate with: {command_line('generate', model=folder)} prompt='...'")
    if (pipeline := folder / PIPELINE_FOLDER).is_dir():
        print(f"to hand over: {pipeline} (diffusers loads it; its {CARD_NAME} says how)")
    return 0
