"""Workers that Ray ends for want of memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ray.air.execution import FixedResourceManager
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayActorError

from search.backends.deaths import WorkerDeaths
from search.backends.ray_memory import know_memory_kills

TOLD = (
    "2 worker(s) were killed due to the node running low on memory. "
    "Memory on the node was 22.41GB used / 23.54GB limit"
)

TASK_FAILED, START_FAILED = "_actor_task_failed", "_actor_start_failed"


@pytest.fixture
def manager() -> RayActorManager:
    know_memory_kills()
    know_memory_kills()
    return RayActorManager(FixedResourceManager({"CPU": 1}))


def noted(into: list[Exception]) -> Any:
    """An actor, or a call of one, that keeps the errors it is told of."""
    actor = SimpleNamespace(actor_id=1, _on_error=lambda actor, error: into.append(error))
    return SimpleNamespace(**vars(actor), _tracked_actor=SimpleNamespace(actor_id=1, _on_error=None))


@pytest.mark.parametrize("name", [TASK_FAILED, START_FAILED])
def test_its_end_is_a_death(manager: RayActorManager, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    told: list[Exception] = []
    monkeypatch.setattr(manager, "_cleanup_actor", lambda tracked_actor: None)
    getattr(manager, name)(noted(told), OutOfMemoryError(TOLD))
    assert [type(error) for error in told] == [RayActorError]
    said = WorkerDeaths(3).add("trial 0", f"Failure # 1\n{told[0]}")
    assert (
        said
        == "its worker died: Ray killed it, since its node ran out of memory (22.41GB used / 23.54GB limit)"
    )


def test_what_is_no_death_is_still_an_error(manager: RayActorManager) -> None:
    with pytest.raises(RuntimeError, match="Caught unexpected exception: late"):
        getattr(manager, TASK_FAILED)(noted([]), GetTimeoutError("late"))
