"""The prompts of every evaluation of a search."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from search.runs.files import ALL_PROMPTS_NAME


def evaluation_captions(held_out: Sequence[str], count: int) -> list[str]:
    """The first `count` held-out captions, again from the start if there are fewer."""
    return [held_out[index % len(held_out)] for index in range(count)]


def kept_captions(evaluator_folder: Path) -> list[str] | None:
    """Those that a run keeps, of a file; None where they are the held-out captions of its data."""
    file = evaluator_folder / ALL_PROMPTS_NAME
    return list(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None
