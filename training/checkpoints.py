"""The states of one training in its folder: written behind its back, the last ones and chosen steps kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from space.shared.plain import InputError
from space.shared.retries import storage_error
from training.files import EARLIER_STATE_NAME, STATES_FOLDER, remove_states, states_in
from training.state import TrainingState, read_state, write_state


class Checkpoints:
    """The states in the folder of a training, of which one process at a time writes some.

    Args:
        keep_last: how many of the latest ones stay.
        keep_steps: those of these steps stay, too.

    Attributes:
        damaged: what `latest` could not read, a line each.
    """

    def __init__(self, folder: Path, *, keep_last: int = 1, keep_steps: Collection[int] = ()) -> None:
        self.folder, self._above = folder / STATES_FOLDER, folder
        self._keep_last, self._keep_steps = keep_last, frozenset(keep_steps)
        self._writer: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None
        self._unwritten: Callable[[], None] | None = None
        self.damaged: list[str] = []

    def save(self, state: TrainingState, then: Callable[[], None] | None = None) -> None:
        """Copy a state, and write the copy meanwhile; `then` follows. Waits for the one before, if that is
        being written.

        Raises:
            Diverged: the state before held what is no number. It was not written.
            OSError: the state before could not be written; the next call begins with that.
        """
        self.wait()
        self._begin(partial(self._write, state.copied(), then))

    def _begin(self, write: Callable[[], None]) -> None:
        def written() -> None:
            write()
            self._unwritten = None  # and its copy is given back

        self._unwritten = write
        self._writer = self._writer or ThreadPoolExecutor(1, "states")
        self._writing = self._writer.submit(written)

    def write(self, state: TrainingState) -> None:
        """Write a state; it is on the disk when this returns. Raises as `save`, of this state too."""
        self.save(state)
        self.wait()

    def wait(self) -> None:
        """Until nothing is being written. Raises as `save`."""
        if self._writing is None and self._unwritten is not None:
            self._begin(self._unwritten)
        writing, self._writing = self._writing, None
        error = None if writing is None else writing.exception()
        if error is not None:
            if storage_error(error) is None:  # it would fail again
                self._unwritten = None
            raise error

    @property
    def is_writing(self) -> bool:
        return self._writing is not None and not self._writing.done()

    def close(self) -> None:
        """Wait, whatever comes of it, and end the thread."""
        if self._writer is not None:
            self._writer.shutdown()
        self._writer = self._writing = self._unwritten = None

    def latest(self) -> TrainingState | None:
        """The latest state that is whole; None where training has not left one.

        Raises:
            InputError: it has, and none of them can be read.
        """
        self.wait()
        self.damaged, newest = [], None
        for path in reversed(states_in(self.folder)):
            try:
                return read_state(path)
            except InputError as error:
                if storage_error(error):  # it may come back
                    raise
                newest = newest or error
                self.damaged.append(str(error))
        if newest is not None:
            raise newest
        earlier = self._above / EARLIER_STATE_NAME
        if earlier.exists():
            raise InputError(f"{earlier}: is of an earlier version of mdsearch, and cannot be gone on with")
        return None

    def remove(self) -> None:
        """All of them, and what earlier versions left. Raises OSError."""
        self.close()
        remove_states(self._above)

    def _write(self, state: TrainingState, then: Callable[[], None] | None) -> None:
        written = write_state(state, self.folder)
        paths = [path for path in states_in(self.folder) if int(path.stem) <= state.step]
        kept = {written, *paths[-self._keep_last :]}
        kept |= {path for path in paths if int(path.stem) in self._keep_steps}
        # A state of a later step is of a training that has gone back: what comes now takes its place.
        for path in states_in(self.folder):
            if path not in kept:
                path.unlink(missing_ok=True)
        _remove_unnamed(self.folder, kept)
        if then is not None:
            then()


def _remove_unnamed(folder: Path, kept: Collection[Path]) -> None:
    """Tensors that no state names, and what killed processes left half written."""
    named = {_tensors_of(path) for path in kept}
    for path in [*folder.glob("*.safetensors"), *folder.glob(".*")]:
        if path.name not in named:
            path.unlink(missing_ok=True)


def _tensors_of(state: Path) -> str:
    """The name of its file; of a damaged state, whose tensors are of no use, of none."""
    try:
        return str(json.loads(state.read_text(encoding="utf-8"))["tensors"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
