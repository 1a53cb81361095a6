"""A folder of a user's whose modules and packages are called as ours, and as some of Python's, and raise."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMAND = str(Path(sys.executable).with_name("mdsearch"))
NAMES = ("mdsearch", "search", "space", "training", "evaluators", "conf", "analysis", "random", "queue")


def folder_with_traps(folder: Path) -> Path:
    for number, name in enumerate(NAMES):
        file = folder / (f"{name}.py" if number % 2 else f"{name}/__init__.py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("raise SystemExit('imported from the current folder')\n")
    return folder


def of_a_user(**changed: str | None) -> dict[str, str]:
    """The environment of one who has set none of what our tests may run with; None takes a variable away."""
    changed = {"PYTHONSAFEPATH": None, "PYTHONPATH": str(ROOT), **changed}
    kept = {name: value for name, value in os.environ.items() if name not in changed}
    return kept | {name: value for name, value in changed.items() if value is not None}
