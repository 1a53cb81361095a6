"""Before anything starts: how long a search would take here, as a few steps and images of one network go."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from search.confirmation.confirmation import ConfirmationSettings
from search.formats import duration
from search.idle import trials_at_most
from search.scoring.inputs import scored_captions
from search.settings import SearchSettings
from search.strategies.independent import IndependentSettings
from training.data.dataset import Dataset
from training.timing import FORWARD_SHARE, seconds_per_step
from training.trainer import Trainer

IMAGES_TIMED = 32
SLOW_SECONDS = 1.0  # an image: one says enough then


@dataclass(frozen=True)
class Pace:
    """Seconds of a trial's workers: a training step, and what each rung adds: images, which all generate, and
    the validation loss, by one."""

    step: float
    rung: float

    def of_run(self, steps: int, rungs: int) -> float:
        return steps * self.step + rungs * self.rung


def measured_pace(trainer: Trainer, settings: SearchSettings, data: Dataset) -> Pace:
    """Of training and of generating. The networks that score are left out: they may not be here yet."""
    a_step = seconds_per_step(trainer)
    captions = scored_captions(settings, data)
    an_image = _seconds_to_generate(trainer, captions[:1])
    if an_image < SLOW_SECONDS:
        timed = captions[:IMAGES_TIMED]
        an_image = _seconds_to_generate(trainer, timed) / len(timed)
    batches = settings.training.validation_images / settings.training.batch_size
    workers = settings.cluster.workers_per_trial
    images = len(captions) * an_image / workers
    return Pace(a_step / workers, images + batches * FORWARD_SHARE * a_step)


def paced(settings: SearchSettings, images_per_second: float) -> Pace:
    """By the images that one accelerator trains a second: a trial's accelerators train and generate together,
    and one of them validates. What decodes and scores images is left out."""
    training, workers = settings.training, settings.cluster.workers_per_trial
    forward = FORWARD_SHARE / images_per_second
    passes = training.sampling_steps * (1 if training.guidance == 1 else 2)
    images = settings.scored_images * passes / workers + training.validation_images
    return Pace(training.batch_size / images_per_second / workers, images * forward)


def _seconds_to_generate(trainer: Trainer, captions: Sequence[str]) -> float:
    began = time.perf_counter()
    trainer.generate(captions, seed=0)
    return time.perf_counter() - began


def trial_seconds(settings: SearchSettings, pace: Pace) -> float:
    """One that is not stopped."""
    return pace.of_run(settings.rungs[-1], len(settings.rungs))


def whole_seconds(settings: SearchSettings, pace: Pace, workers: int) -> float:
    """Trials and race, so many at a time."""
    trials = ceil(trials_at_most(settings) / workers) * trial_seconds(settings, pace)
    return trials + _race_seconds(settings.confirmation, settings, pace, workers)


def time_lines(settings: SearchSettings, pace: Pace, workers: int) -> list[str]:
    """The whole and its parts; where no trial is stopped, which is the most that it takes."""
    steps, rungs = settings.rungs[-1], len(settings.rungs)
    a_trial, whole = trial_seconds(settings, pace), whole_seconds(settings, pace, workers)
    race = _race_seconds(settings.confirmation, settings, pace, workers)
    here = " as here" if settings.cluster.workers is None else ""
    shared = "" if isinstance(settings.strategy, IndependentSettings) else "the shared training, "
    return [
        f"at most about {duration(whole)}, {workers} at a time{here} (beside {shared}preparation, "
        "the networks that score, and stopped trials rerun)",
        f"trials {duration(whole - race)}, each {duration(a_trial)}: {steps} steps in "
        f"{duration(steps * pace.step)}, {rungs} times {settings.scored_images} images and the "
        f"validation loss in {duration(rungs * pace.rung)}; what is stopped takes less",
        f"race {duration(race)} at most" if race else "no race",
    ]


def _race_seconds(
    confirmation: ConfirmationSettings, settings: SearchSettings, pace: Pace, workers: int
) -> float:
    """By its runs at most, or by its minutes: a run starts only if it should end within them."""
    runs = (confirmation.best + len(confirmation.references)) * confirmation.seeds if confirmation.best else 0
    runs = runs if confirmation.runs is None else min(runs, confirmation.runs)
    steps = confirmation.steps or settings.rungs[-1]
    a_run = pace.of_run(steps, len(settings.rungs) if steps == settings.rungs[-1] else 1)
    most = ceil(runs / workers) * a_run
    return most if confirmation.minutes is None else min(most, 60.0 * confirmation.minutes)
