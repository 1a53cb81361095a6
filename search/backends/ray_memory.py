"""A worker that Ray ends for want of memory is a dead worker, to Tune too.

Ray's memory monitor fails the call of such an actor with an OutOfMemoryError (2.56). Tune's manager of actors
knows a RayActorError alone, and raises what it does not know: the whole search would end.
"""

from __future__ import annotations

from typing import Any

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError

_OF_TASK, _OF_START = RayActorManager._actor_task_failed, RayActorManager._actor_start_failed


def know_memory_kills() -> None:
    """From now on, in this process. Tune makes its manager by itself, so the class is what has to know."""
    setattr(RayActorManager, "_actor_task_failed", task_failed)  # noqa: B010 - mypy forbids methods to be set
    setattr(RayActorManager, "_actor_start_failed", start_failed)  # noqa: B010


def task_failed(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
    _OF_TASK(self, tracked_actor_task, _as_death(exception))


def start_failed(self: RayActorManager, tracked_actor: Any, exception: Exception) -> None:
    _OF_START(self, tracked_actor, _as_death(exception))


def _as_death(exception: Exception) -> Exception:
    return RayActorError(error_msg=str(exception)) if isinstance(exception, OutOfMemoryError) else exception
