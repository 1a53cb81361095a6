"""The images in the page: real ones, and samples of the winner, the reference points, one stopped trial."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from analysis.report.charts.marks import scores_in_words
from search.formats import label
from search.objectives import known_in_words
from search.runs.files import (
    EVALUATOR_FOLDER,
    PROMPTS_NAME,
    REAL_NAME,
    SAMPLES_COLUMNS,
    SAMPLES_NAME,
    job_folder,
)
from search.runs.header import objectives_of, references_of
from search.runs.record import History, Trial
from search.runs.scores import point_of
from space.shared.plain import InputError, from_plain
from training.data.base import CommonSettings
from training.data.factory import DataSettings

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_SHEETS = 6
MOST_PIXELS_WIDE = 720


class SampleSheet(NamedTuple):
    """Images of one network, or real ones: a title, a caption, the first row and the whole as data addresses,
    and whether they are small."""

    title: str
    caption: str
    first_row: str
    source: str
    small: bool


def sample_sheets(folder: Path, history: History, winner: Trial | None) -> list[SampleSheet]:
    """The real images, where the run kept them, then one sheet for each chosen network whose samples.png is
    there and can be read; none without a network's."""
    found = [
        (title, _scores(trial, history), job_folder(folder, trial.key) / SAMPLES_NAME)
        for title, trial in _chosen(history, winner)[:MOST_SHEETS]
    ]
    sheets = [sheet for each in found if (sheet := _sheet(*each)) is not None]
    caption = "held out, of these captions" if prompts_of(folder) else "held out"
    real = _sheet("Real", caption + _real_scores(history), folder / EVALUATOR_FOLDER / REAL_NAME)
    return [real, *sheets] if real is not None and sheets else sheets


def prompts_of(folder: Path) -> list[str]:
    """What the images were generated from; empty for runs of earlier versions, which did not keep it."""
    try:
        prompts = json.loads((folder / EVALUATOR_FOLDER / PROMPTS_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(prompt) for prompt in prompts]


def attribution_of(history: History) -> str:
    """Whom the real images are by; empty where nobody is to be named, or the data are of a later version."""
    try:
        settings: CommonSettings = from_plain(DataSettings, history.header.get("data"), "data")
    except InputError:
        return ""
    return settings.attribution


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


def _real_scores(history: History) -> str:
    """Of real images; empty for runs of earlier versions, which did not score them."""
    told = known_in_words(objectives_of(history), history.real_scores)
    return f"; as many of the training split as a score is of have {told}" if told else ""


def _scores(trial: Trial, history: History) -> str:
    point = point_of(trial, objectives_of(history))
    return f"after {trial.last_step} steps" + (f", {scores_in_words(point)}" if point is not None else "")


def _sheet(title: str, caption: str, path: Path) -> SampleSheet | None:
    """None where there is no image that can be read."""
    from PIL.Image import DecompressionBombError
    from PIL.Image import open as open_image

    try:
        with open_image(path) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, DecompressionBombError):
        return None
    row = image.crop((0, 0, image.width, max(1, image.width // SAMPLES_COLUMNS)))
    return SampleSheet(
        title, caption, image_address(row), image_address(image), image.width < MOST_PIXELS_WIDE
    )


def image_address(image: Image) -> str:
    """An image as a data address, shrunk if wide."""
    from PIL.Image import Resampling

    if image.width > MOST_PIXELS_WIDE:
        height = max(1, round(image.height * MOST_PIXELS_WIDE / image.width))
        image = image.resize((MOST_PIXELS_WIDE, height), Resampling.LANCZOS)
    packed = io.BytesIO()
    image.save(packed, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode("ascii")
