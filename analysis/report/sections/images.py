"""The sample sheets in the page: the winner, the reference points, one stopped trial."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import NamedTuple

from analysis.report.charts.marks import scores_in_words
from search.formats import label
from search.runs.files import SAMPLES_NAME, job_folder
from search.runs.header import objectives_of, references_of
from search.runs.record import History, Trial
from search.runs.scores import point_of

MOST_SHEETS = 6
MOST_PIXELS_WIDE = 720


class SampleSheet(NamedTuple):
    """An image of one network's samples: a title, a caption, a data address, and whether it is small."""

    title: str
    caption: str
    source: str
    small: bool


def sample_sheets(folder: Path, history: History, winner: Trial | None) -> list[SampleSheet]:
    """One for each chosen network whose samples.png is there and can be read."""
    sheets = []
    for title, trial in _chosen(history, winner)[:MOST_SHEETS]:
        image = _embedded(job_folder(folder, trial.key) / SAMPLES_NAME)
        if image is not None:
            sheets.append(SampleSheet(title, _scores(trial, history), *image))
    return sheets


def _chosen(history: History, winner: Trial | None) -> list[tuple[str, Trial]]:
    chosen = [(f"The winner, {winner.name}", winner)] if winner is not None else []
    for name in references_of(history):
        runs = [t for t in history.confirmations if t.name == name and t.state == "complete"]
        chosen += [(f"{label(name)}, seed {run.seed}", run) for run in runs[:1]]
    stopped = [trial for trial in history.trials if trial.state == "halted"]
    chosen += [(f"Stopped, {trial.name}", trial) for trial in stopped[:1]]
    if winner is None:
        chosen += [
            (trial.name, trial) for trial in history.trials if trial.rungs and trial not in stopped[:1]
        ][:2]
    return chosen


def _scores(trial: Trial, history: History) -> str:
    point = point_of(trial, objectives_of(history))
    return f"after {trial.last_step} steps" + (f", {scores_in_words(point)}" if point is not None else "")


def _embedded(path: Path) -> tuple[str, bool] | None:
    """A PNG as a data address, shrunk if wide, and whether it is small; None where it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    small = image.width < MOST_PIXELS_WIDE
    if not small:
        height = max(1, round(image.height * MOST_PIXELS_WIDE / image.width))
        image = image.resize((MOST_PIXELS_WIDE, height), Image.Resampling.LANCZOS)
    packed = io.BytesIO()
    image.save(packed, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode("ascii"), small
