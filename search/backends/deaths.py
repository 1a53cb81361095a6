"""Why a worker died, as far as anyone can tell: from what Ray says, and from the kernel's own count."""

from __future__ import annotations

import re
from pathlib import Path

VMSTAT = Path("/proc/vmstat")
_STUCK = re.compile(r"^.*\bStuck: (.+)$", re.MULTILINE)


class WorkerDeaths:
    """The deaths of workers under each job, in the words of `ray.exceptions`.

    Ray sees that a worker of another process is gone, not by which signal. Whether it was the kernel, for
    want of memory, shows on this machine in /proc/vmstat (`oom_kill`), and on others not at all.
    """

    def __init__(self, vmstat: Path = VMSTAT) -> None:
        self.vmstat = vmstat
        self.killed_for_memory = _oom_kills(vmstat)
        self._told: dict[str, list[str]] = {}

    def add(self, key: str, told: str) -> str:
        """Take down a death; `told` is all that Tune has written of this job's deaths. What to say of it."""
        last = told.rpartition("Failure #")[2]
        stuck = _STUCK.findall(last)
        self._told.setdefault(key, []).append(f"Stuck: {stuck[-1]}" if stuck else self._cause(last))
        return f"its worker gave up: {stuck[-1]}" if stuck else f"its worker died: {self._told[key][-1]}"

    def stuck(self, key: str) -> str | None:
        """What the last worker was stuck on; None if it died."""
        found = _STUCK.fullmatch(self._told[key][-1])
        return found[1] if found else None

    def reason(self, key: str) -> str:
        """For the record."""
        causes = self._told[key]
        return f"its worker died {len(causes)} times, the last time: {causes[-1]}"

    def _cause(self, told: str) -> str:
        if "low on memory" in told:
            used = re.search(r"was ([\d.]+ ?\w+ used / [\d.]+ ?\w+ limit)", told)
            return "Ray killed it, since its node ran out of memory" + (f" ({used[1]})" if used else "")
        if "node has died" in told or "node was terminated" in told:
            return "its node died"
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
