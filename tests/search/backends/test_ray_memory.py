"""Workers that Ray ends for want of memory."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayActorError

from search.backends.deaths import WorkerDeaths
from search.backends.ray_memory import RayActorManager, know_memory_kills, start_failed, task_failed

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
