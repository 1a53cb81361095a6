"""The table of docs/results.md, made from records."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.default_search import main, results
from search.runs.record import History
from space.shared.plain import InputError
from tests.search.histories import MD, MD_LITE, confirm, end, open_run, propose, score


def a_search(folder: Path, seed: int, fids: tuple[float, float] | None) -> History:
    """A winner (MD-Lite) and a trial stopped at step 100; then two seeds of it and of MD, with these FIDs."""
    record = open_run(folder, name=folder.name, seed=seed, trials=2)
    record.append("session", trials=2, backend="inline", own={})
    key = propose(record, MD_LITE)
    for step in (100, 200, 400):
        score(record, key, step, 9.0, 0.4, "end" if step == 400 else "continue")
    end(record, key)
    key = propose(record, MD)
    score(record, key, 100, 150.0, 0.1, "halt")
    end(record, key, "halted", "slower")
    for name, architecture, fid in (("trial 0", MD_LITE, 0), ("md", MD, 1)) if fids else ():
        confirm(record, name, architecture, [(fids[fid], 0.4), (fids[fid], 0.4)])
    record.close()
    record.history.header["time"] = max(trial.ended for trial in record.history.by_key.values()) - 660
    return record.history


def test_a_row_says_what_a_search_found_and_what_it_saved(tmp_path: Path) -> None:
    histories = [a_search(tmp_path / "b", 1, (10.0, 10.0)), a_search(tmp_path / "a", 0, (5.0, 20.0))]
    lines = results(histories).splitlines()
    first, second = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:4])
    assert first[:6] == ["0", "11.0", "278.2 M, 154.0", "5, .400", "20, .400", "-"]
    assert first[6].startswith("*better*: -75 % (") and first[7] == "not confirmed"
    assert first[8:] == ["1 of 2", "300 of 800 (38%)"]
    assert second[0] == "1" and second[6].startswith("*undecided*: +0 % (")
    assert "Better than MD: 1 of 2 winners (95 %: 1 to 99 %)." in lines
    assert lines[-1] == "Stopped: 2 of 4 trials; saved 600 of 1,600 steps."


def test_what_was_not_confirmed_or_was_resumed_is_said(tmp_path: Path) -> None:
    history = a_search(tmp_path, 0, None)
    history.sessions.append(history.sessions[0])
    row = results([history]).splitlines()[2]
    assert "| resumed |" in row and row.count("not confirmed") == 2 and "Better" not in results([history])


def test_the_command_reads_run_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_search(tmp_path / "a", 4, None)
    assert main(["table", str(tmp_path / "a")]) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith("| 4 | ")


def test_the_command_reads_the_shipped_record(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "recorded:default-*"]) == 0
    said = capsys.readouterr().out
    assert [line[:4] for line in said.splitlines()[2:7]] == [f"| {seed} " for seed in range(5)]
    assert "Better than MD: 5 of 5 winners (95 %: 48 to 100 %)." in said
    assert "Stopped: 2 of 60 trials; saved 500 of 30,000 steps." in said


@pytest.mark.parametrize(("words", "said"), [([], "table: no run named"), (["nowhere"], "nowhere: ")])
def test_no_search_is_a_line(words: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        main(["table", *words])


def test_a_search_without_a_winner_is_a_line(tmp_path: Path) -> None:
    record = open_run(tmp_path, name="empty", seed=0, trials=2)
    record.close()
    with pytest.raises(InputError, match="empty: no trial is complete"):
        results([record.history])
