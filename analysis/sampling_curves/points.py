"""The points of a curve: scores of one model's samples, which differ in guidance and steps alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.rendering import Format, render_table
from evaluators.protocols.protocol import EvaluationProtocol
from evaluators.protocols.score import Score, check_comparable, score_name
from evaluators.protocols.sheet import FILE, Sheet
from space.shared.plain import InputError, nearest
from training.diffusion import ONE_STEP

VARIED = ("drawing.guidance", "drawing.steps")
SHARED = ("count", "sampler", "seed")  # of the settings of samples, those that a protocol holds


@dataclass(frozen=True)
class CurvePoint:
    """One model sampled with one guidance scale and one number of steps, and its scores by name."""

    model: str
    guidance: float
    steps: int
    scores: dict[str, Score]


@dataclass(frozen=True)
class Curves:
    """All points of a folder, which compare but for guidance and steps; `fid` and `clip` are plotted."""

    folder: Path
    points: tuple[CurvePoint, ...]
    fid: str
    clip: str

    @property
    def protocol(self) -> EvaluationProtocol:
        """What all points share: guidance and steps are left out."""
        protocol, samplers = self._any_score.protocol, ", ".join(_samplers(self.points)) or None
        drawing = replace(protocol.drawing, guidance=None, steps=None, sampler=samplers)
        return replace(protocol, drawing=drawing)

    @property
    def _any_score(self) -> Score:
        return self.points[0].scores[self.fid]

    def description(self) -> list[str]:
        """Lines for under a plot."""
        protocol, interval = self.protocol, self._any_score.interval
        size = f"{protocol.images.size_px or 'several'} px"
        shared = (
            f"protocol {protocol.name} ({protocol.id}), {protocol.samples:,} samples of {size}, "
            f"{protocol.drawing.sampler}, seed {protocol.drawing.seed}"
        )
        return [shared] + ([f"bars: {interval.level:.0%} intervals of each score"] if interval else [])


def point_folder(out: Path, model: str, guidance: float, steps: int) -> Path:
    return out / model / f"guidance{guidance:g}-steps{steps}"


def has_scores(folder: Path, made: dict[str, Any]) -> bool:
    """Whether a point has its scores. Raises InputError if they are of samples made otherwise than `made`."""
    if not (folder / FILE).is_file():
        return False
    there = Sheet.load(folder).about["drawn"]
    for name in ("model", "settings", "captions"):
        if there[name] != made[name]:
            raise InputError(
                f"out: {folder} holds scores of samples with another {name} ({there[name]}) than now "
                f"({made[name]}); give another name= or out="
            )
    return True


def check_joins(out: Path, made: dict[str, Any]) -> None:
    """Before anything is generated, that its scores will compare with those in `out`, as far as is known.

    Raises:
        InputError: the points there are of other captions, or of samples with another count, sampler or seed;
            but points of a network that is distilled to one step join those of others.
    """
    for file in _sheets(out):
        there = Sheet.load(file).about["drawn"]
        shared = [("captions", there["captions"], made["captions"])]
        shared += [(name, there["settings"][name], made["settings"][name]) for name in SHARED]
        differing = [
            f"{name} {theirs} there and {ours} now"
            for name, theirs, ours in shared
            if theirs != ours and not (name == "sampler" and ONE_STEP in (theirs, ours))
        ]
        if differing:
            raise InputError(
                f"out: the points in {out} do not compare ({', '.join(differing)}); give another out="
            )


def _samplers(points: Iterable[CurvePoint]) -> list[str]:
    """All of them; networks that are distilled to one step have their own beside the others'."""
    found = {score.protocol.drawing.sampler for point in points for score in point.scores.values()}
    return sorted(sampler for sampler in found if sampler is not None)


def _sheets(out: Path) -> list[Path]:
    return sorted(out.glob(f"*/guidance*-steps*/{FILE}"))


def read_curves(out: Path, fid: str | None, clip: str | None) -> Curves:
    """Every point of a folder, by model, guidance and steps.

    Raises:
        InputError: scores that do not compare, naming the fields, or no score of the names asked for.
    """
    points = []
    for file in _sheets(out):
        sheet = Sheet.load(file)
        settings = sheet.about["drawn"]["settings"]
        scores = dict(sheet.scores)
        points.append(
            CurvePoint(file.parents[1].name, float(settings["guidance"]), int(settings["steps"]), scores)
        )
    points.sort(key=lambda point: (point.model, point.steps, point.guidance))
    varied = (*VARIED, "drawing.sampler") if ONE_STEP in _samplers(points) else VARIED
    for point in points[1:]:
        for name, score in point.scores.items():
            if name in points[0].scores:
                check_comparable(points[0].scores[name], score, varied)
    protocol = next(iter(points[0].scores.values())).protocol
    clips = protocol.text_networks("clip")
    first = {
        "fid": score_name("fid", protocol.features[0].name) if protocol.features else "",
        "clip": score_name("clip", clips[0].name) if clips else "",
    }
    chosen = {"fid": fid or first["fid"], "clip": clip or first["clip"]}
    for field, name in chosen.items():
        if any(name not in point.scores for point in points):
            raise InputError(f"{field}: no score {name!r} here; {nearest(name, points[0].scores)}")
    return Curves(out, tuple(points), chosen["fid"], chosen["clip"])


def curves_table(curves: Curves, form: Format) -> str:
    """A row per point: the two scores that are plotted first, then the others, with their intervals."""
    everywhere = [name for name in curves.points[0].scores if all(name in p.scores for p in curves.points)]
    names = [curves.fid, curves.clip, *(set(everywhere) - {curves.fid, curves.clip})]
    names[2:] = sorted(names[2:])
    rows = [_row(point, names) for point in curves.points]
    return render_table(rows, [_shown(point, names) for point in curves.points], form)


def _row(point: CurvePoint, names: Iterable[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"model": point.model, "guidance": point.guidance, "steps": point.steps}
    for name in names:
        score = point.scores[name]
        low, high = (score.interval.low, score.interval.high) if score.interval else (None, None)
        row |= {name: score.value, f"{name}_low": low, f"{name}_high": high}
    return row | {"protocol_id": next(iter(point.scores.values())).protocol.id}


def _shown(point: CurvePoint, names: Sequence[str]) -> dict[str, str]:
    row = {"model": point.model, "guidance": f"{point.guidance:g}", "steps": str(point.steps)}
    for name in names:
        score = point.scores[name]
        row[name] = f"{score.value:.4g}{f' {score.interval}' if score.interval else ''}"
    return row
