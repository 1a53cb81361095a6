"""Everything that reaches into Optuna's private parts (5.x): the file to look at when its version changes.

What each is reached for, and why nothing public does:

- `TPESampler._build_parzen_estimator`, `_compute_acquisition_func`: to value given networks, and to build the
  densities once for many proposals. Publicly TPE only samples.
- `GPSampler._optimize_acqf`, and the acquisition function that it is given: the same for the GP, whose
  search for an optimum takes seconds that a ranking does not need.
- The key of NSGA-II's generation: by it a study that is made anew says which trials are whose parents, for
  which NSGA-II has no argument. (Which generation a trial is of, it says publicly.)
- The key of an enqueued trial's parameters: a sampler has to know them before they are suggested, to price
  the whole network, and no public method names them.
- The tables of its SQLite storage (schema 12): its own way to add a trial takes 50 ms each; a search has
  thousands, and a killed driver must leave no half of one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import FrozenTrial

GENERATION = "NSGAIISampler:generation"  # where Optuna's NSGA-II keeps the generation of a trial
FIXED = "fixed_params"  # where Optuna keeps what was enqueued


class Remembers(Protocol):
    """A sampler that keeps its model. `searches` is false where the model is wanted and no proposal."""

    searches: bool

    @property
    def has_model(self) -> bool: ...

    def acquisition_values(self, choices: Sequence[dict[str, Any]]) -> np.ndarray:
        """(N,) how much each is wanted."""
        ...


class RememberingTPE(optuna.samplers.TPESampler):
    """Keeps the two densities that it built: good, l, and bad, g. They stay the same from sample to sample of
    one study, since what is told in between has failed, which TPE does not read."""

    searches = True

    @property
    def has_model(self) -> bool:
        return "densities" in self.__dict__

    def _build_parzen_estimator(
        self, study: Any, search_space: dict[str, BaseDistribution], trials: Any, handle_below: bool
    ) -> Any:
        built = self.__dict__.setdefault("built", {})
        key = (tuple(search_space), handle_below)
        if key not in built:
            built[key] = super()._build_parzen_estimator(study, search_space, trials, handle_below)
            self.densities = (search_space, built.get((key[0], True)), built.get((key[0], False)))
        return built[key]

    def acquisition_values(self, choices: Sequence[dict[str, Any]]) -> np.ndarray:
        """(N,) log l - log g of each."""
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

    @property
    def has_model(self) -> bool:
        return self.acquisition is not None

    def _optimize_acqf(self, acqf: Any, best_params: np.ndarray | None) -> np.ndarray:
        self.acquisition = acqf
        if not self.searches and best_params is not None:
            return best_params[0]
        return super()._optimize_acqf(acqf, best_params)

    def acquisition_values(self, choices: Sequence[dict[str, Any]]) -> np.ndarray:
        """(N,) log expected improvement of the hypervolume of each."""
        search_space = self.acquisition.search_space
        normalized = search_space.get_normalized_params([None] * len(choices), list(choices))
        found: np.ndarray = self.acquisition.eval_acqf_no_grad(normalized)
        return found


def fixed_params(trial: FrozenTrial) -> dict[str, Any]:
    """What was enqueued for a trial; empty where nothing was."""
    return dict(trial.system_attrs.get(FIXED, {}))


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
