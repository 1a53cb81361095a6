"""Trials of another protocol: the sampler hears how they stood there, and nobody else hears of them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.report.contents import sections_of
from analysis.report.html import body
from analysis.report.page import Page
from conf.compose import compose
from search.checks import check_parts
from search.objectives import FID_AND_CLIP
from search.runs.elsewhere import check_elsewhere, elsewhere_words, take_elsewhere
from search.runs.record import MemoryRecord, Trial, read_history
from search.runs.scores import best_first
from search.samplers.elsewhere import observations_elsewhere
from search.samplers.standings import standings
from search.settings import settings_from_plain
from search.strategies.independent import ArchitectureSearch
from space.shared.plain import InputError
from tests.search.runs.test_prior import begin, provenanced, recorded, run, worth_knowing
from tests.search.test_strategy import decisions
from tests.search.worlds import drive, md_space


@pytest.fixture
def other(tmp_path: Path) -> str:
    run(tmp_path / "other", trials=20, sampler="random", stopping="median", seed=3)
    return str(tmp_path / "other")


def told(folder: Path, sources: list[str], **changes: Any) -> ArchitectureSearch:
    search = begin(folder, **changes)
    if not search.history.trials:
        take_elsewhere(search.record, sources, search.space, ())
    return search


def test_trials_are_copied_whole_and_stand_apart(other: str, tmp_path: Path) -> None:
    search = told(tmp_path / "b", [other], trials=2)
    search.record.close()
    history = read_history(tmp_path / "b")
    assert [t.rungs for t, _, _ in history.elsewhere] == [t.rungs for t in worth_knowing(other)]
    assert {group for _, group, _ in history.elsewhere} == {other}
    assert history.known == [] and history.by_architecture == {} and history.prior == []
    assert elsewhere_words(history) == f"{len(worth_knowing(other))} trials of {other}"


def test_the_sampler_hears_how_they_stood_among_each_other_alone(other: str, tmp_path: Path) -> None:
    """The places of each source are those that it has alone; also beside a source with the same rungs, and
    beside trials of this search."""
    run(tmp_path / "third", trials=9, sampler="random", seed=8, header_rungs=(100, 200))
    search = told(tmp_path / "b", [other, str(tmp_path / "third")], trials=2)
    drive(search)
    search.record.close()
    seen = observations_elsewhere(search.history)
    assert all(one.point is None and max(one.curve.steps) < 0 for one in seen)
    own = [search.curves[trial.key] for trial in search.history.trials]
    together = standings([*(one.curve for one in seen), *own])
    for source in (other, str(tmp_path / "third")):
        alone = observations_elsewhere(told(tmp_path / source[-3:], [source], trials=1).history)
        there = [n for n, (_, group, _) in enumerate(search.history.elsewhere) if group == source]
        assert [together[n] for n in there] == standings([one.curve for one in alone])


@pytest.mark.parametrize("sampler", ["lasso", "linear"])
def test_a_search_that_is_told_proposes_what_was_good_there(sampler: str, other: str, tmp_path: Path) -> None:
    """In the same world, as if by other scores: its first proposals stand better than of one that knows
    nothing."""
    places = {}
    for name, sources in (("alone", []), ("told", [other])):
        search = told(tmp_path / name, sources, trials=4, sampler=sampler, stopping="none", seed=5)
        drive(search)
        search.record.close()
        places[name] = search.history.trials
    both: list[Trial] = [*places["alone"], *places["told"]]
    first = best_first(both, FID_AND_CLIP)[:3]
    assert sum(trial in places["told"] for trial in first) >= 2


def test_the_report_says_what_the_sampler_heard(other: str, tmp_path: Path) -> None:
    search = told(tmp_path / "b", [other], trials=3)
    drive(search)
    search.record.close()
    page = Page(tmp_path / "b", read_history(tmp_path / "b"))
    html, _ = body(sections_of(page), page)
    section = html.split("<h2>Prior knowledge</h2>")[1].split("</section>")[0]
    assert f"({len(worth_knowing(other))} trials of {other}): the sampler alone heard" in section
    assert "of earlier runs" not in section and "<table" not in section


def test_its_networks_may_be_tried_again(other: str, tmp_path: Path) -> None:
    search = told(tmp_path / "b", [other], trials=3, sampler="random", stopping="none", seed=3)
    drive(search)
    search.record.close()
    known = {trial.architecture.id for trial, _, _ in search.history.elsewhere}
    assert known >= {trial.architecture.id for trial in search.history.trials}  # of the same seed at random


def test_it_resumes_with_the_source_gone(other: str, tmp_path: Path) -> None:
    changes = {"trials": 6, "sampler": "lasso", "stopping": "paper"}
    whole = told(tmp_path / "whole", [other], **changes)
    drive(whole)
    whole.record.close()
    halves = told(tmp_path / "halves", [other], **changes)
    drive(halves, most_rungs=7)
    halves.record.close()
    shutil.rmtree(other)
    rest = told(tmp_path / "halves", [other], **changes)
    drive(rest)
    rest.record.close()
    assert decisions(tmp_path / "halves") == decisions(tmp_path / "whole")


def test_killed_while_copying_copies_the_rest(other: str, tmp_path: Path) -> None:
    told(tmp_path / "b", [other], trials=1).record.close()
    path = tmp_path / "b" / "record.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:6]))
    again = told(tmp_path / "b", [other], trials=1)
    again.record.close()
    assert [t.identity for t, _, _ in again.history.elsewhere] == [t.identity for t in worth_knowing(other)]


def test_recorded_networks_are_ranked_together_but_for_what_tells_of_reference_points(
    other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "c", trials=4, seed=7)
    after = provenanced(str(tmp_path / "c"))
    recorded(monkeypatch, tmp_path, table=provenanced(other), pairs=after, **{"after-0": after})
    record = MemoryRecord(lambda: 0.0)
    reference = worth_knowing(other)[0].architecture
    take_elsewhere(record, ["recorded"], md_space(), [reference])
    taken = [trial.architecture for trial, _, _ in record.history.elsewhere]
    assert reference not in taken and len(taken) > 4
    assert {group for _, group, _ in record.history.elsewhere} == {"recorded:table"}
    assert {t.source for t, _, _ in record.history.elsewhere} == {"recorded:table", "recorded:pairs"}
    some = MemoryRecord(lambda: 0.0)  # named run by run, it tells no more
    take_elsewhere(some, ["recorded:tab*"], md_space(), [reference])
    assert reference not in [trial.architecture for trial, _, _ in some.history.elsewhere]
    assert {t.source for t, _, _ in some.history.elsewhere} == {"recorded:table"}


def test_the_networks_of_the_package_can_teach_searches_of_other_images() -> None:
    plain = compose("search", ["prior_elsewhere=[recorded]", "experiment=emoji"])
    check_parts(settings_from_plain(plain), [])


def test_runs_of_one_protocol_are_ranked_together(other: str, tmp_path: Path) -> None:
    run(tmp_path / "third", trials=4, sampler="random", seed=8)
    search = told(tmp_path / "b", [other, str(tmp_path / "third")], trials=1)
    search.record.close()
    assert {group for _, group, _ in search.history.elsewhere} == {other}
    assert {trial.source for trial, _, _ in search.history.elsewhere} == {other, str(tmp_path / "third")}


def test_what_is_prior_knowledge_already_is_not_heard_twice(other: str, tmp_path: Path) -> None:
    search = begin(tmp_path / "b", [other], trials=1)
    take_elsewhere(search.record, [other], search.space, ())
    search.record.close()
    assert search.history.elsewhere == [] and len(search.history.prior) == len(worth_knowing(other))


def test_sources_that_can_teach_nothing_are_refused_before_the_search(other: str, tmp_path: Path) -> None:
    begin(tmp_path / "begun", trials=1).record.close()
    space = replace(md_space(), feed_forward_ratio=(7,))
    lacks = {"network that is a point of this search's space": (other, space)}
    lacks |= {"complete or stopped trial": (str(tmp_path / "begun"), md_space())}
    for what, (source, own) in lacks.items():
        with pytest.raises(InputError, match=rf"^prior_elsewhere: .* has no {what}; needed: one or more"):
            check_elsewhere([source], own, (), 500)
    check_elsewhere([other], md_space(), (), 500)
    known = len(worth_knowing(other))
    shutil.copytree(other, f"{other}-copy")
    check_elsewhere([other, f"{other}-copy"], md_space(), (), known)  # each once
    with pytest.raises(InputError, match=r"^prior_elsewhere: \d+ different trials; allowed: 3 or fewer"):
        check_elsewhere([other], md_space(), (), 3)


def test_a_trial_without_scores_of_all_objectives_stands_nowhere(other: str, tmp_path: Path) -> None:
    search = told(tmp_path / "b", [other], trials=1)
    search.record.close()
    trial, _, _ = search.history.elsewhere[0]
    for rung in trial.rungs:
        rung.scores.clear()
    assert len(observations_elsewhere(search.history)) == len(search.history.elsewhere) - 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["sampler=tpe"],
            r"sampler=tpe learns from scores.*allowed: strategy=independent with sampler=lasso",
        ),
        (["strategy=supernet"], "strategy=supernet learns from scores"),
        ([], r"prior_elsewhere: .*nowhere"),
    ],
)
def test_what_cannot_be_is_refused_before_the_search(words: list[str], said: str) -> None:
    plain = compose("search", ["prior_elsewhere=[nowhere]", *words])
    with pytest.raises(InputError, match=said):
        check_parts(settings_from_plain(plain), [])
