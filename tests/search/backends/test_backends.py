"""Jobs that fail, on the inline backend and in a worker of Ray's: recorded with their reason, and the search
goes on. Nothing is trained here."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from conf.compose import compose
from search.backends import inline
from search.preparation import worker_settings
from search.settings import settings_from_plain
from search.strategy import Job, Report
from space.shared.retries import StorageAway, Waiting
from tests.search.worlds import made_by, make_search, scores_at
from training.data.factory import load_data
from training.failures import Diverged, why_failed


class FailingWorker:
    """Trial 0 diverges, trial 1 runs out of memory, trial 2 has a bug, trial 3 is sound."""

    errors: tuple[BaseException | None, ...] = (
        Diverged("loss is NaN at step 7"),
        MemoryError(),
        ValueError("a [/tmp/x]\nbug"),
        None,
    )

    def run(self, job: Job) -> Iterator[Report]:
        if error := self.errors[int(job.key)]:
            raise error
        for step in job.rungs:
            point = scores_at(job.architecture, step)
            yield Report(step, {"fid_embedded_clip": point.fid, "clip_embedded": point.clip}, {"training": 1})


def test_a_job_that_fails_is_recorded_and_the_search_goes_on(
    tmp_path: Path,
) -> None:
    search = make_search(tmp_path, trials=4)
    inline.run_inline(search, made_by(FailingWorker))
    assert [(trial.state, trial.reason) for trial in search.history.trials] == [
        ("failed", "diverged: loss is NaN at step 7"),
        ("failed", "out of memory"),
        ("failed", "ValueError: a [/tmp/x] bug"),
        ("complete", ""),
    ]


def test_ctrl_c_leaves_the_job_running_for_a_resumed_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FailingWorker, "errors", (KeyboardInterrupt(),))
    search = make_search(tmp_path, trials=1)
    with pytest.raises(KeyboardInterrupt):
        inline.run_inline(search, made_by(FailingWorker))
    assert [trial.state for trial in search.history.trials] == ["running"] and not search.finished


@pytest.mark.parametrize("captions", [None, "captions.csv", "images/captions.csv"])
def test_workers_find_data_named_by_relative_paths_from_whatever_folder_they_start_in(
    captions: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir(), (tmp_path / "elsewhere").mkdir()
    for number in range(4):
        Image.new("RGB", (24, 24), (60 * number, 0, 0)).save(tmp_path / "images" / f"{number}.png")
    lines = [f"{number}.png,red" for number in range(4)]
    (tmp_path / "images" / "captions.csv").write_text("\n".join(["file,caption", *lines]))
    monkeypatch.chdir(tmp_path)
    words = ["data=folder", "data.folder=images", "data.held_out_share=0.5"]
    words += ["training.latents.codec=vae", "training.latents.folder=hf://someone/sd@main/vae"]
    words += ["training.text.encoder=clip", "training.text.folder=clip"]
    settings = settings_from_plain(
        compose("search", words + ([f"data.captions={captions}"] if captions else []))
    )
    here = load_data(settings.data)
    worker = worker_settings(settings, Path("runs/a"), Path("runs/a/evaluator"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_data(worker.data).digest == here.digest
    assert worker.run_folder == str(tmp_path / "runs" / "a")
    training = worker.training  # an address stays one
    assert training.latents.folder == "hf://someone/sd@main/vae"
    assert training.text.folder == str(tmp_path / "clip")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory: CUDA out of memory."),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory: DefaultCPUAllocator"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
    ],
)
def test_reasons_are_those_a_person_would_give(error: Exception, reason: str) -> None:
    assert why_failed(error).startswith(reason)


def test_hostile_reasons_do_not_break_the_live_table(tmp_path: Path) -> None:
    from rich.console import Console

    from search.display import LiveDisplay
    from search.objectives import FID_AND_CLIP

    search = make_search(tmp_path, trials=1)
    search.take_result(search.propose().key, "failed", "ValueError: a [/tmp/x] bug")
    console = Console(record=True, width=200, force_terminal=True)
    with LiveDisplay(console, 1, FID_AND_CLIP) as display:
        display.message("went to [/tmp/y]")
        display.event({"event": "ended"}, search.history)
    told = console.export_text()
    assert "failed: ValueError: a [/tmp/x] bug" in told and "went to [/tmp/y]" in told


class FullDiskWorker:
    """Waits at its first rung; trial 1 waits in vain."""

    run_folder = "runs/full"

    def run(self, job: object) -> Iterator[Report | Waiting]:
        for step in job.rungs:  # type: ignore[attr-defined]
            yield Waiting("state.pt: No space left on device")
            if job.key == "1":  # type: ignore[attr-defined]
                raise OSError(errno.ENOSPC, "No space left on device", "state.pt")
            yield Report(step, {"fid_embedded_clip": 50.0, "clip_embedded": 0.1}, {"training": 1})


def test_a_trial_whose_storage_stays_away_is_not_failed_but_left_for_a_resume(
    tmp_path: Path,
) -> None:
    search, said = make_search(tmp_path, trials=3), []
    with pytest.raises(StorageAway, match=r"trial 1: .* 20 minutes: state\.pt: No space left"):
        inline.run_inline(search, made_by(FullDiskWorker), said.append)
    assert [trial.state for trial in search.history.trials] == ["complete", "running"]
    assert said == [f"trial {n}: waits: state.pt: No space left on device" for n in (0, 1)]


class AwayWorker(FullDiskWorker):
    """Its data was away for as long as data.patience_seconds."""

    def run(self, job: object) -> Iterator[Report | Waiting]:
        raise StorageAway("data.source: 's3://photos' cannot be read; gave up after 600 s")
        yield


def test_a_trial_whose_data_stays_away_is_left_for_a_resume_too(tmp_path: Path) -> None:
    search = make_search(tmp_path, trials=2)
    with pytest.raises(StorageAway, match=r"trial 0: data\.source: 's3://photos'.* 600 s; .*resume="):
        inline.run_inline(search, made_by(AwayWorker))
    assert [trial.state for trial in search.history.trials] == ["running"]
