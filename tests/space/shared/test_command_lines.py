"""Commands to paste into a real shell, as an ASCII terminal shows them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from space.shared.command_lines import command_line

SHELLS = [shell for shell in ("bash", "zsh") if shutil.which(shell)]
NAMES = ["Größe 3 [it's]?", "漢字\\n'!", "caf\udce9", "a\nbü", "ü0f", "plain", "$(x) é", "`é`", '"é" $HOME']
PROGRAM = f"""
import sys
from space.shared.command_lines import command_line
names = {NAMES!a}
sys.stdout.write("\\n".join(command_line("compare", name, out=name) for name in names))
"""
PRINTED = "mdsearch() { printf '%s\\0' \"$@\"; }\n"


def arguments(shell: str, script: str) -> list[bytes]:
    """What the command is given, as bytes."""
    options = {"bash": ["--norc"], "zsh": ["-f"]}[shell]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    done = subprocess.run(
        [shell, *options, "-s"], input=(PRINTED + script).encode(), env=environment, capture_output=True
    )
    assert not done.stderr
    return done.stdout.split(b"\0")[:-1]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_pastes_from_an_ascii_terminal(shell: str) -> None:
    """With and without Python's UTF-8 mode, which LC_ALL=C turns on; the shell is in that locale, too."""
    strict = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for mode in (strict, {}):
        ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"} | mode
        environment = os.environ | ascii_only | {"PYTHONPATH": str(Path(__file__).parents[3])}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
        )
        assert done.stdout.isascii() and not done.stderr
        found = [word.decode("utf-8", "surrogateescape") for word in arguments(shell, done.stdout)]
        assert found[::3] == ["compare"] * len(NAMES) and found[1::3] == NAMES
        assert [word.removeprefix("out=") for word in found[2::3]] == [
            word if word == "plain" else '"' + word.replace('"', '\\"') + '"' for word in NAMES
        ]


@pytest.mark.parametrize("shell", SHELLS)
def test_so_does_a_name_that_is_not_utf_8_from_any_terminal(shell: str) -> None:
    assert arguments(shell, command_line("compare", "caf\udce9"))[1] == b"caf\xe9"


def test_what_the_terminal_shows_stays_readable() -> None:
    assert command_line("compare", "Größe 3") == "mdsearch compare 'Größe 3'"
