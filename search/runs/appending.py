"""A file of lines that one process appends to, whole lines only, whatever happens to it or to the storage."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from search.runs.files import HOLDER_NAME
from space.shared.files import write_whole
from space.shared.plain import InputError
from space.shared.retries import StorageAway, pauses, reason_of, resume_hint, timed_out, waiting_time

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # of storage that was mounted without locks


class AppendedLines:
    """Open for appending, and held against other processes until it is closed.

    A line is on the disk before `append` returns. A torn last line, of a process that was killed while it
    wrote, is cut off on opening. Where the disk is full, read-only or away, `append` says so to `announce`,
    cuts back what it left of the line, waits and tries again.

    Raises:
        InputError: the file cannot be written, or another process holds it.
        StorageAway: from `append`, when the storage did not come back while it waited.
    """

    def __init__(self, path: Path, announce: Callable[[str], None]) -> None:
        self.path, self.announce = path, announce
        try:
            self._file = _open_locked(path)
            self._end = self._cut_torn_line()
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror}") from None
        with suppress(OSError):  # for the message that a second process gets, no more
            write_whole(path.parent / HOLDER_NAME, f"process {os.getpid()} on {socket.gethostname()}")

    def append(self, line: bytes) -> None:
        """`line` ends with a newline, and has no other."""
        try:
            self._write(line)
        except OSError as error:
            self._keep_trying(line, reason_of(error))

    def close(self) -> None:
        self._file.close()

    def _keep_trying(self, line: bytes, reason: str) -> None:
        self.announce(f"{self.path}: cannot be written: {reason}; trying again for {waiting_time()}")
        for pause in pauses():
            time.sleep(pause)
            try:
                self._reopen()
                self._cut_back(line)
                self._write(line)
            except OSError as error:
                reason = reason_of(error)
            else:
                self.announce(f"{self.path}: is written again; the search goes on")
                return
        raise timed_out(f"{self.path}: cannot be written", reason, self.path.parent)

    def _write(self, line: bytes) -> None:
        if not os.fstat(self._file.fileno()).st_nlink:
            raise OSError(errno.ENOENT, "was deleted")
        left = memoryview(line)
        while left:
            left = left[self._file.write(left) :]
        os.fsync(self._file.fileno())
        self._end += len(line)

    def _reopen(self) -> None:
        """After a server restarted or a folder was mounted anew, the open file may lead nowhere."""
        there = os.stat(self.path)
        if not self._file.closed:
            with suppress(OSError):
                if os.path.samestat(os.fstat(self._file.fileno()), there):
                    return
            self._file.close()
        self._file = _open_locked(self.path)

    def _cut_back(self, line: bytes) -> None:
        """Cut off what an attempt left of the line; anything else behind the end is another's."""
        self._file.seek(0, os.SEEK_END)
        missing = self._file.tell() < self._end
        self._file.seek(self._end)
        if missing or not line.startswith(self._file.read()):
            raise StorageAway(
                f"{self.path}: is not as this search left it; another may have gone on with it meanwhile; "
                f"{resume_hint(self.path.parent)}"
            )
        self._file.truncate(self._end)

    def _cut_torn_line(self) -> int:
        """The size of what is left: whole lines."""
        self._file.seek(0)
        content = self._file.read()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            self._file.truncate(end)
        return end


def _open_locked(path: Path) -> io.FileIO:
    """
    Raises:
        InputError: another process holds it, or its file system knows no locks.
        OSError: it cannot be opened for writing.
    """
    file = open(path, "a+b", buffering=0)  # noqa: SIM115 (held for the life of the driver)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise InputError(
            f"{path.parent}: another search is writing to this run folder{_holder(path.parent)}"
        ) from None
    except OSError as error:
        file.close()
        if error.errno not in _NO_LOCKS:
            raise
        raise InputError(
            f"{path}: cannot be locked against a second search: {error.strerror}; mount this storage with "
            "locks (flock), or choose another runs_folder="
        ) from None
    return file


def _holder(folder: Path) -> str:
    try:
        return f": {(folder / HOLDER_NAME).read_text(encoding='utf-8')}"
    except (OSError, UnicodeDecodeError):
        return ""
