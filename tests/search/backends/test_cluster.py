"""Where Ray runs: what is refused in one line, and within seconds. No cluster is started here."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from concurrent import futures
from types import SimpleNamespace

import grpc
import pytest

from search.backends import ray_cluster
from search.backends.cluster import OWN_TOKEN, ClusterSettings, set_ray_environment
from search.backends.connection import RayConnection
from space.shared.plain import InputError
from tests.search.backends.tuned import asked_of_tune


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "ANSWER_SECONDS", 0.3)


@pytest.fixture
def listening() -> Iterator[int]:
    """The port of something that is not Ray, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: [server.accept()], daemon=True).start()
        yield int(server.getsockname()[1])


@pytest.fixture
def another_grpc() -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def refused(address: str) -> str:
    with pytest.raises(InputError) as caught:
        ray_cluster.check_answers(address)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["", "ray://"])
def test_a_port_that_nobody_listens_on(kind: str) -> None:
    address = f"{kind}127.0.0.1:{closed_port()}"
    assert refused(address).startswith(f"cluster.address: nothing answers at {address!r}: ")


@pytest.mark.parametrize(("kind", "usual"), [("", "6379"), ("ray://", "10001")])
def test_a_port_of_something_else(kind: str, usual: str, listening: int, impatient: None) -> None:
    said = refused(f"{kind}127.0.0.1:{listening}")
    assert "is not" in said and said.endswith(f"its usual port is {usual}")


@pytest.mark.parametrize(("kind", "usual"), [("", "6379"), ("ray://", "10001")])
def test_a_port_of_another_server_that_speaks_grpc(kind: str, usual: str, another_grpc: int) -> None:
    said = refused(f"{kind}127.0.0.1:{another_grpc}")
    assert "is not" in said and said.endswith(f"its usual port is {usual}")


@pytest.mark.parametrize(
    "address", ["nowhere", "host:", "host:port", "http://host:6379", ":6379", "host:70000"]
)
def test_what_is_no_address(address: str) -> None:
    assert refused(address).startswith("cluster.address: ")


def test_auto_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_found(address: str, folder: None) -> None:
        raise ConnectionError("Could not find any\nrunning Ray instance")

    for find in (none_found, lambda address, folder: None):
        monkeypatch.setattr(ray_cluster, "canonicalize_bootstrap_address", find)
        assert refused("auto").startswith("cluster.address: 'auto' finds no Ray cluster")
    found = f"127.0.0.1:{closed_port()}"  # of one that has ended
    monkeypatch.setattr(ray_cluster, "canonicalize_bootstrap_address", lambda address, folder: found)
    assert refused("auto").startswith("cluster.address: nothing answers at 'auto'")


# ---------------------------------------------------------------------- a cluster of our own


def failing(error: Exception) -> object:
    """As Ray raises it: an error may be its own cause."""

    def init(**arguments: object) -> None:
        raise error from error

    return init


def start(**changes: object) -> str:
    with pytest.raises(InputError) as caught:
        ray_cluster.connect(ClusterSettings(**changes), print)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.timeout(10)
def test_rays_own_errors_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = "Failed to bind to 127.0.0.1:8265 because it's already occupied. You can use `ray start"
    monkeypatch.setattr(ray_cluster.ray, "init", failing(ValueError(taken)))
    assert start(dashboard_port=8265).startswith("cluster.dashboard_port: 8265 is taken")
    monkeypatch.setattr(ray_cluster.ray, "init", failing(Exception("\nThe last 20 lines\n of dashboard.log")))
    said = start()
    assert said.startswith("cluster: ") and said.endswith(": The last 20 lines of dashboard.log")


def test_ray_is_told_the_cpus_that_may_be_used_and_says_its_real_address(monkeypatch, tmp_path) -> None:
    told, said = {}, []

    def init(**arguments: object) -> object:
        told.update(arguments)
        return SimpleNamespace(dashboard_url="127.0.0.1:8269")

    monkeypatch.setattr(ray_cluster.ray, "init", init)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3})
    monkeypatch.setenv("RAY_AUTH_TOKEN", "abc")
    ray_cluster.connect(ClusterSettings(), said.append)
    assert told["num_cpus"] == 1 and told["dashboard_port"] is None
    [line] = said
    assert "http://127.0.0.1:8269 " in line and line.endswith(" abc")
    ray_cluster.connect(ClusterSettings(workers=3, cpus_per_worker=1.5, dashboard_port=9000), said.append)
    assert told["num_cpus"] == 5 and told["dashboard_port"] == 9000


