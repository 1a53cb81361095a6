"""Trials of two workers each, by Ray: they come to the scores of one, and survive the death of either."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from conf.repeated import without
from tests.search.killing import (
    LOCAL,
    PATIENT,
    TINY,
    check_nothing_lost_or_doubled,
    events,
    finish,
    here,
    start,
    told,
    wait_for,
    workers_of,
)
from tests.search.test_kills import Nodes

WORDS = ("trials=2", "rungs=[6,30]", "stopping.minimum_peers=9", "confirmation=none")
BY_TWO = ("cluster.workers=2", "cluster.workers_per_trial=2")

pytestmark = [PATIENT, pytest.mark.slow]  # two searches, three processes that import all of it


def peers_of(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children(recursive=True) if "PeerActor" in " ".join(child.cmdline())]


def scores(run: Path) -> dict[tuple[object, object], dict[str, float]]:
    return {(event["key"], event["step"]): dict(event["scores"]) for event in events(run, "rung")}  # type: ignore[call-overload]


def test_trials_of_two_workers_end_as_those_of_one_though_each_kind_is_killed(tmp_path: Path) -> None:
    words = (
        *without(TINY, [*WORDS, *BY_TWO]),
        *WORDS,
        f"runs_folder={tmp_path}",
        f"cache_folder={tmp_path / 'cache'}",
    )
    process = start(tmp_path, *words, *LOCAL, *BY_TWO, "name=two")
    driver, run = psutil.Process(process.pid), tmp_path / "two"
    for rungs, found in ((1, peers_of), (3, workers_of)):
        wait_for(lambda rungs=rungs: len(events(run, "rung")) >= rungs, process, tmp_path)
        wait_for(lambda found=found: bool(found(driver)), process, tmp_path)
        found(driver)[0].send_signal(signal.SIGKILL)
    finish(process, tmp_path)
    check_nothing_lost_or_doubled(run, 2)
    assert "its worker 1 of 2 died: " in told(tmp_path) and told(tmp_path).count(" died: ") == 2
    here(*words, "name=one")
    one, two = scores(tmp_path / "one"), scores(run)
    assert one.keys() == two.keys()
    for at, by_one in one.items():
        assert two[at] == pytest.approx(by_one, rel=2e-2), at


def test_a_killed_node_leaves_a_trial_to_fewer_workers(tmp_path: Path) -> None:
    nodes, run = Nodes(), tmp_path / "nodes"
    other = nodes.cluster.add_node(num_cpus=1)
    own = ("trials=1", "rungs=[6,40]", "stopping.minimum_peers=9", "confirmation=none")
    words = (*without(TINY, [*own, "cluster.workers=1"]), *own, *nodes.words, "cluster.workers_per_trial=2")
    folders = (f"runs_folder={tmp_path}", f"cache_folder={tmp_path / 'cache'}")
    try:
        process = start(tmp_path, *words, *folders, "name=nodes")
        wait_for(lambda: bool(events(run, "rung")), process, tmp_path)
        nodes.kill_node()
        nodes.node = other
        finish(process, tmp_path)
    finally:
        nodes.cluster.shutdown()
    check_nothing_lost_or_doubled(run, 1)
    assert "its node died" in told(tmp_path) and "by 1 worker instead of 2" in told(tmp_path)
