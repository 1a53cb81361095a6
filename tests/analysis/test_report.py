"""The report at every stage of a run: whole, self-contained, escaped, and claiming no more than is known."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import plotly.graph_objects as go
import pytest
from PIL import Image

from analysis import findings
from analysis.report import figures, write_report
from analysis.report.page import Page
from analysis.report.sections import sections
from analysis.report.stage import stage
from search.runs.record import History, Record, read_history
from space.shared.plain import InputError
from tests.search.histories import (
    MD,
    MD_LITE,
    NOISE,
    confirm,
    end,
    open_run,
    propose,
    score,
    write_history,
)

VOID = {"meta", "br", "img", "hr", "link", "input"}


class Tree(HTMLParser):
    """Checks that what opens closes, in order; keeps addresses, visible text and element ids."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            assert not name.startswith("on"), f"{name} runs script"
            if name in ("src", "href", "srcset", "data", "action"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.words.append(data)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the regression on importances, which has a test of its own."""
    monkeypatch.setattr("analysis.report.evidence.importances", lambda history: None)


def body_of(folder: Path) -> tuple[str, Page]:
    """The page without its megabytes of script."""
    page = Page(folder, read_history(folder))
    return "\n".join(sections(page)), page


def words_of(folder: Path) -> str:
    return re.sub(r"\s+", " ", " ".join(Tree(body_of(folder)[0]).words))


def figures_in(text: str) -> dict[str, dict]:
    found = re.search(r"const FIGURES = (.*);\n", text)
    assert found is not None
    figures: dict[str, dict] = json.loads(found[1])
    return figures


# ---------------------------------------------------------------------- a finished run


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
    assert tree.addresses  # pictures
    assert all(address.startswith("data:image/png;base64,") for address in tree.addresses)
    assert not {"link", "iframe", "object", "embed", "form"} & set(tree.tags)
    assert "default-src 'none'" in finished[2]  # what a browser enforces
    assert "@import" not in finished[2].split("</style>")[0]
    assert len(finished[2]) < 7e6


def test_page_holds_every_part(finished: tuple[Path, History, str]) -> None:
    _, history, text = finished
    tree = Tree(text)
    words = re.sub(r"\s+", " ", " ".join(tree.words))
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
        assert f"{verdict.word} (FID {verdict.fid.middle:+.0%}, between {verdict.fid.low:+.0%}" in words
    saved = findings.steps_saved(history.trials)
    assert f"spared {saved.steps:,} of {saved.of_steps:,} training steps" in words
    assert "not the Inception FID" in words
    assert "widths divided by 16" in words or "width divided by 16" in words
    assert "0123abc" in words  # provenance
    assert "training" in words and "sampling" in words  # where the time went
    assert tree.tags.count("img") == 4  # the winner, MD, MD-Lite, a halted one


def test_charts_are_valid_and_each_has_its_place(finished: tuple[Path, History, str]) -> None:
    figures = figures_in(finished[2])
    expected = {"confirmation", "race-fid", "race-clip", "pareto", "curve-fid", "curve-clip", "costs"}
    expected |= {"importances"}
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
    halted = [trial for trial in history.trials if trial.state == "halted"]
    assert traces["halted here"]["x"] == [trial.last_step for trial in halted]


def test_curves_have_ticks_whatever_their_range(finished: tuple[Path, History, str], tmp_path: Path) -> None:
    assert figures_in(finished[2])["curve-fid"]["layout"]["yaxis"]["type"] == "log"
    record = open_run(tmp_path, trials=1)
    score(record, propose(record, MD), 100, 150.0, 0.1)
    record.close()
    page = body_of(tmp_path)[1]
    assert "type" not in page.figures["curve-fid"]["layout"]["yaxis"]  # from 150 to 160: plotly's own


def test_noise_bars_touch_where_a_difference_equals_its_noise(finished: tuple[Path, History, str]) -> None:
    """Two single runs of equal FID differ beyond noise in CLIP from 2 * sqrt(2) * .03 on."""
    trace = next(t for t in figures_in(finished[2])["pareto"]["data"] if "error_y" in t)
    assert 2 * trace["error_y"]["array"][0] == pytest.approx(2 * 2**0.5 * 0.03)


def test_wide_pictures_are_shrunk(finished: tuple[Path, History, str]) -> None:
    assert max(len(address) for address in Tree(finished[2]).addresses) < 20_000


def test_writing_again_gives_the_same_file_and_leaves_no_other(finished: tuple[Path, History, str]) -> None:
    folder, _, text = finished
    before = sorted(path.name for path in folder.iterdir())
    assert write_report(folder).read_text(encoding="utf-8") == text
    assert sorted(path.name for path in folder.iterdir()) == before


# ---------------------------------------------------------------------- every other stage


def test_no_record_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no record\.jsonl here"):
        write_report(tmp_path)


def test_empty_record(tmp_path: Path) -> None:
    Record(tmp_path).close()
    assert "No trial has been started yet." in words_of(tmp_path)
    assert write_report(tmp_path).stat().st_size < 100_000  # without charts, plotly stays out


@pytest.mark.usefixtures("quick")
def test_header_alone_and_proposals_alone(tmp_path: Path) -> None:
    record = open_run(tmp_path)
    assert "No trial has been started yet." in words_of(tmp_path)
    propose(record, MD)
    words = words_of(tmp_path)
    record.close()
    assert "Nothing is decided" in words
    assert "0 of 12 trials had ended and 1 were under way" in words
    assert "under way or interrupted" in words
    assert "No trial has been evaluated yet." in words


@pytest.mark.usefixtures("quick")
def test_only_refusals(tmp_path: Path) -> None:
    record = open_run(tmp_path)
    fields = {"architecture_id": "abc", "parameters": 500_000_000, "gmacs": 150.0}
    record.append("rejected", before_trial=0, kind="budget", reason="500.0 M parameters > 400", **fields)
    record.append("rejected", before_trial=0, kind="duplicate", reason="the network of trial 0", **fields)
    record.close()
    words = words_of(tmp_path)
    assert "over budget in parameters" in words
    assert "a network tried before" in words


@pytest.mark.usefixtures("quick")
def test_all_failed(tmp_path: Path) -> None:
    record = open_run(tmp_path, trials=2)
    for reason in ("diverged: nan", "out of memory"):
        end(record, propose(record, MD), "failed", reason)
    record.close()
    words = words_of(tmp_path)
    assert "Every trial failed" in words
    assert "trial 0: diverged: nan" in words and "trial 1: out of memory" in words


@pytest.mark.usefixtures("quick")
def test_interrupted_and_unconfirmed(tmp_path: Path) -> None:
    write_history(tmp_path, ended=5, running=2, failed=(), confirmation_seeds=0)
    words = words_of(tmp_path)
    assert "5 of 7 trials had ended and 2 were under way" in words
    record = Record(tmp_path)
    record.append("session", trials=9, backend="inline")  # resumed, asking for more
    record.close()
    assert "5 of 9 trials had ended" in words_of(tmp_path)
    assert "leads on one run; nothing has confirmed it" in words
    assert "From MD to trial" in words  # from conf/arch, since MD was not trained


@pytest.mark.usefixtures("quick")
def test_no_budget_and_full_width(tmp_path: Path) -> None:
    bounds = {"parameters_millions": None, "gmacs": None}
    write_history(tmp_path, ended=3, failed=(), budget=bounds, proxy={"width_divisor": 1})
    body, page = body_of(tmp_path)
    assert "budget none" in body
    assert "at full width" in body
    assert page.figures["costs"]["layout"]["shapes"] == []


# ---------------------------------------------------------------------- what the headline may claim


def _confirmed_run(folder: Path, *, winner: tuple[float, float], md: tuple[float, float]) -> str:
    record = open_run(folder, trials=1)
    key = propose(record, MD_LITE)
    score(record, key, 400, 9.0, 0.55, "end")
    end(record, key)
    confirm(record, "trial 0", MD_LITE, [winner, winner])
    confirm(record, "md", MD, [md, md])
    record.close()
    return words_of(folder)


@pytest.mark.usefixtures("quick")
def test_planted_better_worse_and_undecided(tmp_path: Path) -> None:
    better = _confirmed_run(tmp_path / "better", winner=(5, 0.7), md=(12, 0.5))
    assert "Trial 0 is better than MD beyond the noise." in better
    worse = _confirmed_run(tmp_path / "worse", winner=(30, 0.2), md=(12, 0.5))
    assert "trained again it is worse than MD." in worse
    undecided = _confirmed_run(tmp_path / "undecided", winner=(11.5, 0.51), md=(12, 0.5))
    assert "leads the search; undecided against MD." in undecided


@pytest.mark.usefixtures("quick")
def test_halted_trials_rerun_to_the_end_count_wrong_stops(tmp_path: Path) -> None:
    record = open_run(tmp_path, trials=3)
    for architecture, state in ((MD, "complete"), (MD_LITE, "halted"), (MD_LITE, "halted")):
        key = propose(record, architecture)
        score(record, key, 400 if state == "complete" else 200, 10.0, 0.5, "continue")
        end(record, key, state, "slower" if state == "halted" else "")
    confirm(record, "trial 1", MD_LITE, [(30.0, 0.1)])  # rightly
    confirm(record, "trial 2", MD_LITE, [(8.0, 0.4)])  # a better FID than any complete trial's
    record.close()
    words = words_of(tmp_path)
    assert "1 would have reached the Pareto front and were halted wrongly (trial 2)" in words


# ---------------------------------------------------------------------- hostile text

HOSTILE = "</script><script>alert(1)</script><img src=https://evil.example/x.png onerror=alert(1)>{{plotly}}"


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


def test_unreadable_pictures_and_provenance_are_left_out(tmp_path: Path) -> None:
    write_history(tmp_path, ended=3, failed=(), confirmation_seeds=0)
    (tmp_path / "provenance.json").write_text("{torn")
    for number in range(3):
        place = tmp_path / "trials" / str(number)
        place.mkdir(parents=True)
        (place / "samples.png").write_bytes(b"not a picture")
    assert "No pictures lie in the run folder." in words_of(tmp_path)


# ---------------------------------------------------------------------- numbers behind it


def test_spread_counts_pairs_as_the_verdict_does(tmp_path: Path) -> None:
    """Against every pair compared one by one, with the noise of the difference of two runs."""
    history = write_history(tmp_path, ended=20, seed=3)
    objectives = findings.objectives_of(history)
    last = findings.spreads(history)[-1]
    fids = [f for t in history.trials if (f := t.score(objectives[0].name, 400)) is not None]
    clips = [c for t in history.trials if (c := t.score(objectives[1].name, 400)) is not None]
    bound = 2 * 2**0.5
    pairs = [(i, j) for i in range(len(fids)) for j in range(i)]
    apart = sum(abs(fids[i] - fids[j]) > bound * 0.12 * (fids[i] + fids[j]) / 2 for i, j in pairs)
    assert last.trials == len(fids)
    assert last.fid_pairs == pytest.approx(apart / len(pairs))
    apart = sum(abs(clips[i] - clips[j]) > bound * NOISE[2]["clip"] for i, j in pairs)
    assert last.clip_pairs == pytest.approx(apart / len(pairs))


def test_importances_find_the_choice_that_decides(tmp_path: Path) -> None:
    history = write_history(tmp_path, ended=60, seed=2)
    found = findings.importances(history)
    assert found is not None
    params = ("level_3.channels", "level_3.conv", "level_3.layers_down", "level_3.layers_up")
    assert next(iter(found.clip)).startswith("level_")
    assert max(found.clip.values()) > found.clip_chance
    assert sum(found.fid.values()) == pytest.approx(1.0, abs=1e-6)
    assert set(params) <= set(found.fid)
    write_history(tmp_path / "few", ended=5, failed=())
    assert findings.importances(read_history(tmp_path / "few")) is None


@pytest.mark.usefixtures("quick")
def test_two_thousand_trials_take_seconds(tmp_path: Path) -> None:
    write_history(tmp_path, ended=2000)
    began = time.process_time()
    path = write_report(tmp_path)
    assert time.process_time() - began < 10
    text = path.read_text(encoding="utf-8")
    assert len(text) < 12e6
    for figure in figures_in(text).values():
        assert len(figure["data"]) < 15  # traces, which are what is slow to draw


@pytest.mark.usefixtures("quick")
def test_what_is_too_much_for_a_browser_is_drawn_in_part_and_said(tmp_path: Path) -> None:
    history = write_history(tmp_path, ended=600, confirmation_seeds=0)
    body, page = body_of(tmp_path)
    assert "300 of 600 rows; show all" in body
    assert body.split("<h2>Trials</h2>")[1].split("</template>")[0].count("<tr") == 1 + 600  # all are there
    complete = sum(trial.state == "complete" for trial in history.trials)
    for chart in ("curve-fid", "curve-clip"):
        names = {trace["name"]: trace for trace in page.figures[chart]["data"]}
        assert names[f"complete (300 of {complete - 1:,} drawn)"]["x"].count(None) == 300
    drawn = {trace["name"] for trace in page.figures["pareto"]["data"]}
    assert {"on the front", f"winner ({page.winner and page.winner.name})"} <= drawn


def test_marks_are_left_out_evenly() -> None:
    assert figures.evenly_spaced("few", [1, 2, 3], 3) == ("few", [1, 2, 3])
    name, chosen = figures.evenly_spaced("many", range(1000), 10)
    assert name == "many (10 of 1,000 drawn)"
    assert chosen == list(range(0, 1000, 100))


# ---------------------------------------------------------------------- while the search runs


@pytest.mark.usefixtures("quick")
def test_a_page_of_a_running_search_says_so_and_the_last_one_stands_still(tmp_path: Path) -> None:
    write_history(tmp_path, ended=5, running=2, failed=(), confirmation_seeds=0)
    running = write_report(tmp_path, running=True).read_text(encoding="utf-8")
    words = re.sub(r"\s+", " ", " ".join(Tree(running).words))
    assert "Running searching: 5 of 7 trials have ended, 2 are under way written" in words
    assert "If it was interrupted" not in words
    found = re.search(r"const LIVE = (.*);\n", running)
    assert found is not None
    live = json.loads(found[1])
    assert abs(live["written"] - time.time()) < 60 and live["seconds"] > 0
    ended = write_report(tmp_path).read_text(encoding="utf-8")
    assert "const LIVE = null;\n" in ended and 'class="live"' not in ended
    assert "If it was interrupted" in ended


def test_the_stage_of_a_run(tmp_path: Path) -> None:
    record = open_run(tmp_path, trials=2)
    said = [stage(record.history)]
    for architecture in (MD, MD_LITE):
        key = propose(record, architecture)
        said.append(stage(record.history))
        score(record, key, 400, 9.0, 0.5, "end")
        end(record, key)
    propose(record, MD, key="md-seed1000-steps400", purpose="confirm", name="md", seed=1000)
    said.append(stage(record.history))
    end(record, "md-seed1000-steps400")
    said.append(stage(record.history))
    record.close()
    assert said == [
        "preparing: no trial has been started",
        "searching: 0 of 2 trials have ended, 1 is under way",
        "searching: 1 of 2 trials have ended, 1 is under way",
        "confirming: 0 runs have ended, 1 is under way",
        "confirming: 1 run has ended, 0 are under way",
    ]
