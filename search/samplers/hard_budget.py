"""Samplers of Optuna's under a hard budget: every trial of a study fits, and is a network that no other has.

They work in any study: `study.optimize(lambda trial: scores(space.sample(trial)))`. What is over budget never
becomes a trial, and no sampler hears of it.
"""

from __future__ import annotations

import abc
import difflib
import secrets
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from search.samplers.base import Proposal
from search.samplers.optuna_private import fixed_params
from search.samplers.repair import FirstAccepted
from search.samplers.studies import distributions, number_of, plain_params
from space.budget import Budget
from space.candidates import Candidate
from space.search_space import AnySpace, SearchSpace
from space.shared.plain import InputError, nearest
from space.shared.seeds import numbered_seed

CHOSEN = "mdsearch:chosen"  # study attributes in which trials say what they chose, before their params do
CHOSEN_AT_ONCE = 64  # trials that may choose at the same moment
MISSPELT = 0.8  # so alike are a choice and a name that was meant to be it


class BudgetedSampler(optuna.samplers.BaseSampler, abc.ABC):
    """Takes the first of its proposals that fits the budget and is new to the study: no trial of it has that
    network, complete, running, pruned, failed or enqueued, from this process or another."""

    def __init__(self, space: AnySpace, budget: Budget | None = None, *, seed: int | None = None) -> None:
        if not isinstance(space, SearchSpace):
            raise InputError(
                f"space: {space!r} is no space; allowed: mdsearch.Space, as of mdsearch.settings()"
            )
        self.space, self.budget = space, Budget() if budget is None else budget
        self.seed = _chance_seed() if seed is None else seed
        self.distributions, self._free, self._all = distributions(space), space.free(), dict(space.choices())
        self._first_accepted = FirstAccepted(self.space, self.budget)
        self._others = optuna.samplers.RandomSampler(seed)
        self._networks: dict[tuple[Any, ...], Candidate] = {}

    @abc.abstractmethod
    def proposals(self, study: optuna.Study, trial: FrozenTrial) -> Iterator[dict[str, Any]]:
        """Choices for a trial, the most wanted first, without end; each holds all that the space leaves free,
        and may hold parameters of the user's own beside."""

    # ------------------------------------------------------------------ what Optuna asks

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return dict(self.distributions)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Raises InputError where nothing that fits and is new was found."""
        if missing := [name for name in self.distributions if name not in search_space]:
            raise InputError(
                f"{missing[0]}: fixed outside of the sampler, which so cannot keep the budget; allowed: to "
                "pin it in the space, or to enqueue trials"
            )
        fixed, taken = self._fixed(trial), self._taken(study, trial)
        chosen = self._first_accepted.of(
            (self._proposal(params | fixed) for params in self.proposals(study, trial)),
            lambda proposal: self._may_be(proposal.architecture, taken, study, trial),
            lambda architecture: self._may_be(architecture, taken, study, trial),
            lambda index: numbered_seed(self.seed, f"repair {number_of(trial)}", index),
            fixed=list(fixed),
        )
        if chosen is None:
            raise InputError(
                f"budget: no network was found for trial {trial.number} that fits and is new"
                + (f", with {', '.join(sorted(fixed))} as enqueued" if fixed else "")
            )
        return chosen.attributes | chosen.params

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Parameters that are no choices of the space: at random."""
        return self._others.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Raises InputError for an enqueued trial that is over budget or not new; it stands as failed."""
        fixed = fixed_params(trial)
        try:
            self._check_enqueued(study, trial, fixed)
        except InputError as error:
            study.tell(trial.number, state=TrialState.FAIL)
            raise InputError(f"enqueued trial {trial.number}: {error}") from None

    def reseed_rng(self) -> None:
        self.seed = _chance_seed()
        self._others.reseed_rng()

    # ------------------------------------------------------------------ what fits and is new

    def network(self, params: dict[str, Any]) -> Candidate | None:
        """The network of a trial's parameters, kept; None where they are no point of the space."""
        plain = plain_params(self._free, params)
        if plain is None:
            return None
        key = tuple(plain.values())
        if key not in self._networks:
            self._networks[key] = self.space.architecture(self.space.pinned() | plain)
        return self._networks[key]

    def _proposal(self, params: dict[str, Any]) -> Proposal:
        """What is no choice of the space travels as an attribute."""
        free = {name: params[name] for name in self.distributions}
        others = {name: value for name, value in params.items() if name not in free}
        return Proposal.of(self.space, free, others)

    def _fixed(self, trial: FrozenTrial) -> dict[str, Any]:
        return {name: value for name, value in fixed_params(trial).items() if name in self.distributions}

    def _taken(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, list[FrozenTrial]]:
        """The other trials of the study by their networks, those that wait in its queue too."""
        taken: dict[str, list[FrozenTrial]] = {}
        for other in study.get_trials(deepcopy=False):
            if other.number != trial.number:
                network = self.network(fixed_params(other) | other.params)
                if network is not None:
                    taken.setdefault(network.id, []).append(other)
        return taken

    def _may_be(
        self, architecture: Candidate, taken: dict[str, Any], study: optuna.Study, trial: FrozenTrial
    ) -> bool:
        fits = architecture.id not in taken and not self.budget.excess(architecture)
        return fits and _is_ours(study, trial, architecture.id)

    def _check_enqueued(self, study: optuna.Study, trial: FrozenTrial, fixed: dict[str, Any]) -> None:
        for name, value in fixed.items():
            if name not in self._all:  # a parameter of the user's own, unless it is a choice misspelt
                if difflib.get_close_matches(name, self._all, n=1, cutoff=MISSPELT):
                    raise InputError(
                        f"{name}: no choice of the space, and too like one to be a parameter of your own; "
                        + nearest(name, self._all)
                    )
            elif value not in self._all[name]:
                raise InputError(f"{name}: {value!r} is not in the space; allowed: {list(self._all[name])}")
        network = self.network(fixed)
        if network is None:  # the rest is for the sampler to find
            return
        if excess := self.budget.excess(network):
            raise InputError(f"over budget: {'; '.join(excess)}")
        for other in self._taken(study, trial).get(network.id, []):
            if other.state not in (TrialState.FAIL, TrialState.WAITING):
                raise InputError(f"the network of trial {other.number}; allowed: each once")


