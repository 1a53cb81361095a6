"""What commands that train for long have in common: settings of a folder of their own, and Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from conf.words import first_line
from mdsearch.progress import training_progress
from space.shared.command_lines import command_line, setting_word
from space.shared.console import command_console
from space.shared.files import alone_in, write_whole
from space.shared.plain import InputError, flat, to_plain
from space.shared.retries import StorageAway
from training.distributed.ranks import Parallel, given_workers
from training.failures import Collapsed, Diverged, WorkersLost, is_out_of_memory
from training.files import CONFIG_NAME, STATES_FOLDER, has_states, states_in
from training.kept import KeptTraining
from training.run import Kept, RunSettings, TrainingRun

WORDS = "overrides.yaml"
LEAST = {
    "state_every_steps": 1, "images": 1, "keep_last": 1, "rollbacks": 0, "workers": 1, "min_workers": 1,
    "restarts": 0,
}  # fmt: skip
# What a training may be gone on with otherwise: it learns the same, or for longer.
OF_EXECUTION = {
    "steps", "device", "precision", "micro_batch", "memory_format", "compile", "checkpointing",
    "validation_images",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LongTraining:
    """Fields of every such command; `presets` are texts of the user's own YAML that they were made of."""

    seed: int = 0
    out: str | None = None
    resume: str | None = None
    state_every_steps: int = 200
    keep_last: int = 2
    keep_steps: tuple[int, ...] = ()
    rollbacks: int = 1
    images: int = 48
    workers: int = 1
    parallel: Parallel = "ddp"
    min_workers: int = 1
    restarts: int = 3
    presets: dict[str, str] = field(default_factory=dict)

    def kept(self) -> RunSettings:
        return RunSettings(
            seed=self.seed,
            state_every_steps=self.state_every_steps,
            keep_last=self.keep_last,
            keep_steps=self.keep_steps,
            rollbacks=self.rollbacks,
            images=self.images,
        )

    def check_least(self, least: Mapping[str, int]) -> None:
        """Raises InputError for a field that is below its least value."""
        for name, value in least.items():
            if getattr(self, name) < value:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: {value} or more")

    def check_counts(self, ends: Sequence[int]) -> None:
        """Raises InputError for counts that are too small, and for states that are to stay of steps, other
        than those at which training ends, that write none."""
        self.check_least(LEAST)
        if self.min_workers > self.workers and self.min_workers > 1:
            raise InputError(f"min_workers: {self.min_workers}; allowed: 1 to {self.workers} (workers)")
        own = [step for step in self.keep_steps if step not in ends]
        if odd := [step for step in own if step < 1 or step % self.state_every_steps]:
            raise InputError(
                f"keep_steps: {odd[0]} is no step at which a state is written; allowed: multiples of "
                f"{self.state_every_steps} (state_every_steps)"
            )

    def without_effect_alone(self, many: int) -> list[str]:
        """A line for what nothing acts on where so many train together."""
        if self.parallel == "ddp" or many > 1 or given_workers() is not None:
            return []
        return [f"parallel={self.parallel} has no effect: there is one worker"]


ASKS_TO_STOP = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and what clusters send before they take a machine


@contextmanager
def interruption() -> Iterator[Callable[[], bool]]:
    """Remember that somebody asks to stop instead of breaking a step; a second time breaks it."""
    pressed = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    before = {number: signal.signal(number, remember) for number in ASKS_TO_STOP}
    try:
        yield lambda: pressed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held(folder: Path) -> Iterator[None]:
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


def check_ahead(folder: Path, end: int, field: str) -> None:
    """Raises InputError where training, as the field has it, ends before the last state in its folder."""
    states = states_in(folder / STATES_FOLDER)
    if states and end < (step := int(states[-1].stem)):
        raise InputError(
            f"{field}: {end:,} steps, but what is in {str(folder)!r} is at step {step:,}; allowed: "
            f"{step:,} or more"
        )


def came_to_its_end(train: Callable[[], object], verb: str, folder: Path, group: str = "training") -> bool:
    """Whether a training did; why it did not is said, with how to go on where that is known.

    Args:
        verb: the command.
        group: of its settings.

    Raises:
        Exception: of another kind than a training foresees.
    """
    try:
        train()
        return True
    except Diverged as error:
        print(f"{error}; a lower {group}.learning_rate may help")
    except Collapsed as error:
        again = f"; from the last state, with what is changed: {command_line(verb, resume=folder)} ..."
        print(f"{error}. Anew: another out={again if has_states(folder) else ''}")
    except StorageAway as error:
        print(error)
    except WorkersLost as error:
        print(f"{error}; go on with: {command_line(verb, resume=folder)}")
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        resume, field = command_line(verb, resume=folder), f"{group}.micro_batch"
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        print(
            f"out of memory: {reason}; a smaller {field} takes less, in batches as before: {resume} "
            f"{field}=..."
        )
    return False


