"""`mdsearch distill`: a trained model that generates in fewer steps, or one for each cell of a sweep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from conf.words import expand
from mdsearch.by_workers import train_by_workers
from mdsearch.distill_command import DistillCommand, distill_command_of, notes_of, of_base
from mdsearch.long_training import (
    came_to_its_end,
    check_ahead,
    check_same_training,
    keep_words,
    run_in_folder,
    train_in_sight,
)
from mdsearch.training_session import embedded_scores, hand_over_and_say
from space.shared.command_lines import command_line, setting_word, typed_line
from space.shared.console import command_console
from space.shared.plain import InputError, to_plain
from training.data.factory import load_data
from training.distillation import Distiller
from training.distributed.ranks import RankGroup, given_workers
from training.files import ARCHITECTURE_NAME
from training.handing_over import withdraw
from training.model import load_model
from training.model_card import Card, card_of, write_card
from training.objectives.critic import told_by_luck
from training.run import BEFORE, ModelScores, TrainingRun, curve_lines, last_scored


def main(words: list[str]) -> int:
    if any(word in ("-m", "--multirun") for word in words):
        return _sweep([word for word in words if word not in ("-m", "--multirun")])
    command, words = distill_command_of(words)
    folder = command.folder()
    if not _is_distilled(command, words):
        return 1
    print(f"distilled: {folder}\ngenerate with: {command_line('generate', model=folder)} prompt='...'")
    return 0


def _is_distilled(command: DistillCommand, words: list[str]) -> bool:
    own = command.objective
    training = partial(
        train_by_workers, distill, command, words, command.training, own.name if own.rivals else ""
    )
    return came_to_its_end(training, Distiller.command, command.folder())


def distill(command: DistillCommand, words: list[str], ranks: RankGroup, micro_batch: int | None) -> Path:
    """Train to `training.steps`, going on from the last state in the folder; returns the folder.

    Raises:
        Diverged: training failed, and again after it had gone back; the state of before is on the disk.
        StorageAway: the folder could not be written for a long time.
        KeyboardInterrupt: after Ctrl-C, the state being on the disk.
    """
    folder, base, last = command.folder(), Path(command.init_from), command.training.steps
    check_ahead(folder, last, "training.steps")
    data = ranks.in_turn(partial(load_data, command.data))
    for line in [*data.notes(), *notes_of(command, words)]:
        print(line)
    trainer = Distiller(base, data, command.training, command.objective, seed=command.seed, ranks=ranks)
    trainer.micro_batches.shrink(micro_batch)
    trainer.say = print
    for line in trainer.unread_text():
        print(line)
    with run_in_folder(trainer, folder, command) as (run, stopped):
        deciding = {"objective": command.objective, "training": command.training}
        ranks.first(partial(check_same_training, folder, command.resume, "objective", deciding))
        run.go_on()
        ranks.first(partial(_describe, command, words, run))
        train_in_sight(run, last, last)
        if not stopped():
            ranks.first(partial(hand_over_and_say, folder, partial(_card, command, trainer, folder)))
    if (said := told_by_luck(_told_apart(folder))) is not None:
        print(said)
    return folder


def _describe(command: DistillCommand, words: list[str], run: TrainingRun[Distiller]) -> None:
    """In its folder, before it is trained; with the scores of what it begins with."""
    trainer, folder = run.trainer, run.folder
    _keep(folder, command, words)
    withdraw(folder)
    write_card(folder, _card(command, trainer, folder))
    if command.scores:
        plain = to_plain(command, all_fields=True)
        groups = {name: plain[name] for name in ("data", "training")}
        run.scores = embedded_scores(groups, command.seed, trainer, folder)
        if trainer.step == 0:
            _note_base(run, Path(command.init_from))


def _told_apart(folder: Path) -> list[float]:
    """After each update of a discriminator, if there is one."""
    lines = map(json.loads, curve_lines(folder))
    return [line["told_apart"] for line in lines if "told_apart" in line]


def _note_base(run: TrainingRun[Distiller], base: Path) -> None:
    """The scores of the base as it generates, and of its single steps before any training."""
    trainer = run.trainer
    before = run.measured(load_model(base, str(trainer.device))).scores
    run.note(run.measured(trainer.averaged).scores | {"init_from": str(base), BEFORE: before})
    print(f"{base}, as it is: " + ", ".join(f"{name} {value:.4g}" for name, value in before.items()))


def _card(command: DistillCommand, trainer: Distiller, folder: Path) -> Card:
    scored = last_scored(folder) or ModelScores()
    card = card_of(folder.resolve().name, trainer, command.data, command.card, scored)
    base = Path(command.init_from).resolve().name
    return replace(card, protocol=f"{base}, distilled by {command.objective.name}: {card.protocol}")


def _keep(folder: Path, command: DistillCommand, words: list[str]) -> None:
    """What is needed to go on, and what tells how the base was built."""
    file = Path(command.init_from) / ARCHITECTURE_NAME
    texts = {ARCHITECTURE_NAME: file.read_text(encoding="utf-8")} if file.is_file() else {}
    keep_words(folder, words, of_base(command) | to_plain(replace(command, resume=None)), texts)


# ---------------------------------------------------------------------- sweeps


def _sweep(words: list[str]) -> int:
    """One distillation for each combination, in a folder by what varies; all are checked before the first
    starts, and the same sweep again goes on where it was."""
    if any(word.startswith("resume=") for word in words):
        raise InputError("resume: one folder at a time; the same sweep again goes on with all of its own")
    if (workers := given_workers() or 1) > 1:
        raise InputError(
            f"-m: one distillation after another, where the environment has WORLD_SIZE={workers}, which is "
            f"for one; needed: workers={workers} and no launcher, or one folder at a time"
        )
    combinations = expand(words)
    cells = {cell: distill_command_of(own) for cell, own in _named(combinations).items()}
    status, found = 0, dict[str, dict[str, float] | None]()
    for cell, (command, own) in cells.items():
        print(f"\n=== {typed_line('distill', own)}", flush=True)
        done = _is_distilled(command, own)
        scored = last_scored(command.folder()) if done else None
        found[cell] = None if scored is None else scored.scores
        status = status if done else 1
    command_console().print(_table(found))
    if not all(command.scores for command, _ in cells.values()):
        print(
            "the loss is how far each has gone from its base; scores=true compares them by FID and CLIP score"
        )
    return status


def _named(combinations: Sequence[list[str]]) -> dict[str, list[str]]:
    """The words of each cell with a folder of its own, by the cell's name."""
    shared = set(combinations[0]).intersection(*combinations[1:])
    named = {}
    for words in combinations:
        cell = "-".join(_value(word) for word in words if word not in shared) or "all"
        given = next((word.partition("=")[2] for word in words if word.startswith("out=")), None)
        out = Path(given) if given else distill_command_of(words)[0].folder()
        own = [word for word in words if not word.startswith("out=")]
        named[cell] = [*own, setting_word("out", out / cell)]
    return named


def _value(word: str) -> str:
    """`objective.finetune=lora` as lora, `seed=3` as seed3."""
    name, _, value = word.partition("=")
    plain = value.replace("/", "_")
    return plain if plain[:1].isalpha() else f"{name.rpartition('.')[2]}{plain}"


def _table(found: dict[str, dict[str, float] | None]) -> Table:
    names = list(dict.fromkeys(name for scores in found.values() for name in scores or {}))
    table = Table("", *map(escape, names), header_style="bold")
    for cell, scores in found.items():
        values = ["failed" if scores is None else f"{scores[name]:.5g}" for name in names]
        table.add_row(escape(cell), *values)
    return table
