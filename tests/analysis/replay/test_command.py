"""`mdsearch replay`: the strategies that its words ask for, what it writes, and what it refuses."""

import json

import pytest

from mdsearch.commands.replay import main, strategies
from space.shared.plain import InputError, to_plain
from tests.analysis.replay.recordings import write_run


def test_the_command_compares_and_writes(tmp_path, capsys):
    run = write_run(tmp_path / "a", "trials=12", "stopping=none", "sampler=random", noise=0.02)
    out = tmp_path / "out"
    assert main([f"runs=[{run}]", "sampler=random", "stopping=paper,none", "seeds=3", f"out={out}"]) == 0
    said = capsys.readouterr().out
    assert "12 networks" in said and "times as fast" in said
    assert {path.name for path in out.iterdir()} == {"replay.json", "replay.csv", "replay.png"}
    assert len((out / "replay.csv").read_text().splitlines()) == 1 + 2 * 3
    assert set(json.loads((out / "replay.json").read_text())["strategies"]) == {"paper", "none"}


def test_where_results_cannot_go_is_known_before_anything_is_replayed(tmp_path, monkeypatch):
    run = write_run(tmp_path / "a", "trials=2", "stopping=none", "sampler=random")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("mdsearch.commands.replay.replay", None)
    with pytest.raises(InputError, match=r"out: .*file/out cannot be made: Not a directory"):
        main([f"runs=[{run}]", f"out={tmp_path / 'file' / 'out'}"])


def test_the_command_checks(tmp_path, capsys):
    run = write_run(tmp_path / "a", "trials=4")
    assert main([f"runs=[{run}]", "check=true"]) == 0
    (_, row) = capsys.readouterr().out.splitlines()
    assert row.split()[:5] == [str(run), "lasso", "4", "/", "4"]


def test_one_strategy_stands_beside_uniform_sampling():
    assert list(strategies(["runs=[a]", "sampler=random"])) == ["as asked", "uniform, no stopping"]
    assert list(strategies(["runs=[a]", "sampler=tpe,random", "workers=1,8"])) == [
        "tpe, workers=1", "tpe, workers=8", "random, workers=1", "random, workers=8",
    ]  # fmt: skip
    assert list(strategies(["runs=[a]", "sampler=random", "stopping=none"])) == ["as asked"]
    own = strategies(["runs=[a]", "sampler=own,random", "sampler.use='my file.py:Mine'"])
    assert {name: to_plain(one.sampler) for name, one in own.items()} == {
        "own": {"name": "custom", "use": "my file.py:Mine", "options": None}, "random": {"name": "random"}
    }  # fmt: skip


def test_what_is_compared_may_be_a_field_that_the_baseline_has_not():
    words = ["sampler=tpe", "stopping.deviations=2", "sampler.good_share=0.2", "workers=3"]
    asked = strategies(["runs=[a]", *words])
    assert asked["as asked"].stopping.deviations == 2 and asked["as asked"].sampler.good_share == 0.2
    baseline = asked["uniform, no stopping"]
    assert (baseline.sampler.name, baseline.stopping.name, baseline.workers) == ("random", "none", 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs=a,b"], r"runs=a,b: no part of a strategy, so it has one value; a list is written \[a,b\]"),
        (["runs=[x]", "seeds=0"], "seeds: 0 is too few"),
        (["runs=[nowhere]"], "nowhere: no record.jsonl here"),
        (["runs=[]"], "runs: empty"),
        (["runs=[x]", "top_share=2"], "top_share: 2 is not a share"),
    ],
)
def test_bad_words_are_refused_in_one_line(words, said):
    with pytest.raises(InputError, match=said):
        main(words)
