"""Wall time and memory of a search, and where they go: `python -m benchmarks.default_search [overrides]`; and
the table of docs/results.md: `python -m benchmarks.default_search table 'recorded:default-*'`, or of folders.

The first runs `mdsearch search` with the overrides as a child, samples the memory of its processes, and reads
the rest from the record: start-up (until the first trial begins), what the workers did (training, sampling,
features, ...), what they waited for (orchestration), and the report at the end.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from analysis.evidence.resampling import share_interval
from analysis.findings import Confirmed, all_verdicts, confirmed, steps_saved
from benchmarks.lab import run_as_command
from search.confirmation.leading import lead
from search.formats import counted, label, millions, share
from search.objectives import CLIP, FID
from search.runs.bundle import histories_of
from search.runs.record import History
from search.statistics.verdicts import Verdict
from space.shared.plain import InputError

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


# ---------------------------------------------------------------------- what several searches found


def results(histories: Sequence[History], references: Sequence[str] = ("md", "md_lite")) -> str:
    """A Markdown table with a row for each search, by seed, and what all of them say together. FID and CLIP
    are means over each network's runs in the race; minutes go from a record's first event to its last end."""
    names = [label(name) for name in references]
    heads = ["seed", "minutes", "winner (parameters, GMACs)", "FID, CLIP: winner", *names]
    heads += [f"FID against {name}" for name in names] + ["trials stopped", "steps saved"]
    rows = [_row(each, references) for each in sorted(histories, key=lambda each: each.header["seed"])]
    lines = [heads, ["---"] * len(heads), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([table, *_together(histories, names)])


def _row(history: History, references: Sequence[str]) -> list[str]:
    leading = lead(history)
    if leading is None:
        raise InputError(f"{history.header['name']}: no trial is complete; allowed: searches with a winner")
    winner, raced = leading.winner, {group.name: group for group in confirmed(history)}
    found, saved = _verdicts(history), steps_saved(history.trials)
    stopped = sum(trial.state == "halted" for trial in history.trials)
    return [
        str(history.header["seed"]),
        _minutes(history),
        f"{millions(winner.cost.parameters)}, {winner.cost.gmacs:.1f}",
        *(_scores(raced.get(name)) for name in (winner.name, *references)),
        *(_against(found.get(label(name))) for name in references),
        f"{stopped} of {len(history.trials)}",
        f"{saved.steps:,} of {saved.of_steps:,} ({share(saved.share)})",
    ]


def _verdicts(history: History) -> dict[str, Verdict]:
    """Of the winner, by the network that it is against."""
    leading = lead(history)
    return {v.against: v for v in all_verdicts(history) if leading and v.name == leading.winner.name}


def _minutes(history: History) -> str:
    if len(history.sessions) > 1:
        return "resumed"  # with a pause of unknown length
    ends = [trial.ended for trial in history.by_key.values()]
    return f"{(max(ends) - history.header['time']) / 60:.1f}"


def _scores(group: Confirmed | None) -> str:
    if group is None:
        return "-"
    fid, clip = group.mean.fid, group.mean.clip
    return f"{fid:.0f}, {clip:.3f}".replace(" 0.", " .")


def _against(verdict: Verdict | None) -> str:
    if verdict is None:
        return "not confirmed"
    fid = verdict.difference(FID)
    reach = f"({100 * fid.low:+.0f} to {100 * fid.high:+.0f})" if fid.known else "(unknown)"
    beyond = verdict.difference(CLIP).sign
    also = f", CLIP {'up' if beyond > 0 else 'down'} beyond the noise" if beyond else ""
    return f"*{verdict.word}*: {100 * fid.middle:+.0f} % {reach}{also}"


def _together(histories: Sequence[History], names: Sequence[str]) -> list[str]:
    lines = []
    for name in names:
        words = [found[name].word for each in histories if name in (found := _verdicts(each))]
        better = share_interval(words.count("better"), len(words))
        if better is not None:
            lines.append(
                f"Better than {name}: {words.count('better')} of {counted(len(words), 'winner')} "
                f"(95 %: {100 * better.low:.0f} to {100 * better.high:.0f} %)."
            )
    saved = steps_saved([trial for each in histories for trial in each.trials])
    stopped = sum(trial.state == "halted" for each in histories for trial in each.trials)
    trials = sum(len(each.trials) for each in histories)
    return [
        *lines,
        f"Stopped: {stopped} of {trials} trials; saved {saved.steps:,} of {saved.of_steps:,} steps.",
    ]


# ---------------------------------------------------------------------- commands


def main(words: list[str]) -> int:
    if words[:1] == ["table"]:
        if not words[1:]:
            raise InputError("table: no run named; allowed: bundles or run folders, as recorded:default-*")
        print(results(list(histories_of(words[1:]).values())))
        return 0
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
    return 0


if __name__ == "__main__":
    run_as_command(main, __doc__)
