"""`mdsearch train`: one architecture, trained for longer than a search can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml
from rich.console import Console

from mdsearch.train_command import OF_RUN, WORDS, TrainCommand, command_of
from mdsearch.training_session import embedded_scores
from mdsearch.training_session import held_folder as _held
from mdsearch.training_session import remembered_interruption as _interruption
from mdsearch.training_session import training_progress as _progress
from space.shared.command_lines import command_line
from space.shared.files import write_whole
from space.shared.plain import InputError, to_plain
from space.shared.retries import StorageAway
from training.data.factory import load_data
from training.failures import Diverged
from training.files import ARCHITECTURE_NAME, CONFIG_NAME
from training.initial import begin_with
from training.model_card import write_card
from training.run import Scores, TrainingRun
from training.stages import STAGE, check_same_weights, last_stage, run_stages
from training.trainer import Trainer


def train(command: TrainCommand, words: list[str]) -> Path:
    """Train to `training.steps`, going on from the last state in the folder; returns the folder.

    Raises:
        Diverged: training failed, and again after it had gone back; the state of before is on the disk.
        StorageAway: the folder could not be written for a long time.
        KeyboardInterrupt: after Ctrl-C, the state being on the disk.
    """
    console, folder = Console(), command.folder()
    stages = command.all_stages()
    check_same_weights([command.narrowed(stage) for stage in stages])
    place = last_stage(folder) if command.stages else 0
    first = _trainer(command, place)

    def during(run: TrainingRun, end: int) -> None:
        trainer = run.trainer
        write_card(folder, trainer, command.data)
        run.scores = _scores(command, trainer, folder) if command.scores else None
        if trainer.step == 0 and command.init_from is not None:
            _begin(trainer, Path(command.init_from), run)
        print(
            f"{trainer.parameters:,} parameters on {trainer.device}, {trainer.data.train_images:,} images of "
            f"{trainer.data.image_size_px} px, steps {trainer.step} to {end}, in {folder}"
        )
        with _progress(console, stages[-1].until, trainer.step) as advance:
            run.train_to(end, advance)

    with _held(folder), _interruption() as stopped:
        _prepare(folder, command, words)
        ends = [stage.until for stage in stages]
        make = partial(_trainer, command)
        trainer = run_stages(first, place, make, ends, folder, command.kept(), during, stopped)
    if stopped():
        print(f"stopped at step {trainer.step}; go on with: {command_line('train', resume=folder)}")
        raise KeyboardInterrupt
    return folder


def _trainer(command: TrainCommand, place: int) -> Trainer:
    """Of a stage, by its number; says what of the data does not reach it."""
    stage = command.all_stages()[place]
    data = load_data(stage.data)
    for line in data.notes():
        print(line)
    identity = {STAGE: place} if command.stages else {}
    architecture = command.narrowed(stage)
    trainer = Trainer(architecture, data, stage.training, seed=command.seed, identity=identity)
    trainer.say = print
    for line in trainer.unread_text():
        print(line)
    return trainer


def _begin(trainer: Trainer, start: Path, run: TrainingRun) -> None:
    """With the weights of a model: its scores as it was, and right after."""
    model = begin_with(trainer, start)
    before = run.measured(model)
    after = run.measured(trainer.averaged)
    run.note(after | {"init_from": str(start), "before": before})
    changed = f"{model.architecture.attention} -> {trainer.architecture.attention} attention"
    print(f"{start}, as it was: {_in_words(before)}\nright after {changed}: {_in_words(after)}")


def _in_words(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in scores.items())


def _scores(command: TrainCommand, trainer: Trainer, folder: Path) -> Scores:
    plain = to_plain(command, all_fields=True)
    return embedded_scores({name: plain[name] for name in OF_RUN}, command.seed, trainer, folder)


def _prepare(folder: Path, command: TrainCommand, words: list[str]) -> None:
    """The folder with what is needed to go on: the words, the resolved settings, the architecture."""
    try:
        write_whole(folder / ARCHITECTURE_NAME, command.architecture().to_yaml())
        write_whole(folder / WORDS, yaml.safe_dump(words))
        settings = yaml.safe_dump(to_plain(replace(command, resume=None)), sort_keys=False)
        write_whole(folder / CONFIG_NAME, settings)
    except OSError as error:
        raise InputError(f"out: {str(folder)!r} cannot be written: {error}") from None


def main(words: list[str]) -> int:
    command, words = command_of(words)
    try:
        folder = train(command, words)
    except Diverged as error:
        print(f"{error}; a lower training.learning_rate may help")
        return 1
    except StorageAway as error:
        print(error)
        return 1
    print(f"trained: {folder}\ngenerate with: {command_line('generate', model=folder)} prompt='...'")
    return 0
