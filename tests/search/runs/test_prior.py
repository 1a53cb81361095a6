"""Earlier runs' trials as prior knowledge: copied whole, learned from, and never the search's own."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import search.runs.bundle
import search.runs.prior
from analysis.report.charts.scores import CROWD, pareto
from analysis.report.contents import sections_of
from analysis.report.html import body
from analysis.report.page import Page
from analysis.study import sync_study
from analysis.tables import write_tables
from search.objectives import FID_AND_CLIP
from search.runs.bundle import bundled_of, write_bundle
from search.runs.prior import take_prior, take_recorded
from search.runs.record import Record, Trial, read_history
from search.runs.scores import best_first
from search.samplers.base import observations
from search.strategies.independent import ArchitectureSearch
from space.shared.plain import InputError, to_plain
from tests.search.test_strategy import decisions
from tests.search.worlds import NOISE, RUNGS, START, drive, make_search, md_space


def begin(folder: Path, prior: Sequence[str] = (), *, trials: int, **changes: Any) -> ArchitectureSearch:
    """A search in the world, with a header that says what its scores mean, as `search.run` begins one."""
    folder.mkdir(parents=True, exist_ok=True)
    record = Record(folder)
    if not record.history.header:
        rungs = changes.pop("header_rungs", RUNGS)
        record.append("run", name=folder.name, trials=trials, space=to_plain(md_space()), rungs=list(rungs))
        record.append("start", scores=START, protocol={"images": 200})
    if not record.history.sessions:
        take_prior(record, prior)
    record.append("session", trials=trials, backend="inline")
    return make_search(folder, record=record, trials=trials, **changes)


def run(folder: Path, prior: Sequence[str] = (), **changes: Any) -> ArchitectureSearch:
    search = begin(folder, prior, **changes)
    drive(search)
    search.record.close()
    return search


@pytest.fixture
def earlier(tmp_path: Path) -> str:
    run(tmp_path / "a", trials=12, stopping="median")
    return str(tmp_path / "a")


def worth_knowing(folder: str | Path) -> list[Trial]:
    return [t for t in read_history(Path(folder)).trials if t.state in ("complete", "halted")]


def test_complete_and_stopped_trials_are_copied_whole_and_marked(earlier: str, tmp_path: Path) -> None:
    search = run(tmp_path / "b", [earlier], trials=3)
    known = worth_knowing(earlier)
    assert {trial.state for trial in known} == {"complete", "halted"}
    for copy, trial in zip(search.history.prior, known, strict=True):
        assert (copy.purpose, copy.source, copy.name) == ("prior", earlier, f"{trial.name} of {earlier}")
        assert (copy.architecture, copy.params, copy.rungs, copy.state, copy.reason) == (
            trial.architecture,
            trial.params,
            trial.rungs,
            trial.state,
            trial.reason,
        )
        assert (copy.started, copy.ended, copy.seconds) == (trial.started, trial.ended, trial.seconds)
    assert read_history(tmp_path / "b") == search.history


def test_they_are_never_the_searchs_own(earlier: str, tmp_path: Path) -> None:
    search = run(tmp_path / "b", [earlier], trials=3)
    history = search.history
    assert [trial.number for trial in history.trials] == [0, 1, 2] and search.finished
    assert not {trial.key for trial in history.prior} & set(history.by_key)
    assert best_first(history.trials, FID_AND_CLIP)[0].purpose == "search"
    write_tables(tmp_path / "b", history)
    assert len((tmp_path / "b" / "trials.csv").read_text().splitlines()) == 1 + 3
    numbers = [trial.number for trial in history.known]
    assert len(set(numbers)) == len(numbers)


def test_the_report_shows_them_apart(earlier: str, tmp_path: Path) -> None:
    history = run(tmp_path / "b", [earlier], trials=3).history
    page = Page(tmp_path / "b", history)
    html, charts = body(sections_of(page), page)
    known = worth_knowing(earlier)
    assert f"{len(known)} trials of earlier runs ({len(known)} of {earlier})" in html
    assert f"trial {known[0].number} of {earlier}" in html
    own = html.split("<h2>Trials</h2>")[1].split("<h2>Prior knowledge</h2>")[0]
    assert own.count("<tr") == 1 + 3
    hollow = [t for t in charts["costs"]["data"] if t["name"] == "of earlier runs"]
    assert len(hollow[0]["x"]) == len(known) and hollow[0]["marker"]["symbol"] == "circle-open"


def test_the_study_beside_the_record_holds_them_marked(earlier: str, tmp_path: Path) -> None:
    import optuna

    search = run(tmp_path / "b", [earlier], trials=3)
    for _ in range(2):
        path = sync_study(tmp_path / "b", search.history, search.space, search.objectives)
    study = optuna.load_study(study_name="b", storage=f"sqlite:///{path}")
    marked = Counter(trial.user_attrs.get("prior") for trial in study.get_trials())
    assert marked == {earlier: len(worth_knowing(earlier)), None: 3}


def test_a_proposal_equal_to_a_prior_network_is_a_duplicate(earlier: str, tmp_path: Path) -> None:
    """The random sampler of the same seed proposes the same networks again."""
    search = run(tmp_path / "b", [earlier], trials=5)
    assert not {t.architecture.id for t in search.history.trials} & {
        t.architecture.id for t in search.history.prior
    }
    reasons = [r.reason for r in search.history.rejections if r.kind == "duplicate"]
    assert f"the network of trial 3 of {earlier}" in reasons


def test_samplers_see_them_as_observations_and_start_from_them(earlier: str, tmp_path: Path) -> None:
    """With nothing known TPE samples its first trials at random; with twelve known it models at once."""
    alone = run(tmp_path / "alone", trials=3, sampler="tpe", seed=5)
    taught = run(tmp_path / "taught", [earlier], trials=3, sampler="tpe", seed=5)
    seen = observations(taught.history.prior, FID_AND_CLIP)
    assert len(seen) == len(worth_knowing(earlier)) and all(o.point is not None for o in seen)
    sampled = {
        len(past): [p.params for p in islice(taught.sampler.proposals(taught.space, past, 0), 40)]
        for past in ([], seen)
    }
    assert sampled[0] != sampled[len(seen)]
    assert alone.history.trials[0].params in sampled[0]
    assert taught.history.trials[0].params in sampled[len(seen)]


def test_stopping_rules_see_them_as_peers(tmp_path: Path) -> None:
    """The rule waits for three peers: alone the second trial cannot be stopped, with prior it can."""
    run(tmp_path / "a", trials=12, sampler="random", seed=1)
    states = {}
    for name, prior in (("alone", []), ("taught", [str(tmp_path / "a")])):
        search = run(tmp_path / name, prior, trials=3, stopping="median", sampler="random", seed=2)
        states[name] = [trial.state for trial in search.history.trials]
    assert states["alone"] == ["complete"] * 3
    assert "halted" in states["taught"]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_resumed_search_decides_the_same_with_the_earlier_run_gone(
    sampler: str, earlier: str, tmp_path: Path
) -> None:
    changes = {"trials": 8, "sampler": sampler, "stopping": "paper"}
    run(tmp_path / "whole", [earlier], **changes)
    halves = begin(tmp_path / "halves", [earlier], **changes)
    drive(halves, most_rungs=7)
    halves.record.close()
    shutil.rmtree(earlier)
    run(tmp_path / "halves", [earlier], **changes)
    assert decisions(tmp_path / "halves") == decisions(tmp_path / "whole")


def test_killed_while_copying_copies_the_rest(earlier: str, tmp_path: Path) -> None:
    begin(tmp_path / "b", [earlier], trials=1).record.close()
    path = tmp_path / "b" / "record.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:6]) + lines[6][:40])  # run, start, four trials and a torn one
    resumed = begin(tmp_path / "b", [earlier], trials=1)
    resumed.record.close()
    assert [t.name for t in resumed.history.prior] == [
        f"{t.name} of {earlier}" for t in worth_knowing(earlier)
    ]


def test_what_an_earlier_run_had_taken_itself_comes_once(earlier: str, tmp_path: Path) -> None:
    run(tmp_path / "b", [earlier], trials=4)
    for prior in ([str(tmp_path / "b")], [earlier, str(tmp_path / "b")], [str(tmp_path / "b"), earlier]):
        record = begin(tmp_path / f"c{len(prior)}{prior[0][-1]}", prior, trials=1).record
        record.close()
        names = [trial.name for trial in record.history.prior]
        own = [f"{t.name} of {earlier}" for t in worth_knowing(earlier)]
        assert sorted(names) == sorted(own + [f"trial {n} of {tmp_path / 'b'}" for n in range(4)])


def test_a_crowd_of_earlier_trials_waits_in_the_legend(tmp_path: Path) -> None:
    """It would stretch the axes until the search's own trials are one dot."""
    shown = {}
    for count in (CROWD, CROWD + 1):
        run(tmp_path / f"{count}", trials=count, stopping="none")
        taught = run(tmp_path / f"of {count}", [str(tmp_path / f"{count}")], trials=2, stopping="none")
        taught.history.header["noise"] = to_plain(NOISE)
        chart = pareto(taught.history, None)
        assert chart is not None
        earlier = next(trace for trace in chart["data"] if trace["name"].startswith("of earlier runs"))
        shown[count] = earlier.visible or True
    assert shown == {CROWD: True, CROWD + 1: "legendonly"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rungs": [100, 200]}, r"rungs: \[100, 200\] against \[100, 200, 400\]"),
        ({"space": {"levels": {}}}, r"space.levels"),
    ],
)
def test_another_protocol_or_space_is_refused_and_nothing_is_copied(
    changed: dict[str, Any], said: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Record(tmp_path / "other")
    other.append("run", **({"name": "other", "space": to_plain(md_space()), "rungs": list(RUNGS)} | changed))
    other.append("start", scores=START, protocol={"images": 200})
    other.close()
    with pytest.raises(InputError, match=f"prior: .*other was another search.*{said}"):
        begin(tmp_path / "new", [str(tmp_path / "other")], trials=1)
    assert read_history(tmp_path / "new").prior == []


def recorded(monkeypatch: pytest.MonkeyPatch, folder: Path, **runs: str) -> None:
    """The package's bundle, of these run folders under these names."""
    bundle = [replace(bundled_of(run)[0], name=name) for name, run in runs.items()]
    write_bundle(folder / "recorded.jsonl.gz", bundle)
    for module in (search.runs.prior, search.runs.bundle):
        monkeypatch.setattr(module, "RECORDED_FILE", folder / "recorded.jsonl.gz")


def provenanced(folder: str) -> str:
    (Path(folder) / "provenance.json").write_text("{}")
    return folder


def test_a_bundle_teaches_as_the_folders_do(earlier: str, tmp_path: Path, monkeypatch) -> None:
    recorded(monkeypatch, tmp_path, table=provenanced(earlier))
    folder = run(tmp_path / "b", [earlier], trials=5).history
    for source in ("recorded:tab*", f"{tmp_path / 'recorded.jsonl.gz'}:table"):
        bundle = run(tmp_path / source[-3:].strip("*"), [source], trials=5).history
        assert [t.name for t in bundle.prior] == [t.name.replace(earlier, "table") for t in folder.prior]
        assert [t.architecture for t in bundle.trials] == [t.architecture for t in folder.trials]


def test_recorded_networks_teach_but_not_those_that_a_search_chose(
    earlier: str, tmp_path: Path, monkeypatch
) -> None:
    run(tmp_path / "b", trials=4, seed=7)
    after = provenanced(str(tmp_path / "b"))
    recorded(monkeypatch, tmp_path, table=provenanced(earlier), **{"after-0": after})
    search = begin(tmp_path / "c", trials=1)
    assert take_recorded(search.record, []) == []
    known = [f"{t.name} of recorded:table" for t in worth_knowing(earlier)]
    assert [t.name for t in search.history.prior] == known
    assert take_recorded(search.record, []) == [] and len(search.history.prior) == len(known)  # each once
    search.record.close()


def test_recorded_networks_of_another_protocol_say_nothing_and_refuse_nothing(
    earlier: str, tmp_path: Path, monkeypatch
) -> None:
    recorded(monkeypatch, tmp_path, table=provenanced(earlier))
    search = begin(tmp_path / "c", trials=1, header_rungs=(100, 200))
    assert take_recorded(search.record, []) == ["rungs: [100, 200, 400] against [100, 200]"]
    assert search.history.prior == []
    search.record.close()


def test_a_space_filling_run_goes_on_where_the_recorded_one_ended(tmp_path: Path) -> None:
    """So that a table grows over as many runs as it takes."""
    words = {"sampler": "sobol", "stopping": "none"}
    whole = run(tmp_path / "whole", trials=12, **words).history.trials
    run(tmp_path / "a", trials=7, **words)
    rest = run(tmp_path / "b", [str(tmp_path / "a")], trials=5, **words).history.trials
    assert [trial.architecture for trial in rest] == [trial.architecture for trial in whole[7:]]


def test_a_folder_without_a_record_is_named_with_its_field(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^prior: .*nowhere: no record\.jsonl here"):
        begin(tmp_path / "new", [str(tmp_path / "nowhere")], trials=1)
