"""A search on a cluster of which this machine is no node, by the Ray client server of its head."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.search.killing import (
    PATIENCE_SECONDS,
    PATIENT,
    TINY,
    check_nothing_lost_or_doubled,
    finish,
    start,
    told,
    wait_for,
)

pytestmark = PATIENT


def free_port() -> int:
    """Above those that Ray gives its workers."""
    for port in range(20_000, 30_000):
        with socket.socket() as server, suppress(OSError):
            server.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@pytest.fixture
def client_server(tmp_path: Path) -> Iterator[int]:
    port = free_port()
    words = ["start", "--head", "--block", "--num-cpus=1", "--include-dashboard=false", "--port=0"]
    command = [sys.executable, "-m", "ray.scripts.scripts", *words, f"--ray-client-server-port={port}"]
    with open(tmp_path / "log.txt", "w") as log:
        environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
        head = subprocess.Popen(command, stdout=log, stderr=log, text=True, env=environment)
    processes = [psutil.Process(head.pid)]
    try:
        wait_for(lambda: "Ray runtime started" in told(tmp_path), head, tmp_path)
        processes += processes[0].children(recursive=True)
        yield port
    finally:
        head.terminate()
        psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)


@pytest.mark.slow  # starts a cluster by hand
def test_a_search_by_ray_client(client_server: int, tmp_path: Path) -> None:
    (tmp_path / "driver").mkdir()
    words = (*TINY, f"runs_folder={tmp_path}", f"cache_folder={tmp_path / 'cache'}", "confirmation=none")
    cluster = ("cluster=existing", f"cluster.address=ray://127.0.0.1:{client_server}")
    driver = start(tmp_path / "driver", "name=client", *cluster, *words)
    finish(driver, tmp_path / "driver")
    check_nothing_lost_or_doubled(tmp_path / "client", trials=3)
