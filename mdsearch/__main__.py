"""`mdsearch`: one entry point, one verb per question."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from conf.folders import config_folders, divided_option
from mdsearch.commands import COMMANDS, FLAT, HELP, divide, run_command
from mdsearch.surroundings import settle
from space.shared.plain import InputError

INTRO = """
Find efficient text-to-image networks: architecture search under hard budgets.

  mdsearch <command> [name=value ...]        run a command
  mdsearch <command> --help                  its settings, presets and examples
  mdsearch <command> --config-dir <folder>   with presets of your own, as <folder>/<group>/<name>.yaml
  mdsearch --version
"""


def main(words: list[str]) -> int:
    folders, words = divided_option(words)
    with config_folders(folders):
        return _main(words)


def _main(words: list[str]) -> int:
    if words[:1] == ["help"]:  # mdsearch help search
        words = [*words[1:], HELP[-1]]
    if not words or words[0] in HELP:
        print(commands_text())
        return 0
    if words[0] == "--version":
        from mdsearch import __version__

        print(f"mdsearch {__version__}")
        return 0
    if "=" in words[0] or words[0] in ("-m", "--multirun"):
        print("note: mdsearch name=value is now mdsearch search name=value", file=sys.stderr)
        words = ["search", *words]
    return run_command(*divide(words))


def commands_text() -> str:
    """Every command by what it is for."""
    width = max(len(name) for name in FLAT)
    lines = [INTRO.strip()]
    for title, commands in COMMANDS.items():
        lines += ["", f"{title}:", *(f"  {name:<{width}}  {about}" for name, about in commands.items())]
    return "\n".join(lines)


ENDED_BY_CLOSED_PIPE = 141  # as a shell has it of what SIGPIPE ends


def run_and_exit(command: Callable[[list[str]], int], words: list[str]) -> NoReturn:
    """Run a command: what the user got wrong ends in one line and status 2, a bug in its traceback."""
    try:
        status = command(words)
        sys.stdout and sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        status = 130
    except (OSError, SystemExit) as error:
        if _reader_is_gone(error):
            status = ENDED_BY_CLOSED_PIPE
        elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
            print(
                f"error: {error.filename or 'the output'} cannot be written: {error.strerror}",
                file=sys.stderr,
            )
            status = 1
        else:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter tries once more
    sys.exit(status)


def _reader_is_gone(error: BaseException) -> bool:
    """The reader of our output, `head` say, has had enough; rich makes an exit of that."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, BrokenPipeError) or frames[-1].name == "on_broken_pipe"


def entry() -> NoReturn:
    """What the installed command calls."""
    run_and_exit(_settled(main), sys.argv[1:])


def alias(name: str) -> NoReturn:
    """What `python -m search.compare` and the like call until the next release: the command of this name."""
    words = sys.argv[1:]
    if name == "count" and words[:1] == ["explore"]:  # was `python -m space explore`
        name, words = "explore", words[1:]
    print(f"note: this is mdsearch {name} now; python -m goes with the next release", file=sys.stderr)
    run_and_exit(_settled(lambda words: run_command(name, words)), words)


def _settled(command: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    def run(words: list[str]) -> int:
        settle()
        return command(words)

    return run


if __name__ == "__main__":
    entry()
