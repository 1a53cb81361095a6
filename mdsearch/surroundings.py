"""What a command finds around it, put right before all else: where imports come from, streams, home, user."""

from __future__ import annotations

import codecs
import getpass
import io
import json
import os
import sys
from pathlib import Path

from mdsearch.packages import OURS
from space.shared.caches import can_be_written, own_temporary
from space.shared.plain import InputError

SPELLED = "as JSON spells them"


def settle() -> None:
    """Of this process, and of those that it will start.

    Raises:
        InputError: the current folder is gone.
    """
    _import_nothing_from_here()
    _print_whatever_comes()
    _have_a_temporary_folder()
    _have_a_home()
    _have_a_name()


def _import_nothing_from_here() -> None:
    """A `training/`, `search.py` or `random.py` of the user's in the current folder is not what we import."""
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # workers begin as `python -c`, which looks here first
    try:
        here = os.getcwd()
    except FileNotFoundError:
        raise InputError("the current folder was removed; change to one that is there") from None
    if not sys.flags.safe_path and sys.path[:1] in ([""], [here]) and Path(here).resolve() != OURS:
        del sys.path[0]  # begun as `python -m`


def _print_whatever_comes() -> None:
    """Also to a stream that is ASCII, and names that are not UTF-8: as JSON spells them, which stays JSON."""
    codecs.register_error(SPELLED, _spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=SPELLED)


def _spelled(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def _have_a_temporary_folder() -> None:
    """Python looks for another one where TMPDIR names none; Ray and other libraries do not."""
    if not os.path.isdir(os.environ.get("TMPDIR", os.sep)):
        del os.environ["TMPDIR"]


def _have_a_home() -> None:
    """Ours and those of libraries are caches that can be made again: they never end a command."""
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor an entry of this user
        home = own_temporary("home")
        os.environ["HOME"] = str(home)
        print(f"note: no home folder is known (HOME), so caches go to {home}", file=sys.stderr)
    if not can_be_written(home):
        for name in ("MPLCONFIGDIR", "TRITON_CACHE_DIR"):
            os.environ.setdefault(name, str(own_temporary(name.partition("_")[0].lower())))


def _have_a_name() -> None:
    """Libraries name folders after the user."""
    try:
        getpass.getuser()
    except (KeyError, OSError):  # no entry of this user
        os.environ["LOGNAME"] = f"user-{os.getuid()}"
