"""Tables that are piped are as wide as they are; on a terminal they fit it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.table import Table

from space.shared.console import command_console

ROOT = Path(__file__).parents[3]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(monkeypatch: pytest.MonkeyPatch, where: io.StringIO, **environment: str) -> list[str]:
    for name in ("COLUMNS", "LINES", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", where)
    table = Table("network", "of", show_lines=False)
    table.add_row("a long name of a network " * 10, "x")
    command_console().print(table)
    command_console().print("words " * 40)
    return where.getvalue().splitlines()


def test_in_a_pipe_nothing_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    for environment in ({}, {"FORCE_COLOR": "1"}):
        lines = printed(monkeypatch, io.StringIO(), **environment)
        assert len(lines) == 6 and max(map(len, lines)) < 400


def test_a_terminal_and_whoever_says_a_width_are_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(printed(monkeypatch, Terminal(), TERM="xterm", COLUMNS="300")) == 6
    assert len(printed(monkeypatch, Terminal(), TERM="xterm")) > 6
    assert max(map(len, printed(monkeypatch, io.StringIO(), COLUMNS="50"))) <= 50


def test_commands_have_no_other_console() -> None:
    rooms = ("analysis", "conf", "evaluators", "mdsearch", "search", "space", "training")
    files = [file for room in rooms for file in (ROOT / room).rglob("*.py")]
    own = [file.name for file in files if re.search(r"\bConsole\(", file.read_text(encoding="utf-8"))]
    assert own == ["console.py"]
