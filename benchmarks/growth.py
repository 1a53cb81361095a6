"""How a driver's work grows with its record: `python -m benchmarks.growth [trials=100,1000,10000]`.

For each length a record is made up (random networks of the default space within the budget, half of them
stopped), then read in a fresh process, which measures what a resumed search would do: reading, a proposal by
each sampler (with what it takes to know the past), a decision, report, tables and study, and its memory.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from unittest import mock

from rich.console import Console
from rich.table import Table

from benchmarks.lab import given_words, run_as_command, whole_number
from conf.compose import compose
from search.backends.virtual import VirtualClock
from search.objectives import objectives_to_plain
from search.preparation import search_strategy
from search.runs.record import Record, Trial
from search.samplers.base import observations
from search.samplers.factory import SamplerSettings, make_sampler
from search.settings import SearchSettings, settings_from_plain
from search.strategies.ledger import Ledger
from search.strategy import Job, Report
from space.choices import UniformSuggestions
from space.prices.macs import price
from space.shared.plain import from_plain, to_plain

SAMPLERS = ("linear", "tpe", "nsga2", "random", "gp")
PROPOSALS = DECISIONS = 5
MIB = 2**20
ROWS = {
    "resume_s": "read the record and go on (s)",
    "linear_ms": "proposal: linear (ms)",
    "tpe_ms": "proposal: tpe (ms)",
    "nsga2_ms": "proposal: nsga2 (ms)",
    "random_ms": "proposal: random (ms)",
    "gp_ms": "proposal: gp (ms)",
    "decision_ms": "decision at a rung (ms)",
    "report_s": "report (s)",
    "report_mb": "  its size (MB)",
    "csv_s": "trials.csv, rungs.csv (s)",
    "study_all_s": "study.db, from nothing (s)",
    "study_more_s": "study.db, nothing new (s)",
    "record_mb": "record (MB)",
    "driver_mib": "driver's memory, with Optuna (MiB)",
    "peak_mib": "  at most, with the report (MiB)",
}


def settings() -> SearchSettings:
    return settings_from_plain(compose("search", []))


def write_record(folder: Path, count: int) -> None:
    """So many ended trials and some that have reached their first rung, written through `Record.append`."""
    asked, chance, clock = settings(), random.Random(0), VirtualClock()
    with mock.patch("os.fsync"):
        record = Record(folder)
        record.clock = clock
        plain = to_plain(asked)
        names = ("rungs", "budget", "space", "proxy", "data", "training", "sampler", "stopping", "noise")
        header = {name: plain[name] for name in names} | {"objectives": objectives_to_plain(asked.objectives)}
        record.append("run", name="growth", seed=0, trials=count + 100, overrides=[], references=[], **header)
        start = {asked.objectives[0].name: 5000.0, asked.objectives[1].name: 0.0}
        record.append("start", scores=start, protocol={})
        while len(record.history.trials) < count + DECISIONS:
            clock.now += 60.0
            suggestions = UniformSuggestions(chance)
            network = asked.space.sample(suggestions)
            if asked.budget.excess(network) or network.id in record.history.by_architecture:
                continue
            number = len(record.history.trials)
            job = Job(str(number), "search", f"trial {number}", network, asked.seed, asked.rungs)
            told = {"source": "sampler", "params": suggestions.params, "sampler_attributes": {}}
            Ledger(record).write_proposed(job, number, price(network), asked.proxy, **told)
            _train(record, asked, job.key, chance, running=number >= count)
        record.close()


def _train(record: Record, asked: SearchSettings, key: str, chance: random.Random, *, running: bool) -> None:
    quality, stopped = chance.gauss(0, 1), chance.random() < 0.5
    for place, step in enumerate(asked.rungs):
        scores = {
            asked.objectives[0].name: 4000.0 / (1 + place) ** 1.5 * 1.2**quality,
            asked.objectives[1].name: 0.15 * (1 + place) - 0.03 * quality,
            "validation_loss": 0.1,
        }
        last = place == len(asked.rungs) - 1
        word = "end" if last else "halt" if stopped and place == 1 else "continue"
        seconds = {"training": 12.0, "sampling": 3.0, "features": 0.2}
        record.append("rung", key=key, step=step, scores=scores, seconds=seconds, decision=word, reason="")
        if running:
            return
        if word != "continue":
            record.append("ended", key=key, state="complete" if last else "halted", reason="")
            return


def measure(folder: Path) -> dict[str, float]:
    """What a resumed driver takes, in this process."""
    from analysis.report import write_report
    from analysis.study import sync_study
    from analysis.tables import write_tables

    asked, found = settings(), {}
    found["record_mb"] = (folder / "record.jsonl").stat().st_size / 1e6
    began = time.perf_counter()
    record = Record(folder)
    search = search_strategy(asked, record, asked.noise)
    found["resume_s"] = time.perf_counter() - began
    history = record.history
    number = len(history.trials)
    for name in SAMPLERS:
        sampler_settings = from_plain(SamplerSettings, compose("search", [f"sampler={name}"])["sampler"])
        sampler = make_sampler(sampler_settings, 0)

        def propose(sampler: object = sampler) -> None:
            past = observations(history.known, asked.objectives)
            next(islice(sampler.proposals(asked.space, past, number), 1))  # type: ignore[attr-defined]

        propose()
        found[f"{name}_ms"] = 1e3 * median(_seconds(propose) for _ in range(PROPOSALS))

    def judge(trial: Trial) -> None:
        scores = {name: 0.9 * value for name, value in trial.rungs[-1].scores.items()}
        search.judge(trial.key, Report(asked.rungs[1], scores, {}))

    with mock.patch("os.fsync"):
        found["decision_ms"] = 1e3 * median(
            _seconds(partial(judge, trial)) for trial in history.trials[-DECISIONS:]
        )
    found["driver_mib"] = _resident_mib()
    found["csv_s"] = _seconds(lambda: write_tables(folder, history))
    sync = lambda: sync_study(folder, history, asked.space, asked.objectives)  # noqa: E731
    found["study_all_s"] = _seconds(sync)
    found["study_more_s"] = _seconds(sync)
    found["report_s"] = _seconds(lambda: write_report(folder))
    found["report_mb"] = (folder / "report.html").stat().st_size / 1e6
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _resident_mib() -> float:
    import psutil

    return float(psutil.Process().memory_info().rss / MIB)


def main(words: list[str]) -> int:
    given = given_words(words, ("trials", "measure"))
    if "measure" in given:
        print(json.dumps(measure(Path(given["measure"]))))
        return 0
    counts = [whole_number("trials", each) for each in given.get("trials", "100,1000,10000").split(",")]
    columns = {}
    for trials in counts:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "growth"
            folder.mkdir()
            write_record(folder, trials)
            command = [sys.executable, "-m", "benchmarks.growth", f"measure={folder}"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            columns[trials] = json.loads(done.stdout.strip().splitlines()[-1])
    table = Table(
        "recorded trials", *(f"{trials:,}" for trials in counts), title="Growth of the driver's work"
    )
    for name, head in ROWS.items():
        table.add_row(head, *(f"{columns[trials][name]:,.3g}" for trials in counts))
    Console().print(table)
    return 0


if __name__ == "__main__":
    run_as_command(main, __doc__)