class HardBudgetSampler(BudgetedSampler):
    """Any sampler of Optuna's under a hard budget: it is asked again, within one trial, until its proposal
    fits and is new. After 200 the last ones are shrunk until one does.

    Parameters of the user's own, beside the choices of the space, are left to the sampler.
    """

    def __init__(
        self,
        sampler: optuna.samplers.BaseSampler,
        space: AnySpace,
        budget: Budget | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        if not isinstance(sampler, optuna.samplers.BaseSampler):
            raise InputError(
                f"sampler: {sampler!r} is no sampler of Optuna's; allowed: optuna.samplers.TPESampler(), ..."
            )
        super().__init__(space, budget, seed=seed)
        self.sampler = sampler

    def proposals(self, study: optuna.Study, trial: FrozenTrial) -> Iterator[dict[str, Any]]:
        known = self.sampler.infer_relative_search_space(study, trial)
        while True:
            params = dict(self.sampler.sample_relative(study, trial, known))
            for name, distribution in self.distributions.items():
                if name not in params or params[name] not in self._free[name]:
                    params[name] = self.sampler.sample_independent(study, trial, name, distribution)
            yield params

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self.sampler.infer_relative_search_space(study, trial) | self.distributions

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        super().before_trial(study, trial)
        self.sampler.before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self.sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        super().reseed_rng()
        self.sampler.reseed_rng()

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.sampler})"


def _is_ours(study: optuna.Study, trial: FrozenTrial, network: str) -> bool:
    """Whether no other trial has just chosen this network: of several processes that choose the same, at
    least all but one see it, since each says what it chose before it looks what others did."""
    study.set_user_attr(f"{CHOSEN} {trial.number % CHOSEN_AT_ONCE}", [trial.number, network])
    chosen = [value for name, value in study.user_attrs.items() if name.startswith(CHOSEN)]
    return all(number == trial.number or other != network for number, other in chosen)


def _chance_seed() -> int:
    return secrets.randbits(32)
