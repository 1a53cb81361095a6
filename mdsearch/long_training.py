"""What commands that train for long have in common: settings of a folder of their own, and Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from space.shared.command_lines import setting_word
from space.shared.files import alone_in
from space.shared.plain import InputError
from training.run import RunSettings

OF_FOLDER = {"state_every_steps": 1, "images": 1, "keep_last": 1, "rollbacks": 0}  # the least of each
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

    def check_kept(self, ends: Sequence[int]) -> None:
        """Raises InputError for counts that are too small, and for states that are to stay of steps, other
        than those at which training ends, that write none."""
        self.check_least(OF_FOLDER)
        own = [step for step in self.keep_steps if step not in ends]
        if odd := [step for step in own if step < 1 or step % self.state_every_steps]:
            raise InputError(
                f"keep_steps: {odd[0]} is no step at which a state is written; allowed: multiples of "
                f"{self.state_every_steps} (state_every_steps)"
            )


@contextmanager
def interruption() -> Iterator[Callable[[], bool]]:
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


def refuse_other_settings(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """For a folder whose training goes on though no `resume=` says so: it is to be the same training.

    Args:
        before, now: settings that decide what is learnt, as plain data; what `before` lacks is as it is now.

    Raises:
        InputError: one is another.
    """
    for name, value in _leaves(now):
        earlier = _at(before, name, value)
        if earlier != value and name.rpartition(".")[2] not in OF_EXECUTION:
            raise InputError(
                f"{name}: {value}, but {folder} holds a training with {earlier}; needed: another out=, or "
                f"{setting_word('resume', folder)}, which goes on with it"
            )


def _leaves(plain: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in plain.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _at(plain: Any, name: str, missing: Any) -> Any:
    for key in name.split("."):
        if not isinstance(plain, Mapping) or key not in plain:
            return missing
        plain = plain[key]
    return plain
