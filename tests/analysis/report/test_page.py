"""The report of a finished run: one whole file, self-contained, and all that a record holds escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import unescape
from importlib import resources
from pathlib import Path

import plotly.graph_objects as go
import pytest
from PIL import Image

from analysis import findings
from analysis.report import contents, write_report
from analysis.report.charts.decision import PRICE_AXES
from search.runs.record import History
from tests.analysis.report.pages import HOSTILE, Tree, body_of, figures_in, words_in, words_of
from tests.search.histories import MD, confirm, end, open_run, propose, score, write_history


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, History, str]:
    folder = tmp_path_factory.mktemp("finished")
    history = write_history(folder, ended=24, seed=1)
    for trial in history.by_key.values():
        place = folder / ("trials" if trial.purpose == "search" else "confirm") / trial.key
        place.mkdir(parents=True)
        Image.new("RGB", (1600, 40), "navy").save(place / "samples.png")
    (folder / "provenance.json").write_text(json.dumps({"commit": "0123abc", "hardware": {"cpus": 2}}))
    return folder, history, write_report(folder).read_text(encoding="utf-8")


def test_page_is_one_well_formed_file_that_loads_nothing(finished: tuple[Path, History, str]) -> None:
    tree = Tree(finished[2])
    assert tree.addresses  # images
    assert all(address.startswith("data:image/png;base64,") for address in tree.addresses)
    assert not {"link", "iframe", "object", "embed", "form"} & set(tree.tags)
    assert "default-src 'none'" in finished[2]  # what a browser enforces
    assert "@import" not in finished[2].split("</style>")[0]
    assert len(finished[2]) < 7e6


def test_page_holds_every_part(finished: tuple[Path, History, str]) -> None:
    _, history, text = finished
    tree = Tree(text)
    words = words_in(text)
    for trial in history.trials:
        assert trial.architecture.id in words
        if trial.state in ("halted", "failed"):
            assert trial.reason in words
    assert any(trial.state == "halted" for trial in history.trials)
    assert history.rejections
    for rejection in history.rejections:
        assert rejection.reason in words
    for kind in findings.refusals(history):
        assert kind in words
    verdicts = findings.all_verdicts(history)
    assert len(verdicts) == 2
    for verdict in verdicts:
        fid = verdict.difference("FID")
        assert f"{verdict.word} (FID {fid.middle:+.0%}, between {fid.low:+.0%}" in words
    saved = findings.steps_saved(history.trials)
    assert f"spared {saved.steps:,} of {saved.of_steps:,} training steps" in words
    assert "not the Inception FID" in words
    assert "widths divided by 16" in words or "width divided by 16" in words
    assert "0123abc" in words  # provenance
    assert "training" in words and "sampling" in words  # where the time went
    assert (
        tree.tags.count("img") == 2 * 4
    )  # the winner, MD, MD-Lite, a stopped one: a row and the whole of each


def test_charts_are_valid_and_each_has_its_place(finished: tuple[Path, History, str]) -> None:
    figures = figures_in(finished[2])
    expected = {"confirmation", "race-fid", "race-clip", "pareto", "curve-fid", "curve-clip", "costs"}
    expected |= {"importances"}
    expected |= {f"cost-{label}-{priced}" for label in ("fid", "clip") for priced in PRICE_AXES}
    assert set(figures) == expected
    assert expected <= set(Tree(finished[2]).ids)
    for figure in figures.values():
        go.Figure(figure)  # raises on a property that plotly does not know
    names = {trace["name"] for trace in figures["pareto"]["data"]}
    assert {"Pareto front", "complete"} <= names
    assert any(name.startswith("MD, confirmed") for name in names)
    assert any(name.startswith("MD-Lite, confirmed") for name in names)


def test_curves_begin_at_the_start_scores_and_stops_are_marked(finished: tuple[Path, History, str]) -> None:
    _, history, text = finished
    traces = {trace["name"]: trace for trace in figures_in(text)["curve-fid"]["data"]}
    starts = [y for x, y in zip(traces["complete"]["x"], traces["complete"]["y"], strict=True) if x == 0]
    assert starts and set(starts) == {160.0}
    stopped = [trial for trial in history.trials if trial.state == "halted"]
    assert traces["stopped here"]["x"] == [trial.last_step for trial in stopped]


def test_curves_have_ticks_whatever_their_range(finished: tuple[Path, History, str], tmp_path: Path) -> None:
    assert figures_in(finished[2])["curve-fid"]["layout"]["yaxis"]["type"] == "log"
    record = open_run(tmp_path, trials=1)
    score(record, propose(record, MD), 100, 150.0, 0.1)
    record.close()
    charts = body_of(tmp_path).charts
    assert "type" not in charts["curve-fid"]["layout"]["yaxis"]  # from 150 to 160: plotly's own


def test_noise_bars_touch_where_a_difference_equals_its_noise(finished: tuple[Path, History, str]) -> None:
    """Two single runs of equal FID differ beyond noise in CLIP from 2 * sqrt(2) * .03 on."""
    trace = next(t for t in figures_in(finished[2])["pareto"]["data"] if "error_y" in t)
    assert 2 * trace["error_y"]["array"][0] == pytest.approx(2 * 2**0.5 * 0.03)


def test_wide_images_are_shrunk(finished: tuple[Path, History, str]) -> None:
    assert max(len(address) for address in Tree(finished[2]).addresses) < 20_000


def test_writing_again_gives_the_same_file_and_leaves_no_other(finished: tuple[Path, History, str]) -> None:
    folder, _, text = finished
    before = sorted(path.name for path in folder.iterdir())
    assert write_report(folder).read_text(encoding="utf-8") == text
    assert sorted(path.name for path in folder.iterdir()) == before


# ---------------------------------------------------------------------- hostile text


def test_hostile_strings_are_text(tmp_path: Path) -> None:
    record = open_run(
        tmp_path,
        name=HOSTILE,
        sampler={"name": HOSTILE},
        data={"name": HOSTILE},
        objectives={"fid": "fid_embedded_clip", "clip": "clip_embedded"},
    )
    for state in ("failed", "complete", "halted"):
        key = propose(record, MD, name=HOSTILE + state)
        score(record, key, 400, 10.0, 0.5)
        end(record, key, state, HOSTILE)
    record.append(
        "rejected",
        before_trial=0,
        kind="budget",
        architecture_id=HOSTILE,
        parameters=1,
        gmacs=1.0,
        reason=HOSTILE,
    )
    confirm(record, "md", MD, [(10.0, 0.5)])
    record.close()
    (tmp_path / "provenance.json").write_text(json.dumps({"commit": HOSTILE}))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    tree = Tree(text)
    assert tree.tags.count("script") == 2
    assert "img" not in tree.tags
    assert tree.addresses == []
    assert "alert(1)" in " ".join(tree.words)  # shown, not run
    assert text.count("plotly.js v") == 1  # the name's {{plotly}} was not filled in
    for text_in_chart in _texts(figures_in(text)):
        assert "<script" not in text_in_chart and "<img" not in text_in_chart
    assert HOSTILE in unescape(json.dumps(figures_in(text)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def test_unreadable_images_and_provenance_are_left_out(tmp_path: Path) -> None:
    write_history(tmp_path, ended=3, failed=(), confirmation_seeds=0)
    (tmp_path / "provenance.json").write_text("{torn")
    for number in range(3):
        place = tmp_path / "trials" / str(number)
        place.mkdir(parents=True)
        (place / "samples.png").write_bytes(b"not an image")
    assert "No images lie in the run folder." in words_of(tmp_path)


# ---------------------------------------------------------------------- its parts


def test_every_template_is_in_the_package_and_in_the_list_once() -> None:
    folder = resources.files("analysis.report") / "templates" / "sections"
    there = sorted(f"sections/{entry.name}" for entry in folder.iterdir())
    listed = (*contents.OPENING, *contents.FINDINGS, *contents.CLOSING)
    assert there == sorted(section.template for section in listed)
