"""Before anything starts: whether a shared training can serve a search, and what it would cost here."""

from __future__ import annotations

import time
from dataclasses import replace

from search.formats import duration, millions
from search.scoring.inputs import scored_captions
from search.settings import SearchSettings
from search.strategies.supernet import SupernetSettings
from space.paths import SpacePaths
from space.shared.plain import InputError
from training.data.dataset import Dataset
from training.state import STATE_BYTES_PER_PARAMETER
from training.supernet import SupernetTrainer
from training.timing import seconds_of_steps

STEPS_TIMED = 8  # each of another architecture


def check_supernet(settings: SearchSettings) -> None:
    """Raises InputError where fewer candidates would be ranked than trials are wanted."""
    strategy = settings.strategy
    if not isinstance(strategy, SupernetSettings):
        return
    wanted = settings.trials - len(settings.enqueue)
    if strategy.candidates < wanted:
        raise InputError(
            f"strategy.candidates: {strategy.candidates} are ranked, and {wanted} of them would be trials; "
            f"allowed: {wanted} or more"
        )


def supernet_plan(settings: SearchSettings, data: Dataset) -> list[str]:
    """What a shared training and its ranking take, measured here; nothing for another strategy."""
    strategy = settings.strategy
    if not isinstance(strategy, SupernetSettings):
        return []
    training = replace(settings.training, validation_images=strategy.validation_images)
    paths = SpacePaths(settings.space, settings.budget)
    trainer = SupernetTrainer(paths, settings.proxy, data, training, seed=settings.seed)
    a_step, a_candidate = shared_pace(trainer, settings, data, images=strategy.rank_by == "objectives")
    whole = strategy.steps * a_step + strategy.candidates * a_candidate
    state = trainer.parameters * STATE_BYTES_PER_PARAMETER
    return [
        f"{millions(trainer.parameters)} shared parameters, by one worker before the first trial: "
        f"{strategy.steps} steps of {a_step:.3f} s, then {strategy.candidates} candidates of "
        f"{a_candidate:.1f} s ({strategy.rank_by}): about {duration(whole)}, {state / 1e6:.0f} MB",
        f"as many steps as {strategy.steps / settings.rungs[-1]:.1f} trials of full length",
    ]


def shared_pace(
    trainer: SupernetTrainer, settings: SearchSettings, data: Dataset, *, images: bool
) -> tuple[float, float]:
    """Seconds of a step, and of scoring one candidate, by images too if asked."""
    took, began = seconds_of_steps(trainer, STEPS_TIMED), time.perf_counter()
    trainer.validation_loss()
    if images:
        trainer.generate(scored_captions(settings, data), seed=settings.seed)
    return sum(took) / len(took), time.perf_counter() - began
