"""A sheet of scores in one file, each with its protocol, and two sheets side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.protocols.protocol import HPS
from evaluators.protocols.score import Score, ScoreVerdict
from space.shared.files import write_whole
from space.shared.plain import InputError

FILE = "scores.json"


@dataclass(frozen=True)
class Sheet:
    """Scores of one set of images.

    Attributes:
        scores: by name.
        about: what else is to be known: the images, the reference, how the samples were generated, the pace.
    """

    scores: Mapping[str, Score]
    about: Mapping[str, Any]

    def to_json(self) -> str:
        plain = {
            "scores": {name: score.to_plain() for name, score in self.scores.items()},
            "about": dict(self.about),
        }
        return json.dumps(plain, indent=1, ensure_ascii=False)

    def save(self, path: Path) -> None:
        """Raises InputError where the file cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, self.to_json() + "\n", durable=True)
        except OSError as error:
            raise InputError(f"out: {path} cannot be written: {error}") from None

    @classmethod
    def load(cls, path: Path) -> Sheet:
        """From the file or its folder. Raises InputError where there is none, or it was changed by hand."""
        file = path / FILE if path.is_dir() else path
        try:
            plain = json.loads(file.read_text(encoding="utf-8"))
            scores = {str(name): Score.from_plain(score) for name, score in plain["scores"].items()}
            return cls(scores, plain["about"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file}: cannot be read as scores: {error}") from None


def compare(
    one: Sheet, other: Sheet, but_for: Iterable[str] = ()
) -> dict[str, tuple[Score, Score, ScoreVerdict]]:
    """Each score that both have: the two, and whether the first is better beyond their intervals.

    Args:
        but_for: protocol fields that may differ, since they are what is compared ("drawing.steps").

    Raises:
        InputError: no score in common, other versions of HPS, or other protocols.
    """
    _check_versions(one, other)
    both = [name for name in one.scores if name in other.scores]
    if not both:
        raise InputError(
            f"compare: {', '.join(one.scores)} and {', '.join(other.scores)} have no score in common"
        )
    allowed = list(but_for)
    return {
        name: (ours, theirs, ours.compare(theirs, allowed))
        for name in both
        for ours, theirs in [(one.scores[name], other.scores[name])]
    }


def _check_versions(one: Sheet, other: Sheet) -> None:
    """Raises InputError where HPS of the one is by another version's network than that of the other."""
    ours, theirs = ([name for name in sheet.scores if name.startswith(f"{HPS}_")] for sheet in (one, other))
    if ours and theirs and not set(ours) & set(theirs):
        raise InputError(
            f"compare: {ours[0]} and {theirs[0]} are of two versions of HPS, whose scores do not compare; "
            "allowed: two of one version"
        )
