"""trials.csv to the letter, and what the terminal's tables say."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from analysis import findings
from analysis.comparison.runs import read_runs
from analysis.comparison.table import comparison_table
from analysis.tables import result_table, write_tables
from search.run import RunResult
from search.runs.record import History, read_history
from search.runs.rows import TRIAL_COLUMNS, rung_rows
from space.architecture import Level
from space.choices import LevelRanges, Space
from space.shared.plain import InputError, to_plain
from tests.search.histories import MD, SPACE, confirm, end, open_run, propose, score, write_history


def printed(table: Table, width: int = 200) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    return console.export_text()


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_trials_csv(folder: Path, history: History) -> Path:
    write_tables(folder, history)
    return folder / "trials.csv"


def test_columns_begin_exactly_as_promised(tmp_path: Path) -> None:
    history = write_history(tmp_path, ended=6, space=to_plain(SPACE))
    head = write_trials_csv(tmp_path, history).read_text(encoding="utf-8").splitlines()[0]
    choices = "level_1.channels,level_2.channels,"
    promised = (
        "number,state,reason,architecture,parameters,gmacs,proxy_parameters,steps,fid,clip,"
        "validation_loss,seconds,seed"
    )
    assert head.startswith(f"{promised},fid_random_network,{choices}")
    assert ",".join(TRIAL_COLUMNS) == promised
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".trials")]


def test_a_row_of_each_kind(tmp_path: Path) -> None:
    record = open_run(tmp_path, trials=4)
    complete, stopped, failed, _ = (propose(record, MD) for _ in range(4))
    for step, fid in ((100, 90.0), (200, 40.0), (400, 12.5)):
        score(record, complete, step, fid, 0.4, "end" if step == 400 else "continue")
    end(record, complete)
    score(record, stopped, 100, 140.0, 0.02, "halt")
    end(record, stopped, "halted", 'slower, by far; "quoted"\nand over two lines')
    end(record, failed, "failed", "out of memory")
    confirm(record, "md", MD, [(12.0, 0.4)])  # no row: not a trial of the search
    record.close()
    rows = rows_of(write_trials_csv(tmp_path, record.history))
    assert [row["state"] for row in rows] == ["complete", "halted", "failed", "running"]
    first = rows[0]
    assert (first["number"], first["architecture"], first["seed"]) == ("0", MD.id, "0")
    assert first["parameters"] == "387376712"
    assert abs(float(first["gmacs"]) - 183.57) < 0.01
    assert (first["steps"], first["fid"], first["clip"]) == ("400", "12.5", "0.4")
    assert float(first["seconds"]) == round((100 + 200 + 400) / 6 + 3 * 5.9, 3)
    assert first["reason"] == "trained to full length"
    assert rows[1]["reason"] == 'slower, by far; "quoted"\nand over two lines'
    assert rows[1]["steps"] == "100"
    assert (rows[2]["fid"], rows[2]["steps"], rows[2]["reason"]) == ("", "0", "out of memory")
    assert rows[3]["reason"] == "under way or interrupted"


def test_choices_are_columns_where_they_have_an_effect(tmp_path: Path) -> None:
    record = open_run(tmp_path, trials=3, space=to_plain(SPACE))
    bare = replace(MD, levels=(MD.levels[0], Level(640, "full", (0,), (0, 0)), MD.levels[2])).canonical()
    plain = replace(MD, levels=(*MD.levels[:2], replace(MD.levels[2], self_attention=False)))
    for architecture in (MD, bare, plain):
        key = propose(record, architecture)
        score(record, key, 100, 90.0, 0.1)
    confirm(record, "md", MD, [(12.0, 0.4)])
    record.close()
    first, second, third = rows_of(write_trials_csv(tmp_path, record.history))
    assert (first["level_3.channels"], first["level_3.self_attention"]) == ("1024", "True")
    assert (first["level_2.layers_down"], first["level_2.cross_attention"]) == ("1", "True")
    assert (
        second["level_3.channels"] == second["level_2.cross_attention"] == ""
    )  # layers_up=0: outside the space
    assert (third["level_3.self_attention"], third["level_3.cross_attention"]) == ("False", "True")
    rungs = rows_of(tmp_path / "rungs.csv")
    assert [(row["name"], row["purpose"], row["step"]) for row in rungs[:3]] == [
        (f"trial {number}", "search", "100") for number in range(3)
    ]
    assert {(row["name"], row["purpose"]) for row in rungs[3:]} == {("md", "confirm")}
    assert (rungs[0]["fid_embedded_clip"], rungs[0]["level_3.channels"]) == ("90.0", "1024")


def test_a_choice_without_effect_is_empty(tmp_path: Path) -> None:
    space = Space({"a": LevelRanges((320, 640), layers_down=(0, 1), cross_attention=(False, True))})
    record = open_run(tmp_path, trials=2, space=to_plain(space))
    for layers, crossing in ((0, True), (1, True)):
        chosen = {"a.channels": 320, "a.layers_down": layers, "a.cross_attention": crossing}
        score(record, propose(record, space.architecture(space.pinned() | chosen)), 100, 90.0, 0.1)
    record.close()
    columns, (without, with_layers) = rung_rows(record.history)
    assert columns[-3:] == ["a.channels", "a.layers_down", "a.cross_attention"]
    assert (without["a.layers_down"], without["a.cross_attention"]) == (0, None)
    assert (with_layers["a.layers_down"], with_layers["a.cross_attention"]) == (1, True)


def test_a_result_is_a_frame_and_one_short_line(tmp_path: Path) -> None:
    result = RunResult(tmp_path, write_history(tmp_path, ended=6, space=to_plain(SPACE)), None, True)
    frame, rungs = result.frame(), result.frame("rungs")
    assert list(frame.number) == list(range(6)) and frame.parameters.dtype.kind == "i"
    assert str(frame["level_1.channels"].dtype) == "Int64"
    assert frame.fid.dtype.kind == "f" and set(frame["level_1.channels"].dropna()) <= {256, 320, 384}
    trials = [trial for trial in result.history.trials for _ in trial.rungs]
    searched = rungs[rungs.purpose == "search"]
    assert list(searched.architecture) == [trial.architecture.id for trial in trials]
    assert list(searched.step) == [rung.step for trial in result.history.trials for rung in trial.rungs]
    with pytest.raises(InputError, match=r"^rows: 'rung' .*'rungs'"):
        result.frame("rung")  # type: ignore[arg-type]
    line = repr(result)
    assert str(result) == line and "\n" not in line and len(line) < 120 + len(str(tmp_path))
    assert "6 trials: " in line and line.endswith("; interrupted)") and f"({tmp_path}: " in line
    best = min(
        (t for t in result.history.trials if t.state == "complete"), key=lambda t: t.number, default=None
    )
    assert best is not None and "best trial " in line
    assert len(repr(result.history)) < 100 and repr(result.history.trials[0]).startswith("Trial(trial 0: ")


def test_no_trials_is_a_head_alone(tmp_path: Path) -> None:
    record = open_run(tmp_path)
    record.close()
    assert rows_of(write_trials_csv(tmp_path, record.history)) == []


def test_result_table_shows_the_best_few_and_every_verdict(tmp_path: Path) -> None:
    text = printed(result_table(write_history(tmp_path, ended=24, seed=1)))
    assert "24 trials: " in text and "complete" in text and "stopped" in text
    assert "against MD:" in text and "against MD-Lite:" in text
    assert len([line for line in text.splitlines() if line.strip("│ ").startswith("trial ")]) >= 5


def test_result_table_without_a_complete_trial(tmp_path: Path) -> None:
    record = open_run(tmp_path, name="[bold]name")
    end(record, propose(record, MD), "failed", "out of memory")
    record.close()
    text = " ".join(printed(result_table(record.history)).split())
    assert "nothing is decided" in text
    assert "[bold]name" in text  # markup in names is text


def test_comparison_has_a_row_a_search(tmp_path: Path) -> None:
    write_history(tmp_path / "a", ended=8, name="a", sampler={"name": "random"})
    write_history(tmp_path / "b", ended=4, failed=(), confirmation_seeds=0, name="b")
    record = open_run(tmp_path / "c", name="c", budget={"parameters_millions": None, "gmacs": None})
    record.close()
    runs = read_runs([tmp_path / name for name in "abc"])
    lines = printed(comparison_table(runs), 100).splitlines()
    rows = {}
    for line in lines:
        first = next(iter(line.split()), "")
        if first in ("a", "b", "c"):
            name = first
            rows[name] = ""
        if rows:
            rows[name] += line + "\n"
    assert "random" in rows["a"] and "400 M, 200 GMACs" in rows["a"]
    history = read_history(tmp_path / "a")
    for verdict in findings.all_verdicts(history):
        assert f"{verdict.against}: {verdict.word}" in rows["a"]
    assert "MD-Lite: " in rows["a"]
    assert "not confirmed" in rows["b"] and "tpe" in rows["b"]
    assert "no budget" in rows["c"] and "0, 0, 0" in rows["c"] and "-" in rows["c"]
    fids = [t.score("fid_embedded_clip") for t in history.trials if t.state == "complete"]
    assert f"{min(fid for fid in fids if fid is not None):.2f}" in rows["a"]


def test_comparison_of_different_protocols_holds_no_scores(tmp_path: Path) -> None:
    write_history(tmp_path / "a", ended=8, name="a")
    write_history(
        tmp_path / "b", ended=4, failed=(), name="b", training={"batch": 32, "learning_rate": 0.002}
    )
    text = printed(comparison_table(read_runs([tmp_path / "a", tmp_path / "b"])), 120)
    assert "do not compare" in text and "a and b differ in training.batch: 64 against 32" in text
    best = findings.pareto_front(read_history(tmp_path / "a"))[0][1]
    assert f"{best.fid:.2f}" not in text
    assert "4, 0, 0" in text  # what was done is not a score
