"""Where Ray's workers import from: where the driver does, never first the folder that it was started in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

OUR_FOLDER = Path(__file__).resolve().parents[2]


class _ImportPath(list[str]):
    """Folders that go before all others on a worker's `sys.path`. Ray adds the driver's current one, where a
    `training/` or `search.py` of the user's would stand for ours; that of our own checkout may stay."""

    def extend(self, folders: Iterable[str]) -> None:
        super().extend(folder for folder in folders if Path(folder).resolve() == OUR_FOLDER)

    def __reduce__(self) -> tuple[Any, ...]:
        """A plain list, to a head node that has none of our code."""
        return list, (list(self),)


def importing_ours(job: Any) -> Any:
    """Ray's configuration of a job, with workers that import as the driver does."""
    job._py_driver_sys_path = _ImportPath()
    return job
