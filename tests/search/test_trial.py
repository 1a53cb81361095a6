"""A trial goes on from its state, and says so where it cannot."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from search import trial
from search.backends import inline
from search.runs.files import WORK_NAME
from search.strategy import Job, Report
from search.trial import TrialSettings, TrialWorker
from search.trial_log import saved_step
from search.trial_words import Said, StartsAgain
from space.architecture import Architecture, Level
from space.proxy import Proxy
from tests.search.worlds import made_by, make_search
from training.checkpoints import Checkpoints
from training.data.scenes import ScenesSettings
from training.files import EARLIER_STATE_NAME, STATES_FOLDER, has_states, remove_states
from training.logs.event_files import EventReader
from training.objectives.diffusion import DiffusionBatch, DiffusionObjective
from training.settings import TrainingSettings
from training.trainer import Trainer

TINY = Architecture(
    levels=(Level(8, "full", (0,), (0, 0)),),
    head_width=None,
    heads=2,
    norm_groups=4,
    time_width=16,
    latent_channels=12,
    latent_size=4,
    context_length=4,
    context_width=16,
)
JOB = Job("0", "sampler", "tiny", TINY, seed=3, rungs=(2, 4))


class Brightness:
    """An evaluator without networks."""

    images = 4

    def score_and_deviations(
        self, images: np.ndarray, captions: Sequence[str]
    ) -> tuple[dict[str, float], dict[str, float]]:
        return {"brightness": float(images.mean())}, {}


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialWorker:
    monkeypatch.setattr(trial, "load_evaluator", lambda *arguments: Brightness())
    training = TrainingSettings(batch_size=4, sampling_steps=2, validation_images=4, device="cpu")
    data = ScenesSettings(scenes=32, image_size_px=8)
    return TrialWorker(TrialSettings(str(tmp_path), "", Proxy(), data, training))


def reports(said: Sequence[object]) -> list[tuple[int, dict[str, float]]]:
    return [(each.step, each.scores) for each in said if isinstance(each, Report)]


def test_a_state_of_an_earlier_version_is_trained_again_from_step_0_and_said(
    worker: TrialWorker, tmp_path: Path
) -> None:
    undisturbed = list(worker.run(JOB))
    remove_states(tmp_path / "trials" / "0")
    (tmp_path / "trials" / "0" / EARLIER_STATE_NAME).write_bytes(b"as a pickle begins")
    again = list(worker.run(JOB))
    assert isinstance(again[0], StartsAgain) and "state.pt: is of an earlier version" in again[0].reason
    assert reports(again) == reports(undisturbed) and [step for step, _ in reports(again)] == [2, 4]
    assert reports(list(worker.run(JOB))) == reports(undisturbed)[1:]  # from the state of now


def test_a_torn_state_is_trained_again_and_said(worker: TrialWorker, tmp_path: Path) -> None:
    undisturbed = list(worker.run(JOB))
    (tensors,) = (tmp_path / "trials" / "0" / STATES_FOLDER).glob("*.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:2000])
    again = list(worker.run(JOB))
    assert isinstance(again[0], StartsAgain) and "is damaged" in again[0].reason
    assert reports(again) == reports(undisturbed)


def test_memory_that_ran_out_is_said_before_the_report_and_before_what_ends_the_trial(
    worker: TrialWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the worker: nobody reads what it prints."""
    loss, most = DiffusionObjective.loss, 2

    def short(self: DiffusionObjective, part: str, batch: DiffusionBatch) -> torch.Tensor:
        if len(batch.images) > most:
            raise MemoryError
        return loss(self, part, batch)

    monkeypatch.setattr(DiffusionObjective, "loss", short)
    first, *rest = worker.run(JOB)
    assert isinstance(first, Said) and "out of memory at step 1: from now on micro-batches of 2" in first.text
    assert [type(each) for each in rest] == [Report, Report]
    most, words = 1, worker.run(replace(JOB, key="1"))
    assert isinstance(next(words), Said)
    with pytest.raises(MemoryError):
        next(words)


def test_the_backend_passes_on_that_a_trial_starts_again(tmp_path: Path) -> None:
    class Again:
        def run(self, job: Job) -> object:
            yield StartsAgain("state.pt: is of an earlier version")
            yield Said("out of memory at step 1")
            for step in job.rungs:
                yield Report(step, {"fid_embedded_clip": 50.0, "clip_embedded": 0.1}, {"training": 1})

    search, said = make_search(tmp_path, trials=1), list[str]()
    inline.run_inline(search, made_by(Again), said.append)
    line, memory = said
    assert memory == "trial 0: out of memory at step 1"
    assert re.match("trial 0: .* step 0: state.pt: is of an earlier version$", line)
    assert [each.state for each in search.history.trials] == ["complete"]


def test_a_worker_killed_between_rungs_loses_what_it_did_since_its_last_state(
    worker: TrialWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    whole = reports(list(TrialWorker(replace(worker.settings, run_folder=str(tmp_path / "whole"))).run(JOB)))
    monkeypatch.setattr("search.worker.SAVED_EVERY_SECONDS", 0)
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "generate", killed)
        with pytest.raises(KeyboardInterrupt):
            list(worker.run(JOB))
    assert saved_step(tmp_path, "0") == 1 and has_states(tmp_path / "trials" / "0")
    assert reports(list(worker.run(JOB))) == whole
    lines = (tmp_path / "trials" / "0" / WORK_NAME).read_text().splitlines()
    done = [(line["from_step"], line["to_step"]) for line in map(json.loads, lines)]
    assert done == [(0, 1), (1, 2), (2, 3), (3, 4)]  # no step is trained twice


def test_tensorboard_has_every_step_and_rung_once_whatever_was_killed(
    worker: TrialWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.logs.meter.POINT_EVERY", 1)
    (tmp_path / "whole").mkdir()
    list(TrialWorker(replace(worker.settings, run_folder=str(tmp_path / "whole"))).run(JOB))
    with monkeypatch.context() as patched:  # told of the first rung, but its state is not there
        patched.setattr(Checkpoints, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            list(worker.run(JOB))
    scored = next(iter(worker.run(JOB)))  # and again right behind the first rung
    assert isinstance(scored, Report) and scored.step == 2
    list(worker.run(JOB))
    logged = [events(folder / "trials" / "0") for folder in (tmp_path, tmp_path / "whole")]
    assert [step for step, name, _ in logged[0] if name == "loss"] == [1, 2, 3, 4]
    rungs = [(step, value) for step, name, value in logged[0] if name == "brightness"]
    assert rungs[0] == (2, pytest.approx(scored.scores["brightness"], rel=1e-6)) and len(rungs) == 2
    changing = ("images_per_second", "memory_mib")
    without = [[each for each in own if each[1] not in changing] for own in logged]
    assert sorted(without[0]) == sorted(without[1])
    names = {name for _, name, _ in logged[0]}
    assert {"learning_rate", "gradient_norm", "ema_gap", "validation_loss", "samples"} <= names


def events(folder: Path) -> list[tuple[int, str, float]]:
    told = EventReader(folder).new()
    values = [(each.step, name, value) for each in told for name, value in each.values.items()]
    return values + [(each.step, name, 0.0) for each in told for name in each.images]


def killed(*arguments: object, **keywords: object) -> None:
    raise KeyboardInterrupt
