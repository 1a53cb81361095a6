"""`mdsearch train`: one architecture, trained for longer than a search can."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import IO, Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from conf.compose import compose_and_keep
from conf.repeated import refuse_beside, without
from conf.words import as_text, first_line, path_of
from space.architecture import Architecture
from space.proxy import Proxy, narrow
from space.shared.command_lines import command_line, setting_word
from space.shared.files import alone_in, write_whole
from space.shared.plain import InputError, from_plain, to_plain
from training.data.factory import DataSettings, load_data
from training.data.scenes import ScenesSettings
from training.files import ARCHITECTURE_NAME, CONFIG_NAME, CURVE_NAME, SAMPLES_NAME, STATE_NAME
from training.generation.grid import save_grid
from training.loop import Diverged
from training.model_card import write_card
from training.settings import TrainingSettings
from training.trainer import Trainer

TRAIN_TEXTS = ("arch_file", "run", "out", "resume", "data.folder", "data.captions", "data.source")
OF_RUN, WORDS = ("proxy", "data", "training"), "overrides.yaml"
STEPS = {"steps": None}  # of a training; they do not tell one from another


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
    run: str | None = None
    resume: str | None = None
    state_every_steps: int = 200
    images: int = 48
    presets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("state_every_steps", "images"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")

    def architecture(self) -> Architecture:
        """At the paper's scale."""
        return self.arch if self.arch_file is None else Architecture.load(self.arch_file)

    def folder(self) -> Path:
        of_run = "" if self.run is None else f"{Path(self.run).resolve().name}-"
        return Path(self.resume or self.out or f"trained/{of_run}{self.architecture().id}-seed{self.seed}")


def train(command: TrainCommand, words: list[str]) -> Path:
    """Train to `training.steps`, going on from a state in the folder; returns the folder.

    Raises:
        Diverged: the loss stopped being a number; the state of before is on the disk.
        KeyboardInterrupt: after Ctrl-C, the state being on the disk.
    """
    console, folder = Console(), command.folder()
    data = load_data(command.data)
    for line in data.notes():
        print(line)
    architecture = narrow(command.architecture(), command.proxy)
    trainer = Trainer(architecture, data, command.training, seed=command.seed)
    for line in trainer.unread_text():
        print(line)
    with _held(folder):
        _prepare(folder, command, words)
        write_card(folder, trainer, command.data)
        if (folder / STATE_NAME).is_file():
            _go_on(trainer, folder / STATE_NAME)
            _cut_curve(folder / CURVE_NAME, trainer.step)
        print(
            f"{trainer.parameters:,} parameters on {trainer.device}, {data.train_images:,} images, "
            f"steps {trainer.step} to {command.training.steps}, in {folder}"
        )
        with _interruption() as stopped, (folder / CURVE_NAME).open("a", encoding="utf-8") as curve:
            _train_in_parts(trainer, command, folder, curve, console, stopped)
    if stopped():
        print(f"stopped at step {trainer.step}; go on with: {command_line('train', resume=folder)}")
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
    captions = trainer.data.held_out_captions[: command.images]
    last, part = command.training.steps, command.state_every_steps
    with _progress(console, last, trainer.step) as advance:

        def on_step(step: int, loss: float) -> None:
            curve.write(json.dumps({"step": step, "loss": round(loss, 6)}) + "\n")
            advance(step, loss)
            if stopped():
                raise _Stop

        while trainer.step < last and not stopped():
            try:
                trainer.train_to(min(last, (trainer.step // part + 1) * part), on_step)
            except _Stop:
                trainer.save_state(folder / STATE_NAME)
                break
            validation = {"step": trainer.step, "validation_loss": round(trainer.validation_loss(), 6)}
            curve.write(json.dumps(validation) + "\n")
            curve.flush()
            trainer.save_weights(folder)
            save_grid(trainer.generate(captions, seed=command.seed), folder / SAMPLES_NAME, enlarge=3)
            trainer.save_state(folder / STATE_NAME)


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
                print(f"step {step} of {last}, loss {loss:.4f}")

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


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """A folder that no other training writes to meanwhile."""
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(alone_in(folder))
        except BlockingIOError:
            raise InputError(f"out: another training writes to {folder}; choose another, or wait") from None
        except OSError as error:
            raise InputError(f"out: {str(folder)!r} cannot be written: {error}") from None
        yield


def _prepare(folder: Path, command: TrainCommand, words: list[str]) -> None:
    """The folder with what is needed to go on: the words, the resolved settings, the architecture."""
    try:
        write_whole(folder / ARCHITECTURE_NAME, command.architecture().to_yaml())
        write_whole(folder / WORDS, yaml.safe_dump(words))
        settings = yaml.safe_dump(to_plain(replace(command, resume=None)), sort_keys=False)
        write_whole(folder / CONFIG_NAME, settings)
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
        write_whole(curve, "".join(kept))


def command_of(words: list[str]) -> tuple[TrainCommand, list[str]]:
    """From a command line; a resumed training starts from its own first words."""
    refuse_beside(words, "arch_file", ["arch"], "which is an architecture itself")
    refuse_beside(words, "resume", ["arch", "arch_file", "out", "run"], "whose folder and architecture go on")
    resume, run = path_of(words, "resume"), path_of(words, "run")
    if resume is None:
        command = _composed(words, _trained_with(run))
        _note_other_settings(command, words)
        return command, words
    before = list(map(str, _read(resume, WORDS, list)))
    added = [word for word in words if not word.startswith("resume=")]
    merged = [*without(before, added), *added]
    stored = _read(resume, CONFIG_NAME, dict) if (resume / CONFIG_NAME).is_file() else {}
    from_run = OF_RUN if path_of(merged, "run") else ()  # the run itself may be gone
    of_run = {name: stored[name] for name in from_run if name in stored}
    resumed = _composed(words, of_run, before, stored.get("presets", {}))
    return replace(resumed, arch_file=str(resume / ARCHITECTURE_NAME)), merged


def _composed(
    words: list[str],
    of_run: Mapping[str, Any],
    before: Sequence[str] = (),
    kept: Mapping[str, str] = MappingProxyType({}),
) -> TrainCommand:
    new, earlier = (as_text(each, TRAIN_TEXTS) for each in (words, before))
    plain, texts = compose_and_keep("train", new, before=earlier, stored=of_run, kept=kept)
    command: TrainCommand = from_plain(TrainCommand, plain | {"presets": texts})
    if command.run is None or command.resume is not None or any(word.startswith("arch") for word in words):
        return command
    from search.runs.folder import winner_of

    return replace(command, arch_file=str(winner_of(Path(command.run))))


def _trained_with(run: Path | None) -> dict[str, Any]:
    if run is None:
        return {}
    from search.runs.folder import trained_with

    return trained_with(run)


def _note_other_settings(command: TrainCommand, words: list[str]) -> None:
    """A winner alone does not bring along what its search trained with."""
    if command.run is not None or command.arch_file is None:
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


def _read(folder: Path, name: str, kind: type) -> Any:
    """What a training kept of its words or settings."""
    none = f"resume: {str(folder)!r} is no folder of a training"
    try:
        plain = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{none} ({first_line(error)})") from None
    if not isinstance(plain, kind):
        raise InputError(f"{none} ({name} holds something else)")
    return plain


def main(words: list[str]) -> int:
    try:
        folder = train(*command_of(words))
    except Diverged as error:
        print(f"{error}; a lower training.learning_rate may help")
        return 1
    print(f"trained: {folder}\ngenerate with: {command_line('generate', model=folder)} prompt='...'")
    return 0