@contextmanager
def run_in_folder(
    trainer: Kept, folder: Path, command: LongTraining
) -> Iterator[tuple[TrainingRun[Kept], Callable[[], bool]]]:
    """A run in a folder that nobody else writes to, and whether somebody asks to stop; by all workers.

    Raises:
        KeyboardInterrupt: at the end, if somebody did; it has been said how to go on.
    """
    ranks = trainer.ranks

    def stopped() -> bool:
        return ranks.asked

    with ExitStack() as stack:
        if ranks.is_first:
            stack.enter_context(held(folder))
        ranks.asks = stack.enter_context(interruption())
        run = TrainingRun(trainer, folder, command.kept(), stopped=stopped)
        yield stack.enter_context(closing(run)), stopped
    end_if_stopped(stopped, trainer, folder)


def train_in_sight(run: TrainingRun[Any], end: int, last: int, *, of: str = "", beside: str = "") -> None:
    """Train to `end` of `last` steps, having said what is trained, on what, where, and by how many workers.
    Raises as `train_to`.

    Args:
        of: what the parameters are of, and `beside` what else is to be said.
    """
    trainer, ranks = run.trainer, run.trainer.ranks
    by = "" if ranks.size == 1 else f", by {ranks.size} workers ({ranks.parallel})"
    print(
        f"{trainer.parameters:,} parameters{of} on {trainer.device}, {trainer.data.train_images:,} images of "
        f"{trainer.data.image_size_px} px, steps {trainer.step} to {end}, in {run.folder}{by}{beside}"
    )
    with training_progress(command_console(), last, trainer.step) as advance:
        run.train_to(end, advance if ranks.is_first else lambda step, loss: None)


def end_if_stopped(stopped: Callable[[], bool], trainer: KeptTraining[Any], folder: Path) -> None:
    """Raises KeyboardInterrupt, having said how to go on."""
    if stopped():
        print(f"stopped at step {trainer.step}; go on with: {command_line(trainer.command, resume=folder)}")
        raise KeyboardInterrupt


# ---------------------------------------------------------------------- what is kept in the folder


def keep_words(
    folder: Path, words: Sequence[str], settings: Mapping[str, Any], texts: Mapping[str, str]
) -> None:
    """What is needed to go on: the words, the resolved settings, and further texts by the names of their
    files. Raises InputError where the folder cannot be written."""
    try:
        for name, text in texts.items():
            write_whole(folder / name, text)
        write_whole(folder / WORDS, yaml.safe_dump(list(words)))
        write_whole(folder / CONFIG_NAME, yaml.safe_dump(dict(settings), sort_keys=False))
    except OSError as error:
        raise InputError(f"out: {str(folder)!r} cannot be written: {error}") from None


def read_kept(folder: Path, name: str, kind: type, word: str = "resume", what: str = "a training") -> Any:
    """What a training kept of its words or settings. Raises InputError where it kept none."""
    none = f"{word}: {str(folder)!r} is no folder of {what}"
    try:
        plain = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{none} ({first_line(error)})") from None
    if not isinstance(plain, kind):
        raise InputError(f"{none} ({name} holds something else)")
    return plain


def check_same_training(folder: Path, resume: str | None, own: str, deciding: Mapping[str, object]) -> None:
    """Raises InputError where a folder holds another training of this command, and no `resume=` asks to go on
    so.

    Args:
        own: a field that commands of another kind have not; of theirs the states say what they are.
        deciding: what is learnt, by field.
    """
    if resume is None and has_states(folder):
        before = read_kept(folder, CONFIG_NAME, dict, "out")
        if own in before:
            refuse_other_settings(folder, before, to_plain(dict(deciding)))


def refuse_other_settings(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """For a folder whose training goes on though no `resume=` says so: it is to be the same training.

    Args:
        before, now: settings that decide what is learnt, as plain data; what `before` lacks is as it is now.

    Raises:
        InputError: one is another.
    """
    for name, value in flat(now):
        earlier = _at(before, name, value)
        if earlier != value and name.rpartition(".")[2] not in OF_EXECUTION:
            to_go_on = f", or {setting_word('resume', folder)}, which goes on with it"
            raise InputError(
                f"{name}: {value}, but {folder} holds a training with {earlier}; needed: another out="
                + ("" if name.endswith(".name") else to_go_on)  # what is of another kind is not gone on with
            )


def _at(plain: Any, name: str, missing: Any) -> Any:
    for key in name.split("."):
        if not isinstance(plain, Mapping) or key not in plain:
            return missing
        plain = plain[key]
    return plain
