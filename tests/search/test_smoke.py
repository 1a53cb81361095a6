"""Whole searches with real training, on real Ray, killed and resumed: the sequence of decisions is compared,
event by event, with that of a search in one process that nothing disturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pytest

TINY = (
    "trials=3",
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
    "cluster.dashboard=false",
)
PATIENCE_SECONDS = 240


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    log = open(folder / "log.txt", "a")  # noqa: SIM115 (the child's, closed with it)
    command = [sys.executable, "-m", "search", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, stdout=log, stderr=log, text=True, env=environment)


def finish(process: subprocess.Popen[str], folder: Path) -> None:
    assert process.wait(PATIENCE_SECONDS) == 0, (folder / "log.txt").read_text()[-3000:]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, (folder / "log.txt").read_text()[
            -3000:
        ]
        time.sleep(0.02)


def events(run: Path, *kinds: str) -> list[dict[str, object]]:
    record = run / "record.jsonl"
    lines = record.read_text().splitlines() if record.exists() else []
    return [event for line in lines if (event := json.loads(line))["event"] in kinds]


def decisions(run: Path) -> list[dict[str, object]]:
    found = events(run, "proposed", "rejected", "rung", "ended")
    return [{key: value for key, value in event.items() if key not in ("time", "seconds")} for event in found]


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Ray names a worker after its class when idle, and after Tune's wrapper of it while it trains."""
    named = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            command = " ".join(child.cmdline())
            if "_TrialActor" in command or "ResourceTrainable" in command:
                named.append(child)
        except psutil.Error:
            continue
    return named


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def words(folder: Path) -> tuple[str, ...]:
    confirmation = ("confirmation.seeds=1", "confirmation.references=[md]", "confirmation.minutes=null")
    return (*TINY, *confirmation, f"runs_folder={folder}", f"cache_folder={folder / 'cache'}")


@pytest.fixture(scope="module")
def undisturbed(folder: Path, words: tuple[str, ...]) -> Path:
    """The same search inline, in one process."""
    finish(start(folder, "name=inline", "backend=inline", *words), folder)
    return folder / "inline"


def test_a_killed_worker_and_a_killed_driver_change_no_decision(undisturbed, folder, words):
    run = folder / "killed"
    driver = start(folder, "name=killed", *words)
    wait_for(lambda: len(events(run, "rung")) == 1, driver, folder)
    wait_for(lambda: bool(workers_of(driver)), driver, folder)
    for worker in workers_of(driver):
        worker.kill()
    wait_for(lambda: len(events(run, "rung")) == 3, driver, folder)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    finish(start(folder, f"resume={run}", f"cache_folder={folder / 'cache'}"), folder)
    assert decisions(run) == decisions(undisturbed)
    assert [event["trials"] for event in events(run, "session")] == [3, 3]


def test_ctrl_c_ends_with_a_report_and_the_same_command_with_resume_goes_on(undisturbed, folder, words):
    run = folder / "interrupted"
    driver = start(folder, "name=interrupted", "backend=inline", *words)
    wait_for(lambda: len(events(run, "rung")) == 2, driver, folder)
    driver.send_signal(signal.SIGINT)
    assert driver.wait(PATIENCE_SECONDS) == 130
    assert (run / "report.html").is_file()
    finish(start(folder, "name=interrupted", "backend=inline", *words, f"resume={run}"), folder)
    assert decisions(run) == decisions(undisturbed)


def test_a_run_leaves_what_it_promises(undisturbed):
    names = {path.name for path in undisturbed.iterdir()}
    assert names >= {
        "config.yaml", "record.jsonl", "study.db", "provenance.json", "trials.csv", "best.yaml",
        "report.html", "trials", "confirm",
    }  # fmt: skip
    for number in range(3):
        trial = {path.name for path in (undisturbed / "trials" / str(number)).iterdir()}
        assert trial >= {"architecture.yaml", "curve.jsonl", "samples.png", "unet.safetensors"}
        assert "state.pt" not in trial
    table = pd.read_csv(undisturbed / "trials.csv")
    assert list(table.columns[:13]) == [
        "number", "state", "reason", "architecture", "parameters", "gmacs", "proxy_parameters",
        "steps", "fid", "clip", "validation_loss", "seconds", "seed",
    ]  # fmt: skip
    assert len(table) == 3 and set(table.state) <= {"complete", "halted"}


def test_the_study_beside_the_record_is_optunas_and_can_be_rebuilt(undisturbed):
    import optuna

    from search.folder import stored_settings
    from search.storage import sync_study

    def seen() -> list[tuple[object, ...]]:
        (summary,) = optuna.get_all_study_summaries(storage)
        trials = optuna.load_study(study_name=summary.study_name, storage=storage).trials
        return [(trial.state, trial.values, trial.params, trial.user_attrs["trial"]) for trial in trials]

    from search.record import read_history

    storage = f"sqlite:///{undisturbed / 'study.db'}"
    before = seen()
    (undisturbed / "study.db").unlink()
    settings = stored_settings(undisturbed)
    sync_study(undisturbed, read_history(undisturbed), settings.space, settings.objectives)
    assert seen() == before and len(before) == 3


def test_another_protocol_is_refused_on_resume(undisturbed, folder):
    done = subprocess.run(
        [sys.executable, "-m", "search", f"resume={undisturbed}", "rungs=[3,4]"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: resume: rungs differ from what ") and "Traceback" not in done.stderr
