"""The files that people watch while a search runs: made anew from the record, by a thread, now and then.

The thread reads the record from the disk, so it shares nothing with the search, and takes at most a small
share of the time: however long a report of thousands of trials takes, the search hardly notices.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LEAST_SECONDS = 10.0  # from one writing to the next
MOST_SHARE = 0.03  # of one core, spent writing
QUIET_SECONDS = 120.0  # then it writes without a touch, so that an old page tells of a driver that is no more
MOST_SECONDS = 600.0


class Rewriter:
    """Calls `write` in a thread of its own after `touch`, and now and then without. Between two writings lie
    `LEAST_SECONDS`, and as much time as keeps them to `MOST_SHARE` of a core, up to `MOST_SECONDS`. What goes
    wrong is told to `announce` once, and tried again the next time."""

    def __init__(self, write: Callable[[], object], announce: Callable[[str], None]) -> None:
        self.write, self.announce = write, announce
        self._touched, self._stopped = threading.Event(), threading.Event()
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)
        self._thread.start()

    def touch(self) -> None:
        """Something was recorded; returns at once."""
        self._touched.set()

    def stop(self) -> None:
        """Returns when nothing is being written any more, and nothing will be."""
        self._stopped.set()
        self._touched.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._touched.wait(QUIET_SECONDS)
            if self._stopped.is_set():
                return
            self._touched.clear()
            began = time.thread_time()
            self._write_once()
            pause = (time.thread_time() - began) / MOST_SHARE
            self._stopped.wait(min(max(LEAST_SECONDS, pause), MOST_SECONDS))

    def _write_once(self) -> None:
        try:
            self.write()
        except Exception as error:  # whatever it is, the search must not end for it: the record is the truth
            said = f"the report could not be written: {' '.join(str(error).split()) or type(error).__name__}"
            if said != self._said:
                self.announce(f"{said}; trying again later")
            self._said = said
        else:
            self._said = ""


def remove_torn(folder: Path, names: tuple[str, ...]) -> None:
    """Remove what a killed driver left of files that it was writing (`space.shared.files.replacing`)."""
    for name in names:
        for path in folder.glob(f".{name}.*"):
            with suppress(OSError):
                path.unlink()
