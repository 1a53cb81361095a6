"""The plots of a curve: which points are joined, and how far their bars reach."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from analysis.sampling_curves import plots
from analysis.sampling_curves.plots import plot_guidance, plot_steps
from analysis.sampling_curves.points import CurvePoint, Curves
from evaluators.protocols.score import ConfidenceInterval, Score
from tests.evaluators.protocols.test_protocol import preset

FID, CLIP = "fid_inception_v3", "clip_vit_b_32"


@pytest.fixture
def figure(monkeypatch: pytest.MonkeyPatch) -> Figure:
    """What is plotted, instead of a file."""
    figure = Figure()

    @contextmanager
    def kept(path: Path, size: tuple[float, float]) -> Iterator[Figure]:
        yield figure

    monkeypatch.setattr(plots, "plot_file", kept)
    return figure


def score(name: str, value: float, low: float | None = None, high: float | None = None) -> Score:
    interval = None if low is None or high is None else ConfidenceInterval(low, high, 0.95, "by hand")
    return Score(name, value, interval, preset("coco30k"), 10)


def point(guidance: float, steps: int, fid: float, clip: Score | float, model: str = "a") -> CurvePoint:
    scores = {FID: score(FID, fid), CLIP: clip if isinstance(clip, Score) else score(CLIP, clip)}
    return CurvePoint(model, guidance, steps, scores)


def curves(*points: CurvePoint) -> Curves:
    return Curves(Path("nowhere"), points, FID, CLIP)


def lines(axes: Axes) -> dict[str, list[list[float]]]:
    """The points of each line under its name."""
    found = {}
    for line in axes.containers:
        assert isinstance(line, ErrorbarContainer) and line.lines[0] is not None
        found[line.get_label()] = line.lines[0].get_xydata().tolist()  # type: ignore[union-attr]
    return found


def test_lines_join_what_differs_in_guidance_or_in_steps_alone(figure: Figure) -> None:
    mixed = curves(
        point(2, 1, 50, 0.1), point(4, 2, 30, 0.4), point(1, 2, 40, 0.2), point(2, 2, 20, 0.3),
        point(2, 4, 10, 0.5), point(1, 2, 60, 0.6, model="alone"),
    )  # fmt: skip
    assert plot_guidance(mixed, Path("guidance.png"))
    [axes] = figure.axes
    assert lines(axes) == {"a, 2 steps": [[0.2, 40], [0.3, 20], [0.4, 30]]}
    assert [text.get_text() for text in axes.texts] == ["1", "2", "4"]
    figure.clear()
    assert plot_steps(mixed, Path("steps.png"))
    left, right = figure.axes
    assert lines(left) == {"a, guidance 2": [[1, 50], [2, 20], [4, 10]]}
    assert lines(right) == {"a, guidance 2": [[1, 0.1], [2, 0.3], [4, 0.5]]}


def test_bars_reach_from_the_value_to_the_ends_of_its_interval(figure: Figure) -> None:
    """A value outside its interval has no bar on that side, and a score without one has none."""
    plot_guidance(
        curves(point(1, 2, 9, score(CLIP, 3, 1, 4)), point(2, 2, 8, score(CLIP, 2, 2.5, 3))), Path("x.png")
    )
    [line] = figure.axes[0].containers
    assert isinstance(line, ErrorbarContainer)
    assert line.has_xerr and not line.has_yerr
    ends = [segment[:, 0].tolist() for segment in line.lines[2][0].get_segments()]
    assert ends == [[1, 4], [2, 3]]
