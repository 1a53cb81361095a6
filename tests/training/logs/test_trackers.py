"""What a tracker's run must do, by a fake one and, where they are installed, by MLflow and W&B themselves."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from space.shared.plain import InputError
from tests.training.logs import fake
from training.logs import following
from training.logs.event_files import EventLog
from training.logs.following import Follower
from training.logs.trackers import TRACKERS, Described, KeptRuns, check_trackers, dotted_params, tracker

WHAT = Described("", "md", "train", {"training": {"steps": 3}, "betas": [0.9, 0.99]})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> fake.Server:
    server = fake.Server()
    monkeypatch.setattr(fake, "SERVER", server)
    monkeypatch.setitem(TRACKERS, "fake", f"{fake.__name__}:Fake")
    return server


@pytest.fixture(params=["fake", "mlflow", "wandb"])
def kind(
    request: pytest.FixtureRequest, server: fake.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    name: str = request.param
    if name != "fake" and find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install 'mdsearch[{name}]'")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("WANDB_MODE", "offline")
    return name


def png() -> bytes:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(made := io.BytesIO(), "PNG")
    return made.getvalue()


def test_a_run_is_gone_on_with_and_holds_nothing_twice(kind: str, tmp_path: Path) -> None:
    chosen = tracker(kind)
    kept = KeptRuns(tmp_path, chosen)
    run = chosen.open(WHAT, kept.get(""), tmp_path)
    run.log({10: {"loss": 1.0, "loss_by_timestep/0-249": 2.0}, 20: {"loss": 0.5}})
    run.log_image(20, "samples", png())
    (tmp_path / "README.md").write_text("a card")
    run.log_files([tmp_path / "README.md"])
    kept.set("", run.kept)
    run.end("stopped")
    again = chosen.open(WHAT, kept.get(""), tmp_path)
    assert again.id == run.id
    again.log({10: {"loss": 1.0}, 20: {"loss": 0.5}, 30: {"loss": 0.25}})
    again.log_image(20, "samples", png())
    inner = chosen.open(Described("0", "trial 0", "trial", {}, (again.id, "md")), None, tmp_path)
    inner.log({10: {"loss": 3.0}})
    inner.end("failed", "diverged: loss is NaN")
    again.end("finished")
    assert inner.id != again.id
    if kind == "mlflow":
        _check_mlflow(tmp_path, again.id, inner.id)
    if kind == "wandb":
        assert len(list(tmp_path.glob(f"wandb/offline-run-*-{again.id}/*.wandb"))) == 2  # one a process
        assert again.kept["step"] == 30 and again.kept["image"] == 20


def _check_mlflow(folder: Path, own: str, nested: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    run, inner = client.get_run(own), client.get_run(nested)
    history = [(metric.step, metric.value) for metric in client.get_metric_history(own, "loss")]
    assert history == [(10, 1.0), (20, 0.5), (30, 0.25)]
    assert run.data.params == {"training.steps": "3", "betas": "[0.9, 0.99]"}
    assert (run.info.status, inner.info.status) == ("FINISHED", "FAILED")
    assert inner.data.tags["mlflow.parentRunId"] == own
    assert inner.data.tags["mdsearch.reason"] == "diverged: loss is NaN"
    assert [file.path for file in client.list_artifacts(own, "samples")] == ["samples/00000020.png"]


# ------------------------------------------------------------------------ following a training


@pytest.fixture
def followed(server: fake.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(following, "PAUSE_SECONDS", 0.0)
    yield tmp_path / "out"


def train(folder: Path, begin: int, steps: list[int], said: list[str], how: str = "finished") -> None:
    log, follower = EventLog(folder), Follower("fake", WHAT, folder, said.append)
    log.begin(begin)
    follower.begin(begin)
    for step in steps:
        for observer in (log, follower):
            observer.part({step: {"loss": 1 / step}})
    follower.close(how, [folder / "none.md"])  # type: ignore[arg-type]


def test_a_resumed_training_goes_on_in_the_same_run(server: fake.Server, followed: Path) -> None:
    said: list[str] = []
    train(followed, 0, [10, 20], said, "stopped")
    (run,) = server.runs
    assert (run.ended, run.what.params, run.files) == ("stopped", WHAT.params, [])
    train(followed, 10, [20, 30], said)  # the state of step 20 did not reach the disk
    assert server.runs == [run] and run.ended == "finished" and said == []
    assert run.values("loss") == [(10, 0.1), (20, 0.05), (30, pytest.approx(1 / 30))]


def test_a_server_that_is_away_is_said_once_and_given_what_it_missed(
    server: fake.Server, followed: Path
) -> None:
    said: list[str] = []
    server.away = True
    train(followed, 0, [10, 20], said)
    assert len(said) == 1 and said[0].startswith("fake: ConnectionError: no route to the server; training")
    server.away = False
    train(followed, 20, [30], said)
    assert [step for step, _ in server.named("md").values("loss")] == [10, 20, 30] and len(said) == 1


def test_settings_are_params_by_dotted_names() -> None:
    assert dotted_params({"a": {"b": 1, "c": {"d": None}}, "e": (1, 2)}) == {
        "a.b": 1,
        "a.c.d": None,
        "e": "[1, 2]",
    }


def test_what_is_not_installed_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.logs.trackers.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"logger: wandb is not installed.*'mdsearch\[wandb\]'"):
        check_trackers(["wandb"])
    monkeypatch.setattr("training.logs.trackers.find_spec", lambda name: object())
    with pytest.raises(InputError, match="logger: mlflow is named twice"):
        check_trackers(["mlflow", "wandb", "mlflow"])
