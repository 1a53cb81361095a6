"""One training run on one worker: train to each rung, draw, score, keep what it takes to go on.

Nothing here knows Ray, Optuna or Hydra: the same code runs in this process, in an actor of a cluster, or
by hand on a bare GPU machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evaluators.evaluator import Evaluator
from search.strategy import Job, Report
from space.proxy import Proxy, narrow
from training.data import DataSettings, load_data
from training.grid import save_grid
from training.loop import Diverged, Trainer, TrainingSettings

STATE_NAME = "state.pt"
SAMPLES_SHOWN = 32


@dataclass(frozen=True)
class TrialSettings:
    """What a worker needs beside the job. Folders must be reachable from every worker of a cluster."""

    run_folder: str
    evaluator_folder: str
    proxy: Proxy
    data: DataSettings
    training: TrainingSettings
    drawing_batch: int = 64


class TrialWorker:
    """Runs jobs, one at a time; data and evaluator are loaded once."""

    def __init__(self, settings: TrialSettings) -> None:
        self.settings = settings
        self.data = load_data(settings.data)
        self.evaluator = Evaluator.load(Path(settings.evaluator_folder))
        self.captions = evaluation_captions(self.data.held_out_captions, self.evaluator.protocol["images"])

    def run(self, job: Job) -> Iterator[Report]:
        """Yields a report at each rung; goes on from the state that an interrupted run left.

        The state is on the disk before the report is out, so a rung may be reported twice, with equal
        scores, but never lost.

        Raises:
            Diverged: when the loss or the scores stop being numbers.
        """
        folder = job_folder(Path(self.settings.run_folder), job.key)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "architecture.yaml").write_text(job.architecture.to_yaml(), encoding="utf-8")
        training = replace(self.settings.training, steps=job.rungs[-1])
        architecture = narrow(job.architecture, self.settings.proxy)
        trainer = Trainer(architecture, self.data, training, seed=job.seed)
        state = folder / STATE_NAME
        if state.is_file():
            trainer.load_state(state)
        for step in job.rungs:
            if step >= trainer.step:
                yield self._to_rung(trainer, job, step, folder)

    def _to_rung(self, trainer: Trainer, job: Job, step: int, folder: Path) -> Report:
        seconds: dict[str, float] = {}
        with _timed(seconds, "training"):
            trainer.train_to(step)
        with _timed(seconds, "validation"):
            validation_loss = trainer.validation_loss()
        with _timed(seconds, "sampling"):
            images = trainer.draw(self.captions, seed=job.seed, batch_size=self.settings.drawing_batch)
        with _timed(seconds, "features"):
            scores = self.evaluator.score(images, self.captions)
        with _timed(seconds, "writing"):
            save_grid(images[:SAMPLES_SHOWN], folder / "samples.png", columns=8, enlarge=2)
            trainer.save_weights(folder)
            trainer.save_state(folder / STATE_NAME)
        scores["validation_loss"] = validation_loss
        broken = [name for name, value in scores.items() if not np.isfinite(value)]
        if broken:
            raise Diverged(f"{', '.join(broken)} is not a number at step {step}")
        return Report(step, {name: float(value) for name, value in scores.items()}, seconds)


def evaluation_captions(held_out: Sequence[str], count: int) -> list[str]:
    """The prompts of every evaluation: the first `count` held-out captions, again from the start if there
    are fewer."""
    return [held_out[index % len(held_out)] for index in range(count)]


def job_folder(run_folder: Path, key: str) -> Path:
    """Where a job's files are: trials/<n>, or confirm/<key> for confirmation runs."""
    return run_folder / "trials" / key if key.isdigit() else run_folder / "confirm" / key


def why_failed(error: BaseException) -> str:
    """The reason for the record: what a person would say of it, in one line."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, Diverged):
        return f"diverged: {text}"
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate" in text.lower():
        return f"out of memory: {text}" if text else "out of memory"
    return f"{type(error).__name__}: {text}"


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began
