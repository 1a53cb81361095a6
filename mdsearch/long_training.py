"""What commands that train for long have in common: a folder of their own, and Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from space.shared.files import alone_in
from space.shared.plain import InputError


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