@pytest.mark.parametrize(
    ("changes", "workers"),
    [({}, 3), ({"cpus_per_worker": 2}, 1), ({"cpus_per_worker": 8}, 1), ({"workers": 5}, 5)],
)
def test_a_plan_counts_on_the_cpus_that_may_be_used(changes, workers, monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2})
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert ClusterSettings(**changes).workers_here == workers


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_with_a_long_tmpdir_ray_keeps_its_sockets_elsewhere(name: str, monkeypatch, tmp_path) -> None:
    told = {}

    def init(**arguments: object) -> object:
        told.update(arguments, TMPDIR=os.environ["TMPDIR"])
        return SimpleNamespace(dashboard_url=None)

    monkeypatch.setattr(ray_cluster.ray, "init", init)
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv(name, str(long))
    ray_cluster.connect(ClusterSettings(), print)
    assert len(f"{told['TMPDIR']}/{ray_cluster.SOCKET}") <= 107
    assert told["_temp_dir"] == f"{told['TMPDIR']}/ray" and os.environ[name] == str(long)


def test_a_token_of_our_own_is_not_shown_to_a_cluster_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    set_ray_environment(ClusterSettings())
    assert os.environ["RAY_AUTH_TOKEN"] == OWN_TOKEN
    set_ray_environment(ClusterSettings(address="host:6379"))
    assert "RAY_AUTH_TOKEN" not in os.environ and "RAY_AUTH_MODE" not in os.environ
    monkeypatch.setenv("RAY_AUTH_TOKEN", "theirs")
    set_ray_environment(ClusterSettings(address="host:6379"))
    assert os.environ["RAY_AUTH_TOKEN"] == "theirs"


# ---------------------------------------------------------------------- several searches


def test_searches_in_turn_share_one_ray_and_others_get_another(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[object] = []
    monkeypatch.setattr(ray_cluster, "connect", lambda settings, announce: happened.append(settings.workers))
    monkeypatch.setattr(ray_cluster, "disconnect", lambda: happened.append("over"))
    one, two = ClusterSettings(workers=1), ClusterSettings(workers=2)
    with RayConnection() as ray:
        for settings in (one, one, two, two):
            ray.check(settings)
            ray.use(settings, print)
    assert happened == [1, "over", 2, "over"]
    with RayConnection():
        """A search that needs no Ray."""
    assert happened == [1, "over", 2, "over"]


# ---------------------------------------------------------------------- workers that fit

NODES = [{"CPU": 4.0, "GPU": 1.0}, {"CPU": 3.0}, {"memory": 1.0}]


@pytest.mark.parametrize(
    ("changes", "fit"),
    [
        ({}, 7),
        ({"cpus_per_worker": 2}, 3),  # each on one node
        ({"cpus_per_worker": 0.5, "gpus_per_worker": 0.5}, 2),
        ({"gpus_per_worker": 1}, 1),
    ],
)
def test_workers_fit_on_nodes_not_on_sums_of_nodes(changes, fit) -> None:
    nodes = [{"Resources": node, "Alive": True} for node in NODES]
    gone = {"Resources": {"CPU": 64.0}, "Alive": False}
    assert asked_of_tune(None, None, ClusterSettings(**changes), print, [*nodes, gone]).workers == fit


def test_a_worker_that_fits_on_no_node_is_refused_or_waited_for() -> None:
    nodes, said = [{"Resources": node, "Alive": True} for node in NODES], list[str]()
    for changes in ({"cpus_per_worker": 5}, {"cpus_per_worker": 5, "workers": 2}):
        with pytest.raises(InputError, match=r"^cluster: .* 4 CPUs .* 1 GPUs, .* takes 5 and 0$"):
            asked_of_tune(None, None, ClusterSettings(**changes), said.append, nodes)
    assert said == []
    growing = ClusterSettings(address="host:6379", cpus_per_worker=5, workers=2)
    assert asked_of_tune(None, None, growing, said.append, nodes).workers == 2
    assert len(said) == 1 and "waiting for nodes" in said[0]
