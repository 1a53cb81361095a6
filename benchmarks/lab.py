"""Long benchmarks that are made of commands: each is run once in a folder, and goes on where it was left."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


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
        done, line = self._done(name), " ".join(words)
        if self.is_done(name):
            if (before := done.read_text(encoding="utf-8").strip()) != line:
                sys.exit(f"{done}: was done by other words: {before}; allowed: these, or another folder")
            return
        self.run(*words)
        done.parent.mkdir(exist_ok=True)
        done.write_text(line + "\n", encoding="utf-8")

    def is_done(self, name: str) -> bool:
        return self._done(name).is_file()

    def _done(self, name: str) -> Path:
        return self.folder / "done" / name

    def run(self, *words: str) -> None:
        """Raises SystemExit, with its status, where a command fails."""
        print("mdsearch " + " ".join(words), flush=True)
        if status := subprocess.run([sys.executable, "-m", "mdsearch", *words], cwd=self.folder).returncode:
            sys.exit(status)
