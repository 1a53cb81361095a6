"""Where commands print their tables and lines: as wide as a terminal is, and anywhere else as they are."""

from __future__ import annotations

import os

from rich.console import Console

NO_WIDTH = 1_000_000  # characters: a file has no edge that lines would have to be broken at


def command_console(*, stderr: bool = False) -> Console:
    """Of standard output, or of the error output."""
    console = Console(stderr=stderr)
    if console.file.isatty() or "COLUMNS" in os.environ:
        return console
    return Console(stderr=stderr, width=NO_WIDTH)
