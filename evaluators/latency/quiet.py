"""Whether a machine was quiet enough while it measured to believe the figures."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from evaluators.latency.timing import Timing
from space.shared.cpus import available_cpus

OTHERS_AT_MOST = 0.1  # CPUs, busy with other processes
SPREAD_AT_MOST = 0.05  # of a median: half the distance between the quartiles of its rounds


@dataclass(frozen=True)
class Quietness:
    """How many CPUs were busy for others, of how many, and how far rounds lay apart, as a share; None where
    no rounds are looked at."""

    others: float
    cpus: int
    spread: float | None

    @property
    def believable(self) -> bool:
        return self.others <= OTHERS_AT_MOST and (self.spread or 0.0) <= SPREAD_AT_MOST

    def sentence(self) -> str:
        seen = f"other processes kept {self.others:.2f} of {self.cpus} CPU{'s' if self.cpus > 1 else ''} busy"
        if self.spread is not None:
            seen += f", and rounds lay {self.spread:.1%} around their median"
        if self.believable:
            return f"quiet enough: {seen}"
        return (
            f"NOT quiet: {seen}; at most {OTHERS_AT_MOST:g} and {SPREAD_AT_MOST:.0%} can be believed. "
            "Measure again when nothing else runs"
        )


@dataclass(frozen=True)
class CpuMoment:
    """CPU seconds since the machine and this process began, by a clock."""

    at: float
    busy: float
    own: float

    @classmethod
    def now(cls) -> CpuMoment:
        import psutil

        times, own = psutil.cpu_times(), psutil.Process().cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # within user and nice
        spent = own.user + own.system + own.children_user + own.children_system
        return cls(time.monotonic(), sum(times) - idle - guests, spent)


def quietness(begin: CpuMoment, end: CpuMoment, cpus: int, timings: Iterable[Timing]) -> Quietness:
    """Between two moments, from what was timed in between."""
    seconds = max(end.at - begin.at, 1e-9)
    others = max(0.0, (end.busy - begin.busy) - (end.own - begin.own)) / seconds
    several = (timing for timing in timings if len(timing.times) > 1)  # one round says nothing of others
    return Quietness(others, cpus, max(map(_spread, several), default=None))


def quiet_since(begin: CpuMoment, kept: int, of: int, journal: Path) -> str:
    """Of `of` measurements, of which `kept` stood in a journal before `begin`: nothing is known of those."""
    if kept == of:
        return f"all stood in {journal}; how quiet it was then is not kept"
    now = quietness(begin, CpuMoment.now(), available_cpus(), []).sentence()
    return now + (f"; {kept} of {of} stood in {journal}: how quiet it was then is not kept" if kept else "")


def _spread(timing: Timing) -> float:
    ordered = sorted(timing.times)
    quarter = len(ordered) // 4
    return (ordered[-1 - quarter] - ordered[quarter]) / 2 / max(median(ordered), 1e-9)
