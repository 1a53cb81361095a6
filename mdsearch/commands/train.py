"""`mdsearch train`: one architecture, trained for longer than a search can."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import IO

import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from conf.compose import compose_and_keep
from conf.repeated import refuse_beside, without
from conf.words import as_text
from space.architecture import Architecture
from space.proxy import Proxy, narrow
from space.shared.plain import InputError, first_few, from_plain, to_plain
from training.data.factory import DataSettings, load_data
from training.data.scenes import ScenesSettings
from training.generation.grid import save_grid
from training.loop import Diverged
from training.settings import TrainingSettings
from training.trainer import Trainer

TRAIN_TEXTS = ("arch_file", "out", "resume")
STATE, WORDS, CURVE, CONFIG = "state.pt", "overrides.yaml", "curve.jsonl", "config.yaml"


@dataclass(frozen=True)
class TrainCommand:
    """The fields of conf/train.yaml; `presets` are texts of the user's own YAML that they were made of."""

    arch: Architecture
    proxy: Proxy = field(default_factory=Proxy)
    data: DataSettings = field(default_factory=ScenesSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    arch_file: str | None = None
    seed: int = 0
    out: str | None = None
    resume: str | None = None
    state_every_steps: int = 200
    pictures: int = 48
    presets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("state_every_steps", "pictures"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")

    def architecture(self) -> Architecture:
        """At the paper's scale."""
        return self.arch if self.arch_file is None else Architecture.load(self.arch_file)

    def folder(self) -> Path:
        return Path(self.resume or self.out or f"trained/{self.architecture().id}-seed{self.seed}")


def train(command: TrainCommand, words: list[str]) -> Path:
    """Train to `training.steps`, going on from a state in the folder; returns the folder.

    Raises:
        Diverged: the loss stopped being a number; the state of before is on the disk.
        KeyboardInterrupt: after Ctrl-C, the state being on the disk.
    """
    console, folder = Console(), command.folder()
    data = load_data(command.data)
    if data.unreadable:
        console.print(f"{len(data.unreadable)} unreadable images left out: {first_few(data.unreadable)}")
    architecture = narrow(command.architecture(), command.proxy)
    trainer = Trainer(architecture, data, command.training, seed=command.seed)
    for line in trainer.unread_text():
        console.print(line)
    _prepare(folder, command, words)
    if (folder / STATE).is_file():
        _go_on(trainer, folder / STATE)
        _cut_curve(folder / CURVE, trainer.step)
    console.print(
        f"{trainer.parameters:,} parameters on {trainer.device}, {data.train_images:,} images, "
        f"steps {trainer.step} to {command.training.steps}, in {folder}"
    )
    with _interruption() as stopped, (folder / CURVE).open("a", encoding="utf-8") as curve:
        _train_in_parts(trainer, command, folder, curve, console, stopped)
    if stopped():
        command_line = shlex.join(["mdsearch", "train", f"resume={folder}"])
        console.print(f"stopped at step {trainer.step}; go on with: {command_line}")
        raise KeyboardInterrupt
    return folder


def _train_in_parts(
    trainer: Trainer,
    command: TrainCommand,
    folder: Path,
    curve: IO[str],
    console: Console,
    stopped: Callable[[], bool],
) -> None:
    """Part after part of `state_every_steps`, writing state, weights and images behind each."""
    captions = trainer.data.held_out_captions[: command.pictures]
    last = command.training.steps
    with _progress(console, last, trainer.step) as advance:

        def on_step(step: int, loss: float) -> None:
            curve.write(json.dumps({"step": step, "loss": round(loss, 6)}) + "\n")
            advance(step, loss)
            if stopped():
                raise _Stop

        while trainer.step < last and not stopped():
            part = command.state_every_steps
            try:
                trainer.train_to(min(last, (trainer.step // part + 1) * part), on_step)
            except _Stop:
                trainer.save_state(folder / STATE)
                break
            validation = {"step": trainer.step, "validation_loss": round(trainer.validation_loss(), 6)}
            curve.write(json.dumps(validation) + "\n")
            curve.flush()
            trainer.save_weights(folder)
            save_grid(trainer.generate(captions, seed=command.seed), folder / "samples.png", enlarge=3)
            trainer.save_state(folder / STATE)


class _Stop(Exception):
    """Ctrl-C was pressed; raised between two steps, where the state is whole."""


@contextmanager
def _interruption() -> Iterator[Callable[[], bool]]:
    """Remember Ctrl-C instead of breaking a step; a second one breaks it."""
    pressed = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress(console: Console, last: int, start: int) -> Iterator[Callable[[int, float], None]]:
    """A bar on a terminal; elsewhere a line for each twentieth."""
    if not console.is_terminal:
        every = max(1, last // 20)

        def line(step: int, loss: float) -> None:
            if step % every == 0 or step == last:
                console.print(f"step {step} of {last}, loss {loss:.4f}")

        yield line
        return
    columns = (
        TextColumn("step {task.completed} of {task.total}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=last, completed=start, loss="-")
        yield lambda step, loss: progress.update(task, completed=step, loss=f"{loss:.4f}")


def _prepare(folder: Path, command: TrainCommand, words: list[str]) -> None:
    """The folder with what is needed to go on: the words, the resolved settings, the architecture."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "architecture.yaml").write_text(command.architecture().to_yaml(), encoding="utf-8")
        (folder / WORDS).write_text(yaml.safe_dump(words), encoding="utf-8")
        settings = yaml.safe_dump(to_plain(replace(command, resume=None)), sort_keys=False)
        (folder / CONFIG).write_text(settings, encoding="utf-8")
    except OSError as error:
        raise InputError(f"out: {str(folder)!r} cannot be written: {error}") from None


def _go_on(trainer: Trainer, state: Path) -> None:
    try:
        trainer.load_state(state)
    except InputError as error:
        raise InputError(f"{error}; with this file deleted, training starts again from step 0") from None


def _cut_curve(curve: Path, step: int) -> None:
    """Drop lines behind the state that training goes on from."""
    if curve.is_file():
        lines = curve.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        curve.write_text("".join(kept), encoding="utf-8")


def command_of(words: list[str]) -> tuple[TrainCommand, list[str]]:
    """From a command line; a resumed training starts from its own first words."""
    command = _composed(words)
    refuse_beside(words, "arch_file", ["arch"], "which is an architecture itself")
    refuse_beside(words, "resume", ["arch", "arch_file", "out"], "whose folder and architecture go on")
    if command.resume is None:
        return command, words
    stored = Path(command.resume) / WORDS
    try:
        before = list(map(str, yaml.safe_load(stored.read_text(encoding="utf-8"))))
    except (OSError, yaml.YAMLError, TypeError) as error:
        raise InputError(f"resume: {command.resume!r} is no folder of a training ({error})") from None
    added = [word for word in words if not word.startswith("resume=")]
    merged = [*without(before, added), *added]
    resumed = _composed(words, before, _stored_presets(Path(command.resume)))
    return replace(resumed, arch_file=str(Path(command.resume) / "architecture.yaml")), merged


def _composed(
    words: list[str], before: Sequence[str] = (), kept: Mapping[str, str] = MappingProxyType({})
) -> TrainCommand:
    meant, first = as_text(words, TRAIN_TEXTS), as_text(before, TRAIN_TEXTS)
    plain, texts = compose_and_keep("train", meant, before=first, kept=kept)
    command: TrainCommand = from_plain(TrainCommand, plain | {"presets": texts})
    return command


def _stored_presets(folder: Path) -> dict[str, str]:
    """Texts of the user's own YAML that a training was begun with."""
    try:
        plain = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    found: dict[str, str] = plain.get("presets", {}) if isinstance(plain, dict) else {}
    return found


def main(words: list[str]) -> int:
    try:
        folder = train(*command_of(words))
    except Diverged as error:
        print(f"{error}; a lower training.learning_rate may help")
        return 1
    generate = shlex.join(["mdsearch", "generate", f"model={folder}"])
    print(f"trained: {folder}\ngenerate with: {generate} prompt='...'")
    return 0
