"""Before anything starts: whether a network can evolve into what is asked, and what that would cost here."""

from __future__ import annotations

from dataclasses import replace

from search.formats import duration, millions
from search.settings import SearchSettings
from search.strategies.actions import Limit, fewest_actions
from search.strategies.evolve import EvolveSettings, Pricing
from search.supernet_plan import shared_pace
from space.paths import RobustPaths
from space.shared.plain import InputError
from space.subnet import Subnet
from training.data.dataset import Dataset
from training.state import STATE_BYTES_PER_PARAMETER
from training.supernet import SupernetTrainer


def check_evolution(settings: SearchSettings) -> None:
    """
    Raises:
        InputError: no cost, a list that does not cover the network, a cost that no number of actions reaches
            or not in so many rounds, or no trial left for what evolves.
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
        cost = limit.cost_of(network.architecture)
    except InputError as error:
        raise InputError(f"strategy.prices: {error}") from None
    unit, fewest = strategy.unit, fewest_actions(network, limit)
    if fewest is None:
        least = network.without(*network.stages)
        bounds = "".join(f"; {bound}" for bound in settings.budget.excess(least.architecture))
        raise InputError(
            f"strategy.at_most: {strategy.at_most:g} {unit} is not reached: without all "
            f"{len(network.stages)} stages that can go, {limit.cost(least) or cost:.4g} of {cost:.4g} are "
            f"left{bounds}; nearest: more than that"
        )
    if fewest > strategy.rounds * strategy.actions:
        needed, within = -(-fewest // strategy.rounds), " within the budget" * bool(settings.budget.bounds())
        raise InputError(
            f"strategy.actions: {strategy.rounds} rounds of {strategy.actions} are too few: from {cost:.4g} "
            f"to {strategy.at_most:g} {unit}{within} takes {fewest} at least; nearest: "
            f"strategy.actions={needed}"
        )


def evolution_plan(settings: SearchSettings, data: Dataset) -> list[str]:
    """What the rounds take, measured here; nothing for another strategy."""
    strategy = settings.strategy
    if not isinstance(strategy, EvolveSettings):
        return []
    (network, limit), pricing = _started(settings, strategy), Pricing.of(strategy)
    training = replace(settings.training, validation_images=strategy.validation_images)
    paths = RobustPaths(network, strategy.probability)
    trainer = SupernetTrainer(paths, settings.proxy, data, training, seed=settings.seed)
    a_step, a_stage = shared_pace(trainer, settings, data, images=strategy.rank_by == "clip")
    stages = len(network.stages) + 1
    whole = strategy.rounds * (strategy.steps * a_step + stages * a_stage)
    state = trainer.parameters * STATE_BYTES_PER_PARAMETER
    by = pricing.said.get("list", "a stand-in for latency: no price list")
    return [
        f"from {limit.cost_of(network.architecture):.4g} to {strategy.at_most:g} {strategy.unit} ({by})",
        f"{millions(trainer.parameters)} parameters, by one worker before the first trial: {strategy.rounds} "
        f"rounds of {strategy.steps} steps of {a_step:.3f} s and {stages} scores of {a_stage:.1f} s "
        f"({strategy.rank_by}): about {duration(whole)}, {state / 1e6:.0f} MB",
    ]


def _started(settings: SearchSettings, strategy: EvolveSettings) -> tuple[Subnet, Limit]:
    pricing, budget = Pricing.of(strategy), settings.budget
    assert strategy.at_most is not None
    network = Subnet.of(strategy.started(settings.space, settings.presets))
    return network, Limit(pricing.cost_of, strategy.at_most, lambda a: not budget.excess(a))
