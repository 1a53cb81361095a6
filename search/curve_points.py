"""The points of a curve: what was drawn and how it scored, kept as they are measured, shown as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.files import write_whole
from search.rendering import Format, render
from space.plain import InputError, from_plain, to_plain

POINTS = "points.json"


@dataclass(frozen=True)
class Measured:
    """A score with the ends of its interval, where its evaluator gives one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class CurvePoint:
    """One model drawn with one guidance scale and one number of steps.

    Attributes:
        digest: of the model; `model` is what people call it.
        made: how the samples were made, as their manifest has it.
    """

    model: str
    digest: str
    guidance: float
    steps: int
    scores: dict[str, Measured]
    made: dict[str, Any]

    @property
    def key(self) -> tuple[str, float, int]:
        return self.digest, self.guidance, self.steps


@dataclass(frozen=True)
class Axes:
    """What all points of a folder share, so that they compare.

    Attributes:
        protocol: all that makes a score, printed; `protocol_id` is its digest.
        fid, clip: the names of the two scores that are drawn.
        interval: what the intervals are, in words.
        drawing: settings of the samples that all points share.
    """

    protocol_id: str
    protocol: str
    fid: str
    clip: str
    interval: str
    drawing: dict[str, Any]

    def line(self) -> str:
        """For under a picture."""
        d = self.drawing
        return (
            f"{d['count']:,} samples of {d['image_size_px']} px, {d['sampler']}, seed {d['seed']}, "
            f"{d['precision']}; protocol {self.protocol_id}; bars: {self.interval}"
        )


class CurveFolder:
    """The points measured so far, in `points.json`; a second model's join them.

    Raises:
        InputError: the folder holds points of another protocol or drawing, naming what differs.
    """

    def __init__(self, path: Path, axes: Axes) -> None:
        self.path, self.axes = path, axes
        self.points: list[CurvePoint] = []
        file = path / POINTS
        if file.is_file():
            stored, self.points = _read(file)
            ours, theirs = _flat(to_plain(axes)), _flat(to_plain(stored))
            differing = [
                f"{name}: {theirs.get(name)!r} there and {ours.get(name)!r} now"
                for name in ours | theirs
                if ours.get(name) != theirs.get(name) and name != "protocol"
            ]
            if differing:
                raise InputError(
                    f"out: the points in {path} do not compare ({'; '.join(differing)}); give another out="
                )

    def has(self, key: tuple[str, float, int]) -> bool:
        return any(point.key == key for point in self.points)

    def add(self, point: CurvePoint) -> None:
        """Take in a point, which is on the disk before this returns."""
        self.points = sorted([*self.points, point], key=lambda point: (point.model, *point.key))
        plain = {"axes": to_plain(self.axes), "points": to_plain(self.points)}
        write_whole(self.path / POINTS, json.dumps(plain, indent=1))


def _read(file: Path) -> tuple[Axes, list[CurvePoint]]:
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        points: list[CurvePoint] = from_plain(list[CurvePoint], plain["points"], "points")
        axes: Axes = from_plain(Axes, plain["axes"], "axes")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"out: {file} cannot be read as the points of a curve: {error}") from None
    return axes, points


def _flat(plain: Mapping[str, Any]) -> dict[str, Any]:
    drawing = {f"drawing.{name}": value for name, value in plain["drawing"].items()}
    return {name: value for name, value in plain.items() if name != "drawing"} | drawing


def table(points: Iterable[CurvePoint], axes: Axes, form: Format) -> str:
    """A row a point: FID and CLIP score with their intervals first, then the other scores."""
    points = list(points)
    others = sorted({name for point in points for name in point.scores} - {axes.fid, axes.clip})
    names = [axes.fid, axes.clip, *others]
    return render([_row(point, names) for point in points], [_shown(point, names) for point in points], form)


def _row(point: CurvePoint, names: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "model": point.model, "digest": point.digest, "guidance": point.guidance, "steps": point.steps,
    }  # fmt: skip
    for name in names:
        measured = point.scores[name]
        row |= {name: measured.value, f"{name}_low": measured.low, f"{name}_high": measured.high}
    return row


def _shown(point: CurvePoint, names: list[str]) -> dict[str, str]:
    row = {"model": point.model, "guidance": f"{point.guidance:g}", "steps": str(point.steps)}
    for name in names:
        measured = point.scores[name]
        between = "" if measured.low is None else f" ({measured.low:.4g} to {measured.high:.4g})"
        row[name] = f"{measured.value:.4g}{between}"
    return row
