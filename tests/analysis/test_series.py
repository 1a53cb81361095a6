"""What tells one line from another, and when an axis is logarithmic."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.comparison.charts import curves_of_progress, fronts_of_runs
from analysis.comparison.runs import read_runs
from analysis.series import SERIES_COLOURS, look, spans_magnitudes
from tests.search.histories import write_history


def test_no_two_of_many_lines_look_alike() -> None:
    looks = [look(place) for place in range(60)]
    assert len({(one.colour, one.dashes) for one in looks}) == 60
    assert len({str(one.line) for one in looks}) == len({str(one.plotly_line) for one in looks}) == 60
    assert len({(one.colour, one.symbol) for one in looks}) == 60
    assert [one.colour for one in looks[:8]] == list(SERIES_COLOURS)
    assert {one.plotly_line["dash"] for one in looks[:8]} == {"solid"}


@pytest.mark.parametrize(
    ("values", "expected"), [([1, 5], True), ([1, 4], False), ([0, 9], False), ([-1, 9], False), ([], False)]
)
def test_an_axis_is_logarithmic_where_small_values_would_vanish(values: list[float], expected: bool) -> None:
    assert spans_magnitudes(values) is expected


def test_ten_runs_have_a_line_each_and_one_entry_of_the_legend(tmp_path: Path) -> None:
    for number in range(10):
        ended = 20 if number == 9 else 3
        write_history(tmp_path / f"run-{number}", ended=ended, seed=number, failed=(), confirmation_seeds=1)
    runs = read_runs([tmp_path / f"run-{number}" for number in range(10)])
    chart = curves_of_progress(runs)["progress-fid-steps"]
    assert len({(trace.line.color, trace.line.dash) for trace in chart.data}) == 10
    assert chart.layout.xaxis.type == "log"  # one run is several times as long as the others
    fronts = fronts_of_runs(runs)
    assert fronts is not None
    shown = [trace.name for trace in fronts.data if trace.showlegend is not False]
    assert shown == [run.name for run in runs]
    marks = {(t.marker.color, t.marker.symbol) for t in fronts.data if t.name in shown}
    assert len(marks) == 10
    few = fronts_of_runs(runs[:2])
    assert few is not None and few.layout.height < fronts.layout.height
