"""Runs side by side: which, and what the page says of them."""

from __future__ import annotations

import re
from pathlib import Path

import plotly.graph_objects as go
import pytest

from analysis.comparison.page import write_comparison
from analysis.comparison.runs import (
    check_runs_comparable,
    ledger,
    progress,
    read_runs,
    settings_that_differ,
    winners_verdicts,
)
from mdsearch.commands.compare import main
from search.objectives import FID_AND_CLIP
from space.architecture import Architecture
from space.shared.plain import InputError
from tests.analysis.report.pages import HOSTILE, Tree, figures_in
from tests.search.histories import MD, MD_LITE, confirm, end, open_run, propose, score, write_history

# ---------------------------------------------------------------------- which runs


def test_runs_of_one_name_go_by_their_folders(tmp_path: Path) -> None:
    for name in "ab":
        write_history(tmp_path / name, ended=3, failed=(), confirmation_seeds=0)
    assert [run.name for run in read_runs([tmp_path / "a", tmp_path / "b"])] == [
        str(tmp_path / "a"),
        str(tmp_path / "b"),
    ]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("", "runs: a comparison needs two run folders or more"),
        ("a", "runs: a comparison needs two run folders or more"),
        ("aa", "named twice"),
        ("ax", "no record.jsonl here"),
        ("ab", "scores of different protocols do not compare: a and b differ in rungs: .* against .*"),
    ],
)
def test_what_cannot_be_compared_is_refused(names: str, said: str, tmp_path: Path) -> None:
    write_history(tmp_path / "a", ended=3, failed=(), name="a")
    write_history(tmp_path / "b", ended=3, failed=(), name="b", rungs=[50, 400])
    with pytest.raises(InputError, match=said):
        main([*(str(tmp_path / name) for name in names), f"out={tmp_path / 'out.html'}"])
    assert not (tmp_path / "out.html").exists()


def test_an_out_that_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    folders = [str(tmp_path / name) for name in "ab"]
    for place, folder in enumerate(folders):
        write_history(Path(folder), ended=3, failed=(), name=str(place))
    with pytest.raises(InputError, match=r"out: .*nowhere is no folder"):
        main([*folders, f"out={tmp_path / 'nowhere' / 'out.html'}"])


def test_only_settings_that_differ_are_laid_out(tmp_path: Path) -> None:
    write_history(tmp_path / "a", ended=3, failed=(), name="a")
    write_history(tmp_path / "b", ended=3, failed=(), name="b", sampler={"name": "nsga2", "population": 6})
    differing = settings_that_differ(read_runs([tmp_path / "a", tmp_path / "b"]))
    assert differing == {"sampler.name": ["tpe", "nsga2"], "sampler.population": ["-", "6"]}


# ---------------------------------------------------------------------- what is said of them


def one_trial_run(
    folder: Path, architecture: Architecture, point: tuple[float, float], new: list[tuple[float, float]]
) -> Path:
    """A search of one complete trial, confirmed with a seed for each of the new points."""
    record = open_run(folder, name=folder.name, trials=1)
    key = propose(record, architecture)
    score(record, key, 400, *point, "end")
    end(record, key)
    confirm(record, "trial 0", architecture, new)
    record.close()
    return folder


@pytest.mark.parametrize(
    ("ours", "theirs", "word", "seeds"),
    [
        ([(5.0, 0.8)] * 4, [(30.0, 0.3)] * 4, "better", 4),
        ([(30.0, 0.3)] * 4, [(5.0, 0.8)] * 4, "worse", 4),
        ([(12.0, 0.5)] * 4, [(11.5, 0.51)] * 4, "undecided", 4),
        ([(5.0, 0.8)] * 4, [], "undecided", 0),  # by one run each, which are alike
    ],
)
def test_planted_winners_are_told_apart_by_their_new_runs_or_not_at_all(
    ours: list[tuple[float, float]],
    theirs: list[tuple[float, float]],
    word: str,
    seeds: int,
    tmp_path: Path,
) -> None:
    folders = [
        one_trial_run(tmp_path / "a", MD, (12.0, 0.5), ours),
        one_trial_run(tmp_path / "b", MD_LITE, (12.1, 0.5), theirs),
    ]
    (verdict,) = winners_verdicts(read_runs(folders))
    assert (verdict.word, verdict.seeds) == (word, seeds)


