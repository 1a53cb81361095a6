"""Everything that reaches into Optuna's private parts (5.x): the file to look at when its version changes.

What each is reached for, and why nothing public does:

- `TPESampler._build_parzen_estimator`, `_compute_acquisition_func`: to value given networks, and to build the
  densities once for many proposals. Publicly TPE only samples.
- `GPSampler._optimize_acqf`, and the acquisition function that it is given: the same for the GP, whose
  search for an optimum takes seconds that a ranking does not need.
- `Study._storage`, `Trial._trial_id` and the key of NSGA-II's generation: Optuna keeps the generation of a
  trial as a system attribute, which it shows of finished trials alone.
- `deepcopy` of distributions: a study copies each trial that it takes, and most of that time goes into these.
- The tables of its SQLite storage (schema 12): its own way to add a trial takes 50 ms each; a search has
  thousands, and a killed driver must leave no half of one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, distribution_to_json

GENERATION = "NSGAIISampler:generation"  # where Optuna's NSGA-II keeps the generation of a trial


class RememberingTPE(optuna.samplers.TPESampler):
    """Keeps the two densities that it built: good, l, and bad, g. They stay the same from sample to sample of
    one study, since what is told in between has failed, which TPE does not read."""

    def _build_parzen_estimator(
        self, study: Any, search_space: dict[str, BaseDistribution], trials: Any, handle_below: bool
    ) -> Any:
        built = self.__dict__.setdefault("built", {})
        key = (tuple(search_space), handle_below)
        if key not in built:
            built[key] = super()._build_parzen_estimator(study, search_space, trials, handle_below)
            self.densities = (search_space, built.get((key[0], True)), built.get((key[0], False)))
        return built[key]

    def acquisition_values(self, choices: Sequence[dict[str, Any]]) -> np.ndarray | None:
        """(N,) log l - log g of each; None before there is a model."""
        if "densities" not in self.__dict__:
            return None
        search_space, good, bad = self.densities
        samples = {
            name: np.array([distribution.to_internal_repr(params[name]) for params in choices])
            for name, distribution in search_space.items()
        }
        found: np.ndarray = self._compute_acquisition_func(samples, good, bad)
        return found


class RememberingGP(optuna.samplers.GPSampler):
    """Keeps the acquisition function that it maximised, or would have: the search for the optimum takes most
    of the time, and whoever wants to rank needs none."""

    acquisition: Any = None
    searches = True

    def _optimize_acqf(self, acqf: Any, best_params: np.ndarray | None) -> np.ndarray:
        self.acquisition = acqf
        if not self.searches and best_params is not None:
            return best_params[0]
        return super()._optimize_acqf(acqf, best_params)

    def acquisition_values(self, choices: Sequence[dict[str, Any]]) -> Any:
        """(N,) log expected improvement of the hypervolume of each; None before there is a model."""
        if self.acquisition is None:
            return None
        search_space = self.acquisition.search_space
        normalized = search_space.get_normalized_params([None] * len(choices), list(choices))
        return self.acquisition.eval_acqf_no_grad(normalized)


def generation_of(study: optuna.Study, trial: optuna.Trial) -> int | None:
    """The generation that NSGA-II gave to a trial that was just asked for; None by another sampler."""
    found = study._storage.get_trial_system_attrs(trial._trial_id)
    return found.get(GENERATION)


class Shared(dict[str, BaseDistribution]):
    """Distributions that studies share: nobody changes them, so none needs a copy."""

    def __deepcopy__(self, memo: Any) -> Shared:
        return self


# ---------------------------------------------------------------------- the storage of a study


@dataclass(frozen=True)
class StoredTrial:
    """A trial as Optuna's storage holds it. `values` are given for complete ones."""

    state: str
    started: str
    ended: str
    values: tuple[float, ...]
    params: Mapping[str, Any]
    user_attributes: Mapping[str, Any]
    system_attributes: Mapping[str, Any]


def stored_attributes(connection: sqlite3.Connection, key: str) -> list[Any]:
    """What the trials of a storage hold under a key of their user attributes."""
    query = "SELECT value_json FROM trial_user_attributes WHERE key = ?"
    return [json.loads(value) for (value,) in connection.execute(query, (key,))]


def insert_trials(
    connection: sqlite3.Connection,
    study_id: int,
    trials: Sequence[StoredTrial],
    distributions: Mapping[str, BaseDistribution],
) -> None:
    """Add trials to a study, in the transaction that the connection is in."""
    known = {name: (each, distribution_to_json(each)) for name, each in distributions.items()}
    (number,) = connection.execute("SELECT COUNT(*) FROM trials WHERE study_id = ?", (study_id,)).fetchone()
    for place, trial in enumerate(trials, number):
        key = connection.execute(
            "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete) "
            "VALUES (?, ?, ?, ?, ?)",
            (place, study_id, trial.state, trial.started, trial.ended),
        ).lastrowid
        connection.executemany(
            "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?, ?, ?, 'FINITE')",
            [(key, objective, value) for objective, value in enumerate(trial.values)],
        )
        connection.executemany(
            "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) "
            "VALUES (?, ?, ?, ?)",
            [
                (key, name, known[name][0].to_internal_repr(value), known[name][1])
                for name, value in trial.params.items()
            ],
        )
        for table, attributes in (("user", trial.user_attributes), ("system", trial.system_attributes)):
            connection.executemany(
                f"INSERT INTO trial_{table}_attributes (trial_id, key, value_json) VALUES (?, ?, ?)",
                [(key, name, json.dumps(value)) for name, value in attributes.items()],
            )
