"""Workers that Ray ends for want of memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayActorError

from search.backends.cluster import ClusterSettings
from search.backends.connection import RayConnection
from search.backends.deaths import WorkerDeaths
from search.backends.ray_memory import RayActorManager, know_memory_kills, start_failed, task_failed
from tests.search.backends.light import LightActor
from tests.search.killing import PATIENT
from tests.search.worlds import make_search

TOLD = (
    "2 worker(s) were killed due to the node running low on memory. "
    "Memory on the node was 22.41GB used / 23.54GB limit"
)


def noted(into: list[Exception]) -> Any:
    """An actor, or a call of one, that keeps the errors it is told of."""
    actor = SimpleNamespace(actor_id=1, _on_error=lambda actor, error: into.append(error))
    return SimpleNamespace(**vars(actor), _tracked_actor=SimpleNamespace(actor_id=1, _on_error=None))


@pytest.mark.parametrize("failed", [task_failed, start_failed])
def test_its_end_is_a_death(failed: Callable[..., None]) -> None:
    told: list[Exception] = []
    failed(Mock(), noted(told), OutOfMemoryError(TOLD))
    assert [type(error) for error in told] == [RayActorError]
    said = WorkerDeaths(3).add("trial 0", f"Failure # 1\n{told[0]}")
    assert "Ray killed it, since its node ran out of memory (22.41GB used / 23.54GB limit)" in said


def test_what_is_no_death_is_still_an_error() -> None:
    with pytest.raises(RuntimeError, match="Caught unexpected exception: late"):
        task_failed(Mock(), noted([]), GetTimeoutError("late"))


def test_tune_knows_it() -> None:
    know_memory_kills()
    assert {task_failed, start_failed} <= set(vars(RayActorManager).values())


@PATIENT
@pytest.mark.slow  # Ray starts, and a worker for each death
def test_rays_own_monitor_fails_trials_and_ends_no_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To it this machine is out of memory from the first moment on."""
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.001")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    cluster, said = ClusterSettings(workers=1, dashboard=False, max_worker_deaths=1), list[str]()
    search = make_search(tmp_path, trials=2, rungs=tuple(range(10, 1010, 10)))
    with RayConnection() as ray:
        ray.use(cluster, said.append)
        from search.backends import ray_tune

        with_resources = ray_tune.tune.with_resources
        monkeypatch.setattr(
            ray_tune.tune, "with_resources", lambda actor, needed: with_resources(LightActor, needed)
        )
        ray_tune.run_on_ray(search, SimpleNamespace(run_folder=str(tmp_path)), cluster, said.append)  # type: ignore[arg-type]
    deaths = [line for line in said if "died: Ray killed it, since its node ran out of memory (" in line]
    assert len(deaths) >= 4, said
    assert [trial.state for trial in search.history.trials] == ["failed", "failed"]
    assert all("Ray killed it" in trial.reason for trial in search.history.trials)
