"""How many CPUs this process may use: in a container, or on a shared machine, not all that there are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def available_cpus() -> int:
    """At least one: those of the process's affinity, and no more than the whole ones that its control groups
    allow."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([here, *(int(quota) for quota in cgroup_quotas())]))


def cgroup_quotas(cgroup: Path = CGROUP, mounted: Path = CGROUPS) -> Iterator[float]:
    """The CPUs that each control group around this process is held to; none where it is held to none.

    A container sees its own group as the root, a batch job a group further down: all on the way count.
    """
    for line in _read(cgroup).splitlines():
        _, controllers, inside = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = mounted / controllers if controllers else mounted  # version 1, or 2
        folder = root / inside.lstrip("/")
        for group in (folder, *folder.parents):
            if group != root and root not in group.parents:
                break
            yield from _quota(group)


def _quota(group: Path) -> Iterator[float]:
    words = _read(group / "cpu.max").split() or [
        *_read(group / "cpu.cfs_quota_us").split(),
        *_read(group / "cpu.cfs_period_us").split(),
    ]
    if len(words) == 2 and all(word.isdigit() and int(word) > 0 for word in words):  # not "max", nor -1
        yield int(words[0]) / int(words[1])


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
