"""Networks within 300 M parameters and 120 GMACs, by our sampler and by TPE: few GMACs, much cross-attention.

What scores a network here takes no training; put your own in its place.
"""

from __future__ import annotations

import optuna

from mdsearch import Budget, HardBudgetSampler, LinearSampler, price, settings

EXAMPLE_SPACE = settings().space  # of the default search; `Space` makes others
EXAMPLE_BUDGET = Budget(parameters_millions=300, gmacs=120)


def cost_and_attention(trial: optuna.Trial) -> tuple[float, float]:
    network = EXAMPLE_SPACE.sample(trial)
    return price(network).gmacs, float(network.cross_attention_layers)


def example_studies(trials: int) -> list[optuna.Study]:
    samplers = [
        LinearSampler(EXAMPLE_SPACE, EXAMPLE_BUDGET, seed=0),
        HardBudgetSampler(
            optuna.samplers.TPESampler(multivariate=True, seed=0), EXAMPLE_SPACE, EXAMPLE_BUDGET, seed=0
        ),
    ]
    found = []
    for sampler in samplers:
        study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)
        study.optimize(cost_and_attention, n_trials=trials)
        found.append(study)
    return found


if __name__ == "__main__":
    for study in example_studies(trials=20):
        for trial in study.best_trials:
            print(study.sampler, trial.values, EXAMPLE_SPACE.sample(optuna.trial.FixedTrial(trial.params)))
