"""The other workers of a trial that has several: they train what the first one does, and generate their share
of its images.

The first one, a `TrialWorker`, alone reads a job, scores and writes; what it says here they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from search.runs.files import job_folder
from search.strategy import Job
from search.trial import TrialSettings, trainer_of
from space.shared.plain import InputError
from training.checkpoints import Checkpoints
from training.data.factory import load_data
from training.distributed.ranks import RankGroup
from training.supernet import SharedTrainer
from training.trainer import Trainer


class PeerWorker:
    """One of them, for one job after another."""

    def __init__(self, settings: TrialSettings) -> None:
        self.settings, self._data = settings, load_data(settings.data)
        self._trainer: Trainer | SharedTrainer | None = None

    def begin(self, job: Job, step: int, micro_batch: int | None, ranks: RankGroup) -> None:
        """Raises InputError where it does not find the state that the first one has begun from."""
        self._trainer, self._ranks = trainer_of(self.settings, self._data, job, ranks, micro_batch), ranks
        if step == 0:
            return
        with closing(Checkpoints(job_folder(Path(self.settings.run_folder), job.key))) as states:
            state = states.latest()
        if state is None or state.step != step:
            found = "none" if state is None else f"step {state.step}"
            raise InputError(
                f"runs_folder: a worker of the trial finds another state ({found}) than the first one (step "
                f"{step}); needed: storage that all nodes share"
            )
        self._trainer.restore(state)

    def train_to(self, to_step: int) -> None:
        trainer, ranks = self._trainer, self._ranks
        assert trainer is not None

        def after(step: int, loss: float) -> None:
            if step < to_step and ranks.asked and ranks.is_sharded:
                trainer.state()  # the first one saves what all have

        trainer.train_to(to_step, after)
        trainer.state()

    def generate(self, captions: Sequence[str], first: int, seed: int, batch_size: int) -> np.ndarray:
        """Images of a series from number `first` on, at the step that all have come to."""
        assert isinstance(self._trainer, Trainer)
        return self._trainer.generate(captions, seed=seed, batch_size=batch_size, first=first)


def whole_batches(images: int, batch_size: int, workers: int) -> list[range]:
    """Which of a series of images each worker generates: in the batches that one alone would make, since
    another batch may round otherwise."""
    batches = -(-images // batch_size)
    ends = [min(batches * (each + 1) // workers * batch_size, images) for each in range(workers)]
    return [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]
