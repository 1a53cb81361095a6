"""What was recorded is decided today as it was then: every proposal, rejection and decision at a rung, run by
run and in the order in which they were taken."""

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.replay.recheck import Agreement, recheck_bundled, rechecks
from mdsearch.commands.replay import main
from search.runs.bundle import RECORDED_FILE, read_bundle

KINDS = ("proposed", "rejected", "rung")
TESTS = Path(__file__).parents[2]
STOPPING = TESTS / "search" / "baseline.jsonl.gz"  # taught by nothing (recorded=false), and stopping trials

# Counted by the code of before the refactoring, but for those of paper-seed-0 and later. Of each run:
# proposals, rejections, decisions at rungs.
RECORDED = {
    "table": (85, 61, 253),
    "seeds-1": (32, 0, 96),
    "seeds-2": (9, 0, 24),
    "seeds-2b": (25, 0, 75),
    "pairs": (87, 0, 261),
    "before-0": (12, 7, 33),
    "before-1": (12, 3, 29),
    "before-2": (12, 3, 30),
    "before-3": (12, 10, 33),
    "before-4": (12, 13, 35),
    "table-2": (30, 24, 90),
    "long": (20, 0, 60),
    "after-0": (8, 23, 24),
    "after-1": (8, 28, 24),
    "after-2": (8, 24, 24),
    "after-3": (8, 25, 24),
    "after-4": (8, 20, 24),
    "table-3": (39, 40, 117),
    "bigger": (17, 0, 51),
    "bigger-2": (7, 0, 21),
    "paper-seed-0": (12, 0, 36),
    "paper-seed-1": (12, 0, 36),
    "paper-seed-2": (12, 0, 36),
    "default-0": (12, 44, 36),
    "default-1": (12, 50, 36),
    "default-2": (12, 43, 34),
    "default-3": (12, 52, 36),
    "default-4": (12, 36, 36),
    "md-seed-0": (12, 147, 36),
    "md-seed-1": (12, 11, 36),
    "md-seed-2": (12, 7, 32),
    "md-seed-3": (12, 28, 36),
    "md-seed-4": (12, 134, 32),
    "reference-seed-0": (5, 0, 12),
    "reference-first-seed-1": (3, 0, 9),
    "reference-second-seed-0": (3, 0, 9),
    "reference-second-seed-1": (3, 0, 9),
    "proxy-thorough-seed-0": (6, 0, 18),
    "proxy-thorough-seed-1": (6, 0, 18),
    "proxy-tokens-seed-0": (6, 0, 18),
    "reference-third-seed-0": (3, 0, 9),
    "reference-third-seed-1": (3, 0, 9),
    "emoji-seed-0": (16, 0, 48),
    "emoji-seed-1": (16, 0, 48),
}
QUICK = ("before-4", "after-2", "bigger-2")  # TPE, linear with teachers, and what a user put first
STOPPED = {  # and of these, stopped
    "linear-paper-stops": (14, 45, 32, 5),
    "tpe-asha": (12, 27, 25, 8),
    "nsga2-extrapolate": (14, 20, 29, 7),
}


@pytest.fixture(scope="module")
def recorded():
    return read_bundle(RECORDED_FILE)


@pytest.fixture(scope="module")
def stopping():
    return read_bundle(STOPPING)


def agreements(found):
    return found.proposals, found.rejections, found.rungs


def test_every_recorded_run_is_in_the_table(recorded):
    assert list(recorded) == list(RECORDED)


@pytest.mark.parametrize(
    "name",
    # the others say the same of the same two samplers, in four seconds more
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in RECORDED],
)
def test_what_the_package_records_is_decided_as_it_was(recorded, name):
    found = recheck_bundled(recorded[name])
    assert not found.unchecked and not found.difference
    assert agreements(found) == tuple(Agreement(count, count) for count in RECORDED[name])


@pytest.mark.parametrize("name", STOPPED)
def test_searches_that_stop_trials_decide_as_they_did(stopping, name):
    *counts, stopped = STOPPED[name]
    found = recheck_bundled(stopping[name])
    assert not found.unchecked and not found.difference
    assert agreements(found) == tuple(Agreement(count, count) for count in counts)
    assert sum(event.get("decision") == "halt" for event in stopping[name].events) == stopped


def changed(run, event, **fields):
    """The same run with the last event of a kind told otherwise."""
    last = max(at for at, found in enumerate(run.events) if found["event"] == event)
    events = [{**found, **fields} if at == last else found for at, found in enumerate(run.events)]
    return replace(run, events=tuple(events))


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("rung", {"decision": "end"}),
        ("proposed", {"seed": 7}),
        ("rejected", {"architecture_id": "000000000000"}),
    ],
)
def test_a_decision_told_otherwise_alone_is_counted(stopping, event, fields):
    run = stopping["tpe-asha"]
    found = recheck_bundled(changed(run, event, **fields))
    whole = recheck_bundled(run)
    for kind, there, here in zip(KINDS, agreements(found), agreements(whole), strict=True):
        assert there.agreed == here.agreed - (kind == event) and there.compared == here.compared
    assert next(iter(fields)) in found.difference


def test_what_a_header_does_not_say_is_not_guessed(stopping):
    run = stopping["tpe-asha"]
    first = {name: value for name, value in run.events[0].items() if name != "stopping"}
    found = recheck_bundled(replace(run, events=(first, *run.events[1:])))
    assert "stopping" in found.unchecked and not found.agrees and found.compared == 0


@pytest.mark.parametrize("group", ["sampler", "stopping"])
def test_a_users_own_file_is_not_in_a_bundle(stopping, group):
    run = stopping["tpe-asha"]
    header = {**run.events[0], group: {"name": "custom", "use": "mine.py:Mine"}}
    found = recheck_bundled(replace(run, events=(header, *run.events[1:])))
    assert "mine.py:Mine" in found.unchecked and not found.agrees


def test_the_command_tells_of_every_run_of_a_bundle(capsys):
    assert main([f"runs=[{STOPPING}]", "check=true"]) == 0
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == list(STOPPED)
    (found,) = rechecks(f"{STOPPING}:tpe*")
    assert found.name == "tpe-asha" and found.sampler == "tpe"
