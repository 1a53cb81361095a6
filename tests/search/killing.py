"""Whole searches with real training, as processes that can be killed: how to start them, kill them, go on
with them, and what must hold of a run folder afterwards, whatever was killed and when."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from mdsearch.__main__ import main
from tests.traps import COMMAND, folder_with_traps, of_a_user

TINY = (
    "trials=3",
    "recorded=false",  # they say nothing about images as few as these
    "rungs=[2,4]",
    "data.scenes=960",
    "evaluators.images=16",
    "evaluators.reference_images=128",
    "evaluators.clip.steps=5",
    "evaluators.clip.train_images=256",
    "training.batch_size=4",
    "training.sampling_steps=2",
    "training.validation_images=16",
    "stopping.minimum_peers=1",
    "cluster.workers=1",
    "cluster.cpus_per_worker=1",
    "cluster.gpus_per_worker=0",
    "cluster.threads_per_worker=1",
    "cluster.max_worker_deaths=9",
)
LOCAL = ("cluster.dashboard=false",)
# Everything waits on events. This is when a search that does nothing any more is given up, on a machine under
# any load; pytest's own limit lies beyond it.
PATIENCE_SECONDS = 1500
PATIENT = pytest.mark.timeout(3 * PATIENCE_SECONDS)


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """As a user does, in a folder whose modules neither the command nor a worker may import."""
    log = open(folder / "log.txt", "a")  # noqa: SIM115 (the child's, closed with it)
    return subprocess.Popen(
        [COMMAND, "search", *words],
        stdout=log,
        stderr=log,
        text=True,
        cwd=folder_with_traps(folder / ".here"),
        env=of_a_user(OMP_NUM_THREADS="1", PYTHONUNBUFFERED="1"),
        preexec_fn=_hears_ctrl_c,
    )


def _hears_ctrl_c() -> None:
    """Also where the tests run in the background of a script: shells ignore SIGINT there, and children
    inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def here(*words: str) -> None:
    """The same inline, to its end, in this process, which has imported everything already: for what is not
    killed. One thread, as elsewhere: scores differ in the last digits with their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert main(["search", "backend=inline", *words]) == 0
    finally:
        torch.set_num_threads(threads)


def told(folder: Path) -> str:
    return (folder / "log.txt").read_text()


def finish(process: subprocess.Popen[str], folder: Path) -> None:
    assert process.wait(PATIENCE_SECONDS) == 0, told(folder)[-3000:]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, told(folder)[-3000:]
        time.sleep(0.05)


def kill(process: subprocess.Popen[str]) -> None:
    """And wait for its workers, which Ray ends: one that lived on would write what the next search writes."""
    workers = workers_of(psutil.Process(process.pid))
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE_SECONDS)
    assert not alive


def events(run: Path, *kinds: str) -> list[dict[str, object]]:
    record = run / "record.jsonl"
    lines = record.read_text().split("\n")[:-1] if record.exists() else []
    return [event for line in lines if (event := json.loads(line))["event"] in kinds]


def decisions(run: Path) -> list[dict[str, object]]:
    """What was decided, in order, without what may differ from one run to the next: times."""
    found = events(run, "proposed", "rejected", "rung", "ended")
    return [{key: value for key, value in event.items() if key not in ("time", "seconds")} for event in found]


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """Those below a driver or a node. Ray names a worker after its class when idle, and after Tune's wrapper
    of it while it trains."""
    named = []
    for child in process.children(recursive=True):
        try:
            command = " ".join(child.cmdline())
        except psutil.Error:
            continue
        if any(name in command for name in ("TrialActor", "LightActor", "ResourceTrainable")):
            named.append(child)
    return named


def check_nothing_lost_or_doubled(run: Path, trials: int) -> None:
    """The trials that were asked for, each result once, and no training step again once it was kept."""
    ended, rungs = events(run, "ended"), events(run, "rung")
    assert {event["state"] for event in ended} <= {"complete", "halted"}, ended
    assert not [key for key, count in Counter(event["key"] for event in ended).items() if count > 1]
    assert not [at for at, n in Counter((event["key"], event["step"]) for event in rungs).items() if n > 1]
    proposed = [event["key"] for event in events(run, "proposed")]
    assert sorted(proposed) == sorted(event["key"] for event in ended)
    assert len([key for key in proposed if key.isdigit()]) == trials
    for log in run.glob("*/*/work.jsonl"):
        kept = 0
        for line in map(json.loads, log.read_text().splitlines()):
            assert line["from_step"] >= kept, f"{log}: steps that were kept are trained again: {line}"
            kept = max(kept, line["to_step"])
        last = max(event["step"] for event in rungs if event["key"] == log.parent.name)
        assert kept == last, f"{log}: {kept} steps trained, {last} recorded"
        assert not (log.parent / "states").exists()
