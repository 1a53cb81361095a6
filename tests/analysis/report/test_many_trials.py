"""Reports of thousands of trials: written in seconds, and no more than a browser can plot."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from analysis.report import write_report
from analysis.report.charts.marks import evenly_spaced
from search.confirmation.leading import lead
from tests.analysis.report.pages import body_of, figures_in
from tests.search.histories import write_history


@pytest.mark.usefixtures("quick")
def test_two_thousand_trials_take_seconds(tmp_path: Path) -> None:
    write_history(tmp_path, ended=2000)
    began = time.process_time()
    path = write_report(tmp_path)
    assert time.process_time() - began < 10
    text = path.read_text(encoding="utf-8")
    assert len(text) < 12e6
    for figure in figures_in(text).values():
        assert len(figure["data"]) < 15  # traces, which are what is slow to plot


@pytest.mark.usefixtures("quick")
def test_what_is_too_much_for_a_browser_is_plotted_in_part_and_said(tmp_path: Path) -> None:
    history = write_history(tmp_path, ended=600, confirmation_seeds=0)
    html, charts = body_of(tmp_path)
    leader = lead(history)
    assert leader is not None
    assert "300 of 600 rows; show all" in html
    assert html.split("<h2>Trials</h2>")[1].split("</template>")[0].count("<tr") == 1 + 600  # all are there
    complete = sum(trial.state == "complete" for trial in history.trials)
    for chart in ("curve-fid", "curve-clip"):
        names = {trace["name"]: trace for trace in charts[chart]["data"]}
        assert names[f"complete (300 of {complete - 1:,} plotted)"]["x"].count(None) == 300
    plotted = {trace["name"] for trace in charts["pareto"]["data"]}
    assert {"on the front", f"winner ({leader.winner.name})"} <= plotted


def test_marks_are_left_out_evenly() -> None:
    assert evenly_spaced("few", [1, 2, 3], 3) == ("few", [1, 2, 3])
    name, chosen = evenly_spaced("many", range(1000), 10)
    assert name == "many (10 of 1,000 plotted)"
    assert chosen == list(range(0, 1000, 100))