def test_single_runs_beyond_the_noise_and_equal_networks_are_said(tmp_path: Path) -> None:
    folders = [
        one_trial_run(tmp_path / "a", MD, (5.0, 0.8), []),
        one_trial_run(tmp_path / "b", MD_LITE, (40.0, 0.2), []),
        one_trial_run(tmp_path / "c", MD, (12.0, 0.5), []),
    ]
    words = [verdict.word for verdict in winners_verdicts(read_runs(folders))]
    assert words == ["better", "the same network", "worse"]


def test_progress_and_ledger_add_up_by_hand(tmp_path: Path) -> None:
    record = open_run(tmp_path, trials=3)
    for fid, clip, steps in ((50.0, 0.2, 400), (60.0, 0.1, 200), (40.0, 0.3, 400)):
        key = propose(record, MD)
        score(record, key, steps, fid, clip, "end" if steps == 400 else "halt")
        end(record, key, "complete" if steps == 400 else "halted")
    record.close()
    moments = progress(record.history, FID_AND_CLIP)
    assert [(m.trials, m.steps, m.best) for m in moments] == [
        (1, 400, (50.0, 0.2)),
        (2, 600, (50.0, 0.2)),
        (3, 1000, (40.0, 0.3)),
    ]
    # from the untrained network at FID 160 and CLIP .01
    areas = [(160 - 50) * (0.2 - 0.01)] * 2 + [(160 - 40) * (0.3 - 0.01)]
    assert [m.area for m in moments] == pytest.approx(areas)
    assert moments[-1].seconds == pytest.approx(1000 / 6 + 3 * 5.9)
    counts = ledger(record.history)
    assert (counts.complete, counts.stopped, counts.steps, counts.saved) == (2, 1, 1000, 200)


# ---------------------------------------------------------------------- the page


def test_the_page_is_one_file_that_shows_every_run(tmp_path: Path) -> None:
    for place, name in enumerate(("a", "b", "c")):
        folder = tmp_path / name
        write_history(folder, ended=16, seed=place, name=name + HOSTILE, sampler={"name": f"sampler-{name}"})
    runs = read_runs([tmp_path / name for name in "abc"])
    check_runs_comparable(runs)
    text = write_comparison(runs, tmp_path / "out.html").read_text(encoding="utf-8")
    tree = Tree(text)
    assert tree.tags.count("script") == 2 and tree.addresses == [] and "img" not in tree.tags
    words = re.sub(r"\s+", " ", " ".join(tree.words))
    for run in runs:
        assert run.name in words and run.winner is not None and run.winner.architecture.id in words
        assert f"sampler-{run.folder.name}" in words
    charts = figures_in(text)
    assert set(charts) <= set(tree.ids) and len(charts) == 5
    for chart in charts.values():
        go.Figure(chart)
    complete = [t for t in runs[0].history.trials if t.state == "complete"]
    own = [t for t in charts["fronts"]["data"] if t["name"].startswith("a&lt;")]
    assert len(own[0]["x"]) == len(complete)
    assert "do not compare" not in words


def test_runs_without_a_complete_trial_are_laid_out_too(tmp_path: Path) -> None:
    write_history(tmp_path / "a", ended=6, name="a", failed=())
    record = open_run(tmp_path / "b", name="b")
    end(record, propose(record, MD), "failed", "out of memory")
    record.close()
    runs = read_runs([tmp_path / "a", tmp_path / "b"])
    text = write_comparison(runs, tmp_path / "out.html").read_text(encoding="utf-8")
    assert re.search(r"Nothing [^.]* b: no trial [^.]* full length\.", text)
    write_comparison(runs[1:] * 2, tmp_path / "none.html")


def test_the_command_prints_the_table_and_names_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [
        str(one_trial_run(tmp_path / "a", MD, (12.0, 0.5), [(5.0, 0.8)] * 4)),
        str(one_trial_run(tmp_path / "b", MD_LITE, (12.0, 0.5), [(30.0, 0.3)] * 4)),
    ]
    out = tmp_path / "page.html"
    assert main([folders[0], f"runs=[{folders[1]}]", f"out={out}"]) == 0
    printed = capsys.readouterr().out
    assert "Searches compared" in printed and f"comparison: {out}" in printed
    assert re.search(r"The winner of \w \(trial 0\) is (better|worse) than that of", printed)
    assert out.is_file()
