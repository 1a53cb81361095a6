"""What a long measurement has so far, line by line: a killed one goes on where it was."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from space.shared.plain import InputError

LONGEST_VALUE = 80  # of a value in an error


class Journal:
    """A file of JSON lines: first what was measured, then a line for each result.

    Raises:
        InputError: the file is there and is of another measurement, or cannot be read or begun.
        OSError: it cannot be written further.
    """

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path = path
        self.results: dict[str, dict[str, Any]] = {}
        lines = whole_lines(path)
        if lines and lines[0] != about:
            other = [
                f"{name} {_short(lines[0].get(name))} there, {_short(about[name])} here"
                for name in about
                if lines[0].get(name) != about[name]
            ]
            raise InputError(
                f"{path}: is of another measurement ({'; '.join(other)}); allowed: to finish that, or to "
                "remove the file"
            )
        self.results = {line["of"]: line for line in lines[1:]}
        if not lines:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("", encoding="utf-8")
            except OSError as error:
                raise InputError(
                    f"{path}: cannot be written: {error.strerror}; allowed: a folder that can be"
                ) from None
            self._append(about)

    def add(self, of: str, **result: Any) -> None:
        self.results[of] = {"of": of, **result}
        self._append(self.results[of])

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def _append(self, line: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """Of a journal, none where there is none. A last line that a killed process wrote half is left out, and
    cut off. Raises InputError where it cannot be read."""
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        found = [json.loads(line) for line in whole.splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as begun measurements: {error}") from None
    if whole != text:
        os.truncate(path, len(whole.encode()))
    return found


def _short(value: Any) -> str:
    text = "not kept" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]} ..."
