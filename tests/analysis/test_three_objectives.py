"""What is shown of searches by three objectives: report, comparison, tables, study, replay."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import yaml
from rich.console import Console

from analysis import findings
from analysis.comparison.charts import curves_of_progress, fronts_of_runs
from analysis.comparison.page import write_comparison
from analysis.comparison.runs import objectives_of_all, progress, read_runs, winners_verdicts
from analysis.comparison.table import comparison_table
from analysis.importances import importances
from analysis.noise import exact_row, preset
from analysis.replay.surrogate import Surrogate
from analysis.replay.tries import Truth
from analysis.report.charts.scores import planes
from analysis.spread import spreads
from analysis.study import sync_study
from analysis.tables import result_table, write_tables
from search.confirmation.leading import lead
from search.confirmation.repeats import estimated, refined
from search.objectives import FID_AND_CLIP, objectives_to_plain
from search.runs.header import noise_of, objectives_of
from search.runs.record import History
from search.statistics.noise import noise_from_plain
from tests.analysis.replay.recordings import table_of
from tests.analysis.report.pages import body_of, words_of
from tests.search.histories import NOISE, SPACE, write_history
from tests.search.three import THREE

STATED = {
    "rungs": [rung | {"others": {"validation_loss": 0.05}} for rung in NOISE],
    "deviations": 2.0,
    "measured_under": [],
}


def by_three(folder: Path, **changes: Any) -> History:
    words = {"objectives": objectives_to_plain(THREE), "noise": STATED} | changes
    return write_history(folder, **({"ended": 16, "seed": 1} | words))


def printed(table: Any) -> str:
    console = Console(width=140)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


# ---------------------------------------------------------------------- the report


def test_the_page_shows_all_three(tmp_path: Path) -> None:
    by_three(tmp_path)
    words, charts = words_of(tmp_path), body_of(tmp_path).charts
    assert "FID and CLIP and validation_loss" in words
    labels = ("fid", "clip", "validation_loss")
    assert {"pareto", "pareto-0-2", "pareto-1-2", *(f"curve-{each}" for each in labels)} <= set(charts)
    assert {f"race-{each}" for each in labels} <= set(charts)
    axes = charts["pareto-0-2"]["layout"]
    assert axes["xaxis"]["title"]["text"] == "FID, lower is better (fid_embedded_clip)"
    assert axes["yaxis"]["title"]["text"] == "validation_loss, lower is better"
    for head in ("mean validation_loss", "median validation_loss", "validation_loss pairs apart"):
        assert head in words
    assert "5% of validation_loss" in words and "validation loss" not in words  # one column, not two


def test_marks_stand_at_the_two_scores_of_their_plane(tmp_path: Path) -> None:
    history = by_three(tmp_path, ended=10)
    charts = body_of(tmp_path).charts
    complete = [t for t in history.trials if t.state == "complete"]
    for name, (x, y) in (("pareto", (0, 1)), ("pareto-0-2", (0, 2)), ("pareto-1-2", (1, 2))):
        found = next(trace for trace in charts[name]["data"] if trace["name"] == "complete")
        assert list(found["x"]) == [trial.score(THREE[x].name) for trial in complete]
        assert list(found["y"]) == [trial.score(THREE[y].name) for trial in complete]
    assert all("validation_loss" in text for text in found["text"])
    widths = [2.0 / 2**0.5 * 0.05 * (trial.score("validation_loss") or 0) for trial in complete]
    assert list(found["error_y"]["array"]) == pytest.approx(widths)
    assert not any(trace["name"] == "Pareto front" for trace in charts["pareto"]["data"])


def test_where_no_noise_is_stated_the_page_says_so_and_is_whole(tmp_path: Path) -> None:
    by_three(tmp_path, noise={"rungs": NOISE, "deviations": 2.0, "measured_under": []}, confirmation_seeds=1)
    words, charts = words_of(tmp_path), body_of(tmp_path).charts
    assert "an unknown one of validation_loss" in words and "unknown" in words
    assert "race-validation_loss" not in charts and "race-fid" in charts
    verdicts = findings.all_verdicts(findings_history(tmp_path))
    assert verdicts and {verdict.word for verdict in verdicts} <= {"undecided", "mixed"}
    assert spreads(findings_history(tmp_path))[-1].each[2].pairs is None


def findings_history(folder: Path) -> History:
    return read_runs([folder])[0].history


def test_spread_and_importances_of_the_third(tmp_path: Path) -> None:
    history = by_three(tmp_path, ended=40)
    third = spreads(history)[-1].each[2]
    losses = [v for t in history.trials if (v := t.score("validation_loss", 400)) is not None]
    assert third.median == pytest.approx(np.median(losses))
    assert third.spread == pytest.approx(np.std(losses) / np.mean(losses)) and third.noise == 0.05
    found = importances(history)
    assert found is not None and list(found.shares) == ["FID", "CLIP", "validation_loss"]
    assert sum(found.shares["validation_loss"].values()) == pytest.approx(1.0, abs=1e-6)
    assert "importances" in body_of(tmp_path).charts


# ---------------------------------------------------------------------- tables and study


def test_tables_have_a_column_for_the_third(tmp_path: Path) -> None:
    wanted = [
        *objectives_to_plain(THREE)[:2],
        {"name": "fid_random_network", "scale": "log", "label": "FID 2"},
    ]
    history = by_three(tmp_path, objectives=wanted)
    write_tables(tmp_path, history)
    rows = list(csv.DictReader((tmp_path / "trials.csv").open()))
    first = history.trials[0]
    assert float(rows[0]["fid_random_network"]) == first.score("fid_random_network")
    assert float(rows[0]["fid"]) == first.score("fid_embedded_clip")
    text = printed(result_table(history))
    leading = lead(history)
    assert leading is not None and "FID 2" in text
    assert f"{leading.winner.score('fid_random_network'):.4f}" in text


def test_the_study_has_three_directions(tmp_path: Path) -> None:
    history = by_three(tmp_path)
    path = sync_study(tmp_path, history, SPACE, THREE)
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{path}")
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == [objective.name for objective in THREE]
    values = [trial.values for trial in study.trials if trial.values]
    complete = [trial for trial in history.trials if trial.state == "complete"]
    assert values == [[trial.score(objective.name) for objective in THREE] for trial in complete]


def test_the_noise_of_the_third_is_estimated_and_written(tmp_path: Path) -> None:
    history = by_three(
        tmp_path, noise={"rungs": NOISE, "deviations": 2.0, "measured_under": []}, confirmation_seeds=4
    )
    stated = noise_of(history)
    assert stated is not None
    found = estimated([history], stated)
    assert [each.score for each in found[-3:]] == ["FID", "CLIP", "validation_loss"]
    third = found[-1]
    assert exact_row(third)["stated"] is None and third.seeds is not None
    assert third.together == third.seeds  # nothing is borrowed from the others
    text = preset(refined(stated, found), "here")
    again = noise_from_plain(yaml.safe_load(text))
    assert again.at(400).deviation(THREE[2]) == pytest.approx(third.seeds.deviation, rel=1e-3)
    first_rung = again.at(100)
    assert first_rung.deviation(THREE[2]) is None  # no network was repeated there


# ---------------------------------------------------------------------- comparison


def test_runs_are_compared_by_what_decided_in_both(tmp_path: Path) -> None:
    by_three(tmp_path / "a", name="a")
    by_three(tmp_path / "b", name="b", seed=2)
    write_history(tmp_path / "c", ended=16, seed=3, name="c")
    both, mixed = (read_runs([tmp_path / name for name in names]) for names in ("ab", "ac"))
    assert objectives_of_all(both) == THREE and objectives_of_all(mixed) == FID_AND_CLIP
    assert "validation_loss" in printed(comparison_table(both))
    assert "validation_loss" not in printed(comparison_table(mixed))
    charts = curves_of_progress(both)
    assert list(charts) == [
        "progress-area-steps",
        "progress-area-hours",
        "progress-fid-steps",
        "progress-clip-steps",
        "progress-validation_loss-steps",
    ]
    figure = fronts_of_runs(both, (1, 2))
    assert figure is not None and figure.layout.yaxis.title.text == "validation_loss, lower is better"
    assert all(len(v.differences) in (0, 3) for v in winners_verdicts(both))
    for runs in (both, mixed):
        page = write_comparison(runs, tmp_path / "page.html").read_text(encoding="utf-8")
        assert ("fronts-1-2" in page) == (runs is both)


def test_progress_is_the_best_in_each_and_the_volume(tmp_path: Path) -> None:
    history = by_three(tmp_path)
    last = progress(history, THREE)[-1]
    complete = [trial for trial in history.trials if trial.state == "complete"]
    assert last.best == tuple(
        each.best([trial.score(each.name) or 0.0 for trial in complete]) for each in THREE
    )
    volumes = [moment.area for moment in progress(history, THREE)]
    assert volumes == sorted(volumes) and volumes[-1] > 0


# ---------------------------------------------------------------------- replay


def test_a_replay_and_its_surrogate_are_by_three() -> None:
    table = table_of(30)
    for runs in table.runs.values():
        for run in runs:
            for rung in run.rungs:
                rung.scores["validation_loss"] = 1.0 / rung.scores["fid_embedded_clip"]
    header = table.header | {"objectives": objectives_to_plain(THREE)}
    start = table.start_scores | {"validation_loss": 0.01}
    three = type(table)(header, start, table.runs)
    assert three.objectives == THREE
    truth, of_two = Truth(three.runs, THREE, 0.1), Truth(three.runs, FID_AND_CLIP, 0.1)
    assert truth.place != of_two.place  # what is bad in the others is best in the third
    assert truth.covered(list(three.runs)) == pytest.approx(1.0)
    surrogate = Surrogate(three)
    network = three.architectures[0]
    assert surrogate.predict(network).shape == (3 * len(three.rungs),)
    assert list(surrogate.accuracy.correlations) == ["FID", "CLIP", "validation_loss"]
    whole = three.runs[network.id][0]
    filled = surrogate.filled(replace(whole, rungs=whole.rungs[:1]))
    assert filled.rungs[0] == whole.rungs[0] and set(filled.rungs[-1].scores) == {o.name for o in THREE}


def test_planes_are_every_two() -> None:
    assert planes(FID_AND_CLIP) == [(0, 1)]
    assert planes(THREE) == [(0, 1), (0, 2), (1, 2)]
    assert objectives_of(History(header={"objectives": objectives_to_plain(THREE)})) == THREE
