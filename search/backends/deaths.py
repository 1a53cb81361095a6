"""Why a worker died, as far as anyone can tell: from what Ray says, and from the kernel's own count."""

from __future__ import annotations

import re
from pathlib import Path

VMSTAT = Path("/proc/vmstat")
NODE_DIED = "its node died"
_LOST = re.compile(r"\bWorkerLost: (worker \d+ of \d+): ")
_STUCK = re.compile(r"^.*\bStuck: (.+)$", re.MULTILINE)


class WorkerDeaths:
    """The deaths of workers under each job, in the words of `ray.exceptions`, and when they are too many.

    What counts are deaths since the job last came further, to a rung or a saved state: on machines that are
    taken away now and then every long job sees many. Those of whole nodes never count: no job does that.

    Ray sees that a worker of another process is gone, not by which signal. Whether it was the kernel, for
    want of memory, shows on this machine in /proc/vmstat (`oom_kill`), and on others not at all.
    """

    def __init__(self, most: int, vmstat: Path = VMSTAT) -> None:
        self.most, self.vmstat = most, vmstat
        self.killed_for_memory = _oom_kills(vmstat)
        self._last: dict[str, str] = {}
        self._since: dict[str, int] = {}  # it came further
        self._reached: dict[str, int] = {}

    def add(self, key: str, told: str) -> str:
        """Take down a death; `told` is what Tune has written of it. What to say of it."""
        last = told.rpartition("Failure #")[2]
        stuck = _STUCK.findall(last)
        cause = f"Stuck: {stuck[-1]}" if stuck else self._cause(last)
        self._last[key] = cause
        self._since[key] = self._since.get(key, 0) + (cause != NODE_DIED)
        lost = _LOST.findall(last)
        who = f"its {lost[-1]}" if lost else "its worker"
        return f"its worker gave up: {stuck[-1]}" if stuck else f"{who} died: {cause}"

    def reached(self, key: str, step: int) -> None:
        """The job has come to a step that was reported or saved; one that it was at before is no progress."""
        if step > self._reached.get(key, 0):
            self._reached[key] = step
            self._since[key] = 0

    def too_many(self, key: str) -> bool:
        """Whether the job has had its last worker."""
        return self._since[key] > self.most

    def stuck(self, key: str) -> str | None:
        """What the last worker was stuck on; None if it died."""
        found = _STUCK.fullmatch(self._last[key])
        return found[1] if found else None

    def reason(self, key: str) -> str:
        """For the record."""
        return (
            f"its worker died {self._since[key]} times without coming further in between, the last time: "
            f"{self._last[key]}"
        )

    def _cause(self, told: str) -> str:
        if "low on memory" in told:
            used = re.search(r"was ([\d.]+ ?\w+ used / [\d.]+ ?\w+ limit)", told)
            return "Ray killed it, since its node ran out of memory" + (f" ({used[1]})" if used else "")
        if "node has died" in told or "node was terminated" in told:
            return NODE_DIED
        before, self.killed_for_memory = self.killed_for_memory, _oom_kills(self.vmstat)
        if self.killed_for_memory > before:
            return "killed by a signal; meanwhile this machine's kernel killed a process for want of memory"
        return "killed by a signal, perhaps for want of memory, or crashed"


def _oom_kills(vmstat: Path) -> int:
    """Processes that this machine's kernel has killed for want of memory; 0 where it does not say."""
    try:
        found = re.search(r"^oom_kill (\d+)$", vmstat.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0
