"""SIGKILL at random moments of real searches: to the driver, to a worker, and, on a two-node cluster of Ray's
on this machine, to a whole node. Whatever died, the search ends with the trials asked for, no result is lost
or doubled, no kept training step is trained again, and with one worker the decisions are those of a search
that nothing disturbed."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from conf.repeated import without
from space.shared.plain import InputError
from tests.search.disks import fill, small_disk
from tests.search.killing import (
    LOCAL,
    PATIENT,
    TINY,
    check_nothing_lost_or_doubled,
    decisions,
    events,
    finish,
    here,
    kill,
    start,
    told,
    wait_for,
    workers_of,
)

DERIVED = ("study.db", "trials.csv", "report.html", "best.yaml", "trials/0/curve.jsonl")
WITHOUT_CONFIRMATION = ("confirmation=none",)
WITH_CONFIRMATION = ("confirmation.seeds=1", "confirmation.references=[md]", "confirmation.minutes=null")
KILLS_IN_A_SEARCH = 4
LONGEST_DELAY_SECONDS = 2.0  # after an event: about what passes between two

pytestmark = PATIENT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def words(folder: Path) -> tuple[str, ...]:
    return (*TINY, f"runs_folder={folder}", f"cache_folder={folder / 'cache'}")


def inline(folder: Path, name: str, *words: str) -> Path:
    here(f"name={name}", *words)
    return folder / name


@pytest.fixture(scope="module")
def undisturbed(folder: Path, words: tuple[str, ...]) -> Path:
    return inline(folder, "undisturbed", *words, *WITHOUT_CONFIRMATION)


class Nodes:
    """A head without CPUs, where the driver runs, and a node with one, where the worker does."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        # a dead node is noticed within two seconds, and not within fifteen
        impatient = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": impatient}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.node: Any = self.cluster.add_node(num_cpus=1)

    @property
    def words(self) -> tuple[str, ...]:
        return ("cluster=existing", f"cluster.address={self.cluster.address}")

    @property
    def raylet(self) -> psutil.Process:
        (process,) = self.node.all_processes["raylet"]
        return psutil.Process(process.process.pid)

    def kill_node(self) -> None:
        raylet = self.raylet
        for process in [raylet, *raylet.children(recursive=True)]:
            process.kill()
        self.cluster.remove_node(self.node, allow_graceful=False)

    def node_comes_back(self) -> None:
        self.node = self.cluster.add_node(num_cpus=1)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    nodes.cluster.shutdown()


def recorded(run: Path) -> int:
    return len(events(run, "proposed", "rejected", "rung", "ended"))


def at_a_random_moment(
    moments: random.Random, run: Path, least: int, driver: subprocess.Popen[str], folder: Path
) -> None:
    """Wait for so many events, and then for as long as chance decides."""
    wait_for(lambda: recorded(run) >= least or driver.poll() == 0, driver, folder)
    time.sleep(moments.uniform(0, LONGEST_DELAY_SECONDS))


def kill_workers(root: psutil.Process, driver: subprocess.Popen[str], folder: Path) -> None:
    wait_for(lambda: bool(workers_of(root)), driver, folder)
    for worker in workers_of(root):
        worker.kill()


def test_a_killed_worker_and_a_killed_driver_change_no_decision(undisturbed, folder, words):
    moments = random.Random(4)
    run = folder / "killed"
    driver = start(folder, "name=killed", *words, *LOCAL, *WITHOUT_CONFIRMATION)
    wait_for(lambda: bool(events(run, "rung")), driver, folder)
    kill_workers(psutil.Process(driver.pid), driver, folder)

    with pytest.raises(InputError, match=rf"another search is writing .*: process {driver.pid} on "):
        here(f"resume={run}")
    at_a_random_moment(moments, run, moments.randrange(recorded(undisturbed) - 2), driver, folder)
    kill(driver)
    for name in DERIVED:  # what is decided comes from the record alone
        (run / name).unlink(missing_ok=True)
    here(f"resume={run}")

    check_nothing_lost_or_doubled(run, trials=3)
    assert decisions(run) == decisions(undisturbed)
    assert [event["trials"] for event in events(run, "session")] == [3, 3]
    assert "trial 0: its worker died" in told(folder) or "trial 1: its worker died" in told(folder)
    assert all((run / name).is_file() for name in DERIVED)


