"""Trials of several workers: what is refused, how many fit, and what they get where nodes are lost."""

from __future__ import annotations

from typing import Any

import pytest

from search.backends import ray_places
from search.backends.cluster import ClusterSettings, check_devices, check_several, several_lines
from search.backends.ray_places import Places, placement, trials_that_fit
from search.backends.ray_workers import word_of_peer
from space.shared.plain import InputError
from training.settings import TrainingSettings


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """CPUs of each, to be changed."""
    alive = [4, 4]
    monkeypatch.setattr(
        ray_places.ray, "nodes", lambda: [{"Resources": {"CPU": cpus}, "Alive": True} for cpus in alive]
    )
    return alive


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workers_per_trial": 2, "min_workers_per_trial": 3}, "min_workers_per_trial: 3 .* allowed: 1 to 2"),
        ({"workers_per_trial": 0}, "min_workers_per_trial: 1 beside workers_per_trial: 0"),
        ({"workers_per_trial": 4, "workers": 3}, "workers_per_trial: 4, of workers: 3; allowed: at most 3"),
        ({"workers_per_trial": 2, "gpus_per_worker": 0.5}, "gpus_per_worker: 0.5 .* allowed: 0 or 1"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ClusterSettings(**changes)


def test_a_machine_that_holds_no_trial_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.backends.cluster.available_cpus", lambda: 3)
    with pytest.raises(InputError, match=r"cluster\.workers_per_trial: 4, where 3 workers .* at most 3"):
        check_devices(ClusterSettings(workers_per_trial=4))
    check_devices(ClusterSettings(workers_per_trial=3))
    check_devices(ClusterSettings(workers_per_trial=4, workers=4))
    check_devices(ClusterSettings(workers_per_trial=4, address="host:6379"))


@pytest.mark.parametrize(
    ("backend", "changes", "is_shared", "said"),
    [
        ("inline", {}, False, "backend: inline"),
        ("ray", {"batch_size": 3}, False, "batches of 3 images"),
        ("ray", {}, True, "cluster.parallel: fsdp"),
        (
            "ray",
            {"ema_lengths": (0.05, 0.1)},
            False,
            r"training\.ema_lengths: .* allowed: \[\], or parallel: ddp",
        ),
        ("ray", {"compile": "blocks"}, False, "training.compile: blocks"),
        ("ray", {"memory_format": "channels_last"}, False, "training.memory_format: channels_last"),
    ],
)
def test_searches_whose_trials_cannot_be_several_workers(
    backend: str, changes: dict[str, Any], is_shared: bool, said: str
) -> None:
    training = TrainingSettings(**changes)
    with pytest.raises(InputError, match=said):
        check_several(ClusterSettings(workers_per_trial=4, parallel="fsdp"), backend, training, is_shared)
    check_several(ClusterSettings(), backend, training, is_shared)
    check_several(ClusterSettings(workers_per_trial=4), "ray", TrainingSettings(batch_size=4), is_shared=True)


def test_a_plan_counts_trials_by_their_workers() -> None:
    cluster = ClusterSettings(workers=10, workers_per_trial=4)
    assert cluster.trials_here == 2
    assert several_lines(cluster)[0].startswith("4 a trial (ddp), 2 trials at a time")
    assert several_lines(ClusterSettings(workers=10)) == []


def test_as_many_trials_at_once_as_their_workers_fit(nodes: list[int]) -> None:
    assert trials_that_fit(ClusterSettings(workers_per_trial=3), print) == 2
    with pytest.raises(InputError, match=r"no trial fits: it takes 9 workers .* 8 fit; allowed: at most 8"):
        trials_that_fit(ClusterSettings(workers_per_trial=9), print)
    said: list[str] = []
    growing = ClusterSettings(address="host:6379", workers=18, workers_per_trial=9)
    assert trials_that_fit(growing, said.append) == 2 and "waiting for nodes" in said[0]


def test_a_trial_gets_what_is_left_of_a_cluster_that_lost_a_node(nodes: list[int]) -> None:
    said: list[str] = []
    places = Places(ClusterSettings(workers_per_trial=4, min_workers_per_trial=2), said.append)
    assert [places.take("a", "trial 0"), places.take("b", "trial 1")] == [4, 4] and said == []
    nodes[1] = 3
    places.give_back("b")
    assert places.take("c", "trial 1") == 3
    assert len(said) == 1 and said[0].startswith("trial 1: by 3 workers instead of 4")
    places.give_back("c")
    nodes[:] = [4]
    assert places.take("d", "trial 1") == 4  # when trial 0 has ended
    for trial in "ad":
        places.give_back(trial)
    nodes[:] = [1]
    with pytest.raises(InputError, match="1 workers are left, where a trial takes 2 or more"):
        places.take("e", "trial 2")


def test_what_is_left_is_known_when_dead_nodes_are_noticed(
    nodes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(ray_places.time, "monotonic", lambda: now[0])
    places = Places(ClusterSettings(workers_per_trial=2), print)
    assert places.are_known
    places.lost_one()
    assert not places.are_known
    now[0] += ray_places.NODE_DEATH_SECONDS
    assert places.are_known
    nodes[:] = [4]  # one alone runs the driver, too
    places.lost_one()
    assert places.are_known


def test_workers_asked_for_by_name_are_waited_for(nodes: list[int]) -> None:
    growing = ClusterSettings(address="host:6379", workers=18, workers_per_trial=9)
    assert Places(growing, print).take("a", "trial 0") == 9


def test_a_trials_workers_are_packed() -> None:
    made = placement([{"cpu": 2.0, "gpu": 1.0}] * 3)
    assert (made.bundles, made.strategy) == ([{"CPU": 2.0, "GPU": 1.0}] * 3, "PACK")


def test_what_a_worker_raised_is_told_without_rays_words() -> None:
    class OfRay(Exception):
        cause = ValueError("3.png:\nno such thing")

    assert word_of_peer(OfRay()) == ("raised", "ValueError", "3.png: no such thing", 0)  # type: ignore[arg-type]
