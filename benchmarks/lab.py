"""What benchmarks share: their words, and a folder in which long ones run each command once, and go on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from space.shared.plain import InputError, from_plain, nearest

T = TypeVar("T")


@dataclass(frozen=True)
class Lab:
    """A folder in which commands are run; what is done leaves a file in `done`, with its words."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def once(self, name: str, *words: str) -> None:
        """Run a command, unless it was run to its end; what it began, it goes on with by itself.

        Raises:
            SystemExit: the same was done by other words, or the command failed.
        """
        if not self._is_so(self._done(name), words):
            self.run(*words)
            self._keep(self._done(name), words)

    def tried(self, name: str, *words: str) -> bool:
        """As `once`, of a command that may end with status 1: what it said last is kept in `failed`, and it
        is run no more. Returns whether it was done.

        Raises:
            SystemExit: the same was done or tried by other words, or was interrupted.
        """
        if self._is_so(self._failed(name), words):
            return False
        if not self._is_so(self._done(name), words):
            status, said = self._run(words)
            if status == 1:
                self._keep(self._failed(name), words, said)
                return False
            if status:
                sys.exit(status)
            self._keep(self._done(name), words)
        return True

    def failures(self) -> dict[str, str]:
        """What was tried and failed, and what it said."""
        files = sorted(self._failed("").glob("*"))
        return {file.name: file.read_text(encoding="utf-8").splitlines()[-1] for file in files}

    def _is_so(self, file: Path, words: Sequence[str]) -> bool:
        if not file.is_file():
            return False
        before, line = file.read_text(encoding="utf-8").splitlines()[0], " ".join(words)
        if before != line:
            sys.exit(f"{file}: was done by other words: {before}; allowed: these, or another folder")
        return True

    def _keep(self, file: Path, words: Sequence[str], *more: str) -> None:
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join([" ".join(words), *more]) + "\n", encoding="utf-8")

    def is_done(self, name: str) -> bool:
        return self._done(name).is_file()

    def _done(self, name: str) -> Path:
        return self.folder / "done" / name

    def _failed(self, name: str) -> Path:
        return self.folder / "failed" / name

    def run(self, *words: str) -> None:
        """Raises SystemExit, with its status, where a command fails."""
        status, _ = self._run(words)
        if status:
            sys.exit(status)

    def _run(self, words: Sequence[str]) -> tuple[int, str]:
        """The command's status, and the last line that it printed."""
        print("mdsearch " + " ".join(words), flush=True)
        said, command = "", [sys.executable, "-u", "-m", "mdsearch", *words]
        with subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                said = line.strip() or said
        return process.returncode, said


def given_words(words: Sequence[str], allowed: Collection[str]) -> dict[str, str]:
    """`name=value` by name. Raises InputError for another word."""
    given = dict[str, str]()
    for word in words:
        name, equals, value = word.partition("=")
        if name not in allowed:
            raise InputError(f"{name}: is no word of this benchmark; {nearest(name, allowed)}")
        if not equals:
            raise InputError(f"{name}: has no value; allowed: {name}=...")
        given[name] = value
    return given


def in_folder(kind: type[T], words: Sequence[str]) -> T:
    """A dataclass of the words FOLDER name=value ..., its first field being the folder; a list has commas.

    Raises:
        InputError: no folder, another word, or a value that cannot be.
    """
    if not words or "=" in words[0]:
        raise InputError("FOLDER: none is named; allowed: a folder, as the first word")
    lists = {field.name for field in fields(kind) if str(field.type).startswith("tuple")}  # type: ignore[arg-type]
    plain: dict[str, Any] = {"folder": words[0]}
    names = [field.name for field in fields(kind)][1:]  # type: ignore[arg-type]
    for name, value in given_words(words[1:], names).items():
        plain[name] = value.split(",") if name in lists else yaml.safe_load(value)
    return from_plain(kind, plain)


def given_counts(words: Sequence[str], usual: Mapping[str, int]) -> dict[str, int]:
    """Whole numbers by name. Raises InputError for another word, and for what is none."""
    return dict(usual) | {
        name: whole_number(name, value) for name, value in given_words(words, usual).items()
    }


def whole_number(name: str, value: str) -> int:
    """1 or more. Raises InputError for anything else."""
    if not value.isdecimal() or int(value) < 1:
        raise InputError(f"{name}: {value} is not possible; allowed: a whole number, 1 or more")
    return int(value)


def run_as_command(main: Callable[[list[str]], int], about: str | None) -> None:
    """With the words of the command line. Ends the process: bad input in one line and status 2."""
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(about)
        sys.exit(0)
    try:
        sys.exit(main(words))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