@pytest.mark.slow  # 50 s, most of it to start two nodes; to the driver a worker's death above is the same
def test_a_killed_node_changes_no_decision_once_it_is_back(undisturbed, folder, words, nodes):
    moments = random.Random(5)
    run = folder / "node"
    driver = start(folder, "name=node", *words, *WITHOUT_CONFIRMATION, *nodes.words)
    at_a_random_moment(moments, run, moments.randrange(recorded(undisturbed) - 2), driver, folder)
    nodes.kill_node()
    nodes.node_comes_back()
    finish(driver, folder)
    check_nothing_lost_or_doubled(run, trials=3)
    assert decisions(run) == decisions(undisturbed)


@pytest.mark.slow
def test_a_killed_node_leaves_its_work_to_the_others(folder, words, nodes):
    """Two workers on two nodes: a search needs neither a resume nor the dead node."""
    run, other = folder / "others", nodes.cluster.add_node(num_cpus=1)
    two = (*without(words, ["cluster.workers"]), "cluster.workers=2")
    driver = start(folder, "name=others", *two, *WITHOUT_CONFIRMATION, *nodes.words)
    wait_for(lambda: len(events(run, "rung")) >= 1, driver, folder)
    nodes.kill_node()
    nodes.node = other
    finish(driver, folder)
    check_nothing_lost_or_doubled(run, trials=3)


@pytest.mark.slow
def test_a_disk_that_fills_up_while_workers_write_changes_no_decision(undisturbed, words, tmp_path):
    moments = random.Random(6)
    with small_disk(tmp_path / "disk", "128m") as disk:
        run = disk / "full"
        elsewhere = [word for word in words if not word.startswith("runs_folder=")] + [f"runs_folder={disk}"]
        driver = start(tmp_path, "name=full", "backend=inline", *elsewhere, *WITHOUT_CONFIRMATION)
        # no delay on top: on a quiet machine what is left of the search takes two seconds
        least = moments.randrange(1, 5)
        wait_for(lambda: recorded(run) >= least, driver, tmp_path)
        ballast = fill(disk)
        wait_for(lambda: "No space left on device" in told(tmp_path), driver, tmp_path)
        ballast.unlink()
        finish(driver, tmp_path)
        check_nothing_lost_or_doubled(run, trials=3)
        assert decisions(run) == decisions(undisturbed)
        assert not list(run.glob("*/*/.*"))


@pytest.fixture(scope="module")
def undisturbed_and_confirmed(folder: Path, words: tuple[str, ...]) -> Path:
    return inline(folder, "confirmed", *words, *WITH_CONFIRMATION)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_killed_and_whenever(undisturbed_and_confirmed, folder, words, nodes, seed):
    """Four kills a search, on the two-node cluster; a killed driver is followed by a resume."""
    moments = random.Random(seed)
    run, whole = folder / f"random-{seed}", undisturbed_and_confirmed
    first = (f"name={run.name}", *words, *WITH_CONFIRMATION, *nodes.words)
    driver = start(folder, *first)
    killed = []
    for least in sorted(moments.sample(range(recorded(whole) - 2), KILLS_IN_A_SEARCH)):
        at_a_random_moment(moments, run, least, driver, folder)
        if driver.poll() is not None:
            break
        killed.append(moments.choice(("driver", "worker", "node")))
        if killed[-1] == "driver":
            kill(driver)
            driver = start(folder, *((f"resume={run}",) if events(run, "run") else first))
        elif killed[-1] == "worker":
            kill_workers(nodes.raylet, driver, folder)
        else:
            nodes.kill_node()
            time.sleep(moments.uniform(0, LONGEST_DELAY_SECONDS))
            nodes.node_comes_back()
    finish(driver, folder)
    print(f"seed {seed}: killed {', '.join(killed)}")
    check_nothing_lost_or_doubled(run, trials=3)
    assert decisions(run) == decisions(whole), f"seed {seed}: {killed}"
