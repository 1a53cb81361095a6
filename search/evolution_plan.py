"""Before anything starts: whether a network can evolve into what is asked, and what that would cost here."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from search.formats import cost_in_words, duration, millions
from search.settings import SearchSettings
from search.strategies.actions import Limit, fewest_actions
from search.strategies.evolve import EvolveSettings, limit_of
from search.supernet_plan import shared_pace
from space.architecture import Architecture
from space.budget import LATENCY, Budget
from space.image_budget import TOTAL
from space.paths import RobustPaths
from space.shared.plain import InputError
from space.subnet import Subnet
from training.data.dataset import Dataset
from training.state import STATE_BYTES_PER_PARAMETER
from training.supernet import SupernetTrainer


def check_evolution(settings: SearchSettings) -> None:
    """
    Raises:
        InputError: no bound, a list that does not cover the network, a budget that no number of actions
            reaches or not in so many rounds, or no trial left for what evolves.
    """
    strategy = settings.strategy
    if not isinstance(strategy, EvolveSettings):
        return
    if settings.trials <= len(settings.enqueue):
        raise InputError(
            f"trials: {settings.trials} are all enqueued architectures; needed: one more at least, for what "
            f"evolves; nearest: {len(settings.enqueue) + 1}"
        )
    network, limit = _started(settings, strategy)
    try:
        cost = cost_in_words(limit.cost_of(network.architecture), strategy.cost)
    except InputError as error:
        raise InputError(f"budget.prices: {error}") from None
    fewest, bound = _fewest(network, settings.budget), _bound_words(settings.budget, strategy, limit)
    if fewest is None:
        least = network.without(*network.stages)
        bounds = settings.budget.excess(least.architecture)
        raise InputError(
            f"{bound} is not reached from {cost}: without all {len(network.stages)} stages that can go it is "
            f"still {'; '.join(bounds)}; allowed: a wider budget"
        )
    if fewest > strategy.rounds * strategy.actions:
        needed, over = -(-fewest // strategy.rounds), settings.budget.excess(network.architecture)
        raise InputError(
            f"strategy.actions: {strategy.rounds} rounds of {strategy.actions} are too few: from {cost} to "
            f"the budget ({'; '.join(over)}) takes {fewest} at least; nearest: strategy.actions={needed}"
        )


def _fewest(network: Subnet, budget: Budget) -> int | None:
    """What each bound takes by itself, the most of them: together they may take more. None where one is not
    reached."""
    bounds = budget.bounds().items()
    each = [fewest_actions(network, partial(_amount, budget, name), bound) for name, bound in bounds]
    known = [count for count in each if count is not None]
    return max(known) if len(known) == len(each) else None


def _amount(budget: Budget, name: str, network: Architecture) -> float:
    return budget.alone(name).amounts(network)[name]


def _bound_words(budget: Budget, strategy: EvolveSettings, limit: Limit) -> str:
    """`budget.gmacs: 170`; of what a bound on an image leaves for an evaluation, by that one's name."""
    image = budget.image
    if strategy.cost == LATENCY and image is not None and limit.at_most == image.most_ms:
        return f"budget.{TOTAL}: {image.within.total_ms:g}, which leaves {limit.at_most:.4g} an evaluation,"
    return f"budget.{strategy.cost}: {limit.at_most:g}"


def evolution_plan(settings: SearchSettings, data: Dataset) -> list[str]:
    """What the rounds take, measured here; nothing for another strategy."""
    strategy = settings.strategy
    if not isinstance(strategy, EvolveSettings):
        return []
    network, limit = _started(settings, strategy)
    training = replace(settings.training, validation_images=strategy.validation_images)
    paths = RobustPaths(network, strategy.probability)
    trainer = SupernetTrainer(paths, settings.proxy, data, training, seed=settings.seed)
    a_step, a_stage = shared_pace(trainer, settings, data, images=strategy.rank_by == "clip")
    stages = len(network.stages) + 1
    whole = strategy.rounds * (strategy.steps * a_step + stages * a_stage)
    state = trainer.parameters * STATE_BYTES_PER_PARAMETER
    cost = cost_in_words(limit.cost(network), strategy.cost)
    return [
        f"from {cost} to {limit.at_most:g}{'' if strategy.cost == LATENCY else ', in the place of latency'}",
        f"{millions(trainer.parameters)} parameters, by one worker before the first trial: {strategy.rounds} "
        f"rounds of {strategy.steps} steps of {a_step:.3f} s and {stages} scores of {a_stage:.1f} s "
        f"({strategy.rank_by}): about {duration(whole)}, {state / 1e6:.0f} MB",
    ]


def _started(settings: SearchSettings, strategy: EvolveSettings) -> tuple[Subnet, Limit]:
    limit = limit_of(strategy, settings.budget)
    return Subnet.of(strategy.started(settings.space, settings.presets)), limit
