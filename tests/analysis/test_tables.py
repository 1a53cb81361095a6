"""trials.csv to the letter, and what the terminal's tables say."""

from __future__ import annotations

import csv
from pathlib import Path

from rich.console import Console
from rich.table import Table

from analysis import findings
from analysis.comparison.runs import read_runs
from analysis.comparison.table import comparison_table
from analysis.tables import COLUMNS, result_table, write_trials_csv
from search.runs.record import read_history
from tests.search.histories import MD, confirm, end, open_run, propose, score, write_history


def printed(table: Table, width: int = 200) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    return console.export_text()


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_columns_begin_exactly_as_promised(tmp_path: Path) -> None:
    history = write_history(tmp_path, ended=6)
    head = write_trials_csv(tmp_path, history).read_text(encoding="utf-8").splitlines()[0]
    promised = (
        "number,state,reason,architecture,parameters,gmacs,proxy_parameters,steps,fid,clip,"
        "validation_loss,seconds,seed"
    )
    assert head == promised + ",fid_random_network"
    assert ",".join(COLUMNS) == promised
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
