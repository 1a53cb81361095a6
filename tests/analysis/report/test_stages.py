"""The report at every stage of a run: it claims no more than is known, and follows a running search."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from analysis.report import write_report
from analysis.report.stage import stage
from search.runs.record import Record
from space.shared.plain import InputError
from space.shared.retries import resume_command
from tests.analysis.report.pages import body_of, words_in, words_of
from tests.search.histories import MD, MD_LITE, confirm, end, open_run, propose, score, write_history


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
    assert "0 of 12 trials had ended and 1 was under way" in words
    assert f"go on with: {resume_command(tmp_path)}" in words
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
    html, charts = body_of(tmp_path)
    assert "budget none" in html
    assert "at full width" in html
    assert "shapes" not in charts["costs"]["layout"]


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
def test_stopped_trials_rerun_to_the_end_count_wrong_stops(tmp_path: Path) -> None:
    record = open_run(tmp_path, trials=3)
    for architecture, state in ((MD, "complete"), (MD_LITE, "halted"), (MD_LITE, "halted")):
        key = propose(record, architecture)
        score(record, key, 400 if state == "complete" else 200, 10.0, 0.5, "continue")
        end(record, key, state, "slower" if state == "halted" else "")
    confirm(record, "trial 1", MD_LITE, [(30.0, 0.1)])  # rightly
    confirm(record, "trial 2", MD_LITE, [(8.0, 0.4)])  # a better FID than any complete trial's
    record.close()
    words = words_of(tmp_path)
    assert "1 would have reached the Pareto front and were stopped wrongly (trial 2)" in words


# ---------------------------------------------------------------------- while the search runs


@pytest.mark.usefixtures("quick")
def test_a_page_of_a_running_search_says_so_and_the_last_one_stands_still(tmp_path: Path) -> None:
    write_history(tmp_path, ended=5, running=2, failed=(), confirmation_seeds=0)
    running = write_report(tmp_path, running=True).read_text(encoding="utf-8")
    words = words_in(running)
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
    counted = [(line.partition(":")[0], re.findall(r"\d+", line)) for line in said]
    assert counted == [
        ("preparing", []),
        ("searching", ["0", "2", "1"]),  # ended, of so many, under way
        ("searching", ["1", "2", "1"]),
        ("confirming", ["0", "1"]),
        ("confirming", ["1", "0"]),
    ]
