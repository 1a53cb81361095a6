"""Wall time and memory of a search, and where they go: `python -m benchmarks.default_search [overrides]`.

Runs `mdsearch search` with the overrides as a child, samples the memory of its processes, and reads the
rest from the record: start-up (until the first trial begins), what the workers did (training, sampling,
features, ...), what they waited for (orchestration), and the report at the end.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

SAMPLE_SECONDS = 1.0
MIB = 2**20


def process_kind(process: psutil.Process, driver: int) -> str:
    if process.pid == driver:
        return "driver"
    command = " ".join(process.cmdline())
    # Ray names a worker after its class when idle, and after Tune's wrapper of it while it trains
    trains = "TrialActor" in command or "ResourceTrainable" in command
    return "worker" if trains else "Ray's own processes"


def watched(command: list[str]) -> tuple[float, dict[str, float], float]:
    """Run a command: wall seconds; peak resident MiB of one process of each kind; peak of all together
    (proportional set size, so that shared pages count once)."""
    began = time.monotonic()
    child = psutil.Popen(command)
    largest: Counter[str] = Counter()
    together = 0
    while child.poll() is None:
        total = 0
        for process in [child, *child.children(recursive=True)]:
            try:
                memory = process.memory_full_info()
                kind = process_kind(process, child.pid)
            except psutil.Error:
                continue  # it ended meanwhile
            total += memory.pss
            largest[kind] = max(largest[kind], memory.rss)
        together = max(together, total)
        time.sleep(SAMPLE_SECONDS)
    if child.returncode:
        raise SystemExit(f"the search ended with status {child.returncode}")
    return time.monotonic() - began, {kind: rss / MIB for kind, rss in largest.items()}, together / MIB


def phases(run: Path) -> dict[str, float]:
    """Seconds of each part of a run, from its record. Worker parts are worker-seconds."""
    events: list[dict[str, Any]] = [
        json.loads(line) for line in (run / "record.jsonl").read_text().splitlines()
    ]
    rungs = [event for event in events if event["event"] == "rung"]
    ended = [event for event in events if event["event"] == "ended"]
    worked: Counter[str] = Counter()
    for event in rungs:
        worked.update(event["seconds"])
    # a worker's first report is late by its start; from then on it should do nothing but work
    last: dict[str, float] = {}
    begun = {event["key"]: event["time"] for event in events if event["event"] == "proposed"}
    first_work = min(event["time"] - sum(event["seconds"].values()) for event in rungs)
    overhead = 0.0
    for event in rungs:
        since = last.get(event["key"], max(begun[event["key"]], first_work))
        overhead += max(0.0, event["time"] - since - sum(event["seconds"].values()))
        last[event["key"]] = event["time"]
    return {
        "start-up until a worker trains": first_work - events[0]["time"],
        "search and confirmation": ended[-1]["time"] - first_work,
        **{f"workers: {name}": seconds for name, seconds in worked.most_common()},
        "workers: orchestration": overhead,
    }


def main(words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        name = next((word.split("=", 1)[1] for word in words if word.startswith("name=")), "benchmark")
        folder = next((w.split("=", 1)[1] for w in words if w.startswith("runs_folder=")), scratch)
        rest = [word for word in words if not word.startswith(("name=", "runs_folder="))]
        command = [sys.executable, "-m", "mdsearch", "search", f"name={name}", f"runs_folder={folder}", *rest]
        wall, memory, together = watched(command)
        parts = phases(Path(folder) / name)
    print(f"\nwall time {wall / 60:.1f} min; memory of all processes together at most {together:.0f} MiB")
    for kind, mib in memory.items():
        print(f"  {kind:32} at most {mib:7.0f} MiB resident")
    work = sum(seconds for part, seconds in parts.items() if part.startswith("workers"))
    for part, seconds in parts.items():
        share = f"{seconds / work:6.1%} of worker time" if part.startswith("workers") else ""
        print(f"  {part:32} {seconds:8.1f} s  {share}")


if __name__ == "__main__":
    main(sys.argv[1:])
