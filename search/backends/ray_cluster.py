"""A Ray cluster started on this machine, or one that runs already; or, in one line, why there is none."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import grpc
import ray
from ray._private.grpc_utils import init_grpc_channel
from ray._private.services import canonicalize_bootstrap_address
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc, ray_client_pb2, ray_client_pb2_grpc
from ray.job_config import JobConfig

from search.backends.cluster import ClusterSettings
from search.backends.import_path import importing_ours
from space.shared.plain import InputError
from space.shared.sockets import socket_folder, temporary_files_in

ANSWER_SECONDS = 6.0  # that a port has to answer, at each of three steps; Ray itself would wait for minutes
SOCKET = "ray/session_2026-01-01_00-00-00_000000_1234567/sockets/dash_PlatformEventsHead"  # the longest
CLIENT = "ray://"


def connect(settings: ClusterSettings, announce: Callable[[str], None]) -> None:
    """Start a cluster, or connect to the one that is named.

    Raises:
        InputError: Ray does not start here, or no cluster answers there.
    """
    # whatever Ray read when it was imported, in a notebook perhaps long before
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
    if settings.address is None:
        _start(settings, announce)
    else:
        _join(settings.address, announce)


def disconnect() -> None:
    """A cluster that was started here ends."""
    ray.shutdown()


def check_answers(address: str) -> None:
    """Raises InputError where no cluster answers at an address. Ray itself finds out after minutes, if it
    does not end the process."""
    if address == "auto":
        try:
            found = canonicalize_bootstrap_address("auto", None)
        except Exception as error:
            raise InputError(f"cluster.address: 'auto' finds no Ray cluster: {_line(error)}") from None
        if found is None:
            raise InputError("cluster.address: 'auto' finds no Ray cluster; start one with: ray start --head")
    else:
        found = address
    where = found.removeprefix(CLIENT)
    host, _, port = where.rpartition(":")
    if not host or not port.isdigit() or "://" in where:
        raise InputError(
            f"cluster.address: {address!r} is no address; allowed: host:6379, ray://host:10001, or auto"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"cluster.address: nothing answers at {address!r}: {_line(error)}") from None
    _ask(where, client=found.startswith(CLIENT), address=address)


def _ask(where: str, client: bool, address: str) -> None:
    """Something answers; whether it is Ray, and of which kind."""
    with closing(init_grpc_channel(where)) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=ANSWER_SECONDS)
            if client:
                ping = ray_client_pb2.ClusterInfoRequest(type=ray_client_pb2.ClusterInfoType.PING)
                ray_client_pb2_grpc.RayletDriverStub(channel).ClusterInfo(
                    ping, timeout=ANSWER_SECONDS, metadata=[("client_id", "mdsearch")]
                )
            else:
                gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel).CheckAlive(
                    gcs_service_pb2.CheckAliveRequest(), timeout=ANSWER_SECONDS
                )
        except (grpc.FutureTimeoutError, grpc.RpcError) as error:
            kind, usual = (
                ("a Ray client server", "10001") if client else ("the head of a Ray cluster", "6379")
            )
            said = f" ({_line(error.details())})" if isinstance(error, grpc.Call) and error.details() else ""
            raise InputError(
                f"cluster.address: what answers at {address!r} is not {kind}{said}; its usual port is {usual}"
            ) from None


def _start(settings: ClusterSettings, announce: Callable[[str], None]) -> None:
    folder = socket_folder(SOCKET, "RAY_TMPDIR")
    try:
        with temporary_files_in(folder):  # its own processes have sockets among them too
            context = ray.init(
                address="local",
                num_cpus=settings.cpus_here,
                include_dashboard=settings.dashboard,
                dashboard_host="127.0.0.1",
                dashboard_port=settings.dashboard_port,
                object_store_memory=settings.object_store_mb * 2**20,
                configure_logging=True,
                logging_level=logging.CRITICAL,  # what it says of a failure is in the error
                log_to_driver=False,
                job_config=importing_ours(JobConfig()),
                _temp_dir=str(folder / "ray"),
            )
    except Exception as error:
        ray.shutdown()
        if settings.dashboard and "occupied" in str(error):
            raise InputError(
                f"cluster.dashboard_port: {settings.dashboard_port} is taken by another program; allowed: a "
                "free port, or null, which finds one"
            ) from None
        raise InputError(f"cluster: Ray does not start on this machine: {_line(error)}") from None
    if settings.dashboard and context.dashboard_url:
        token = os.environ.get("RAY_AUTH_TOKEN", "(none)")
        announce(f"Ray dashboard: http://{context.dashboard_url}  token: {token}")


def _join(address: str, announce: Callable[[str], None]) -> None:
    check_answers(address)

    def join(**more: Any) -> Any:
        return ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **more)

    try:
        if not address.startswith(CLIENT):
            context = join(job_config=importing_ours(JobConfig()))
        else:  # whose workers take nothing from our current folder anyway
            try:
                context = join()
            except Exception:  # a head starts a process for each client, which now and then dies at birth
                context = join()
    except Exception as error:
        hint = ""
        if not address.startswith(CLIENT) and "node to connect" in f"{error} {error.__cause__}":
            hint = "; this machine is no node of it: ray start --address=... here, or use ray://host:10001"
        raise InputError(f"cluster.address: {address!r}: {_line(error)}{hint}") from None
    announce(f"Ray cluster at {address}; dashboard: http://{context.dashboard_url or '(none)'}")


def _line(error: object) -> str:
    """What an error says, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]} ..."
