"""Whole searches with real training, in one process, interrupted and gone on with. Those that are killed, on
real Ray, are in test_kills.py."""

from __future__ import annotations

import signal
from pathlib import Path

import pandas as pd
import pytest

from mdsearch.__main__ import main
from space.shared.plain import InputError
from tests.search.killing import (
    LOCAL,
    PATIENCE_SECONDS,
    PATIENT,
    TINY,
    decisions,
    events,
    here,
    start,
    wait_for,
)

pytestmark = PATIENT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def words(folder: Path) -> tuple[str, ...]:
    confirmation = ("confirmation.seeds=1", "confirmation.references=[md]", "confirmation.minutes=null")
    return (*TINY, *LOCAL, *confirmation, f"runs_folder={folder}", f"cache_folder={folder / 'cache'}")


@pytest.fixture(scope="module")
def undisturbed(folder: Path, words: tuple[str, ...]) -> Path:
    here("name=inline", *words)
    return folder / "inline"


def test_ctrl_c_ends_with_a_report_and_the_same_command_with_resume_goes_on(undisturbed, folder, words):
    run = folder / "interrupted"
    driver = start(folder, "name=interrupted", "backend=inline", *words)
    wait_for(lambda: len(events(run, "rung")) == 2, driver, folder)
    driver.send_signal(signal.SIGINT)
    assert driver.wait(PATIENCE_SECONDS) == 130
    assert (run / "report.html").is_file()
    here("name=interrupted", *words, f"resume={run}")
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
        assert "states" not in trial
    table = pd.read_csv(undisturbed / "trials.csv")
    assert list(table.columns[:13]) == [
        "number", "state", "reason", "architecture", "parameters", "gmacs", "proxy_parameters",
        "steps", "fid", "clip", "validation_loss", "seconds", "seed",
    ]  # fmt: skip
    assert len(table) == 3 and set(table.state) <= {"complete", "halted"}


def test_the_study_beside_the_record_is_optunas_and_can_be_rebuilt(undisturbed):
    import optuna

    from analysis.study import sync_study
    from search.runs.folder import stored_settings

    def seen() -> list[tuple[object, ...]]:
        (summary,) = optuna.get_all_study_summaries(storage)
        trials = optuna.load_study(study_name=summary.study_name, storage=storage).trials
        return [(trial.state, trial.values, trial.params, trial.user_attrs["trial"]) for trial in trials]

    from search.runs.record import read_history

    storage = f"sqlite:///{undisturbed / 'study.db'}"
    before = seen()
    (undisturbed / "study.db").unlink()
    settings = stored_settings(undisturbed)
    sync_study(undisturbed, read_history(undisturbed), settings.space, settings.objectives)
    assert seen() == before and len(before) == 3


def test_another_protocol_is_refused_on_resume(undisturbed):
    with pytest.raises(InputError, match="resume: rungs differ from what "):
        main(["search", f"resume={undisturbed}", "rungs=[3,4]"])
