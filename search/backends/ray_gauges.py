"""Progress as Ray metrics: `ray_mdsearch_*` at the node's metrics port and on the dashboard."""

from __future__ import annotations

from ray.util.metrics import Gauge

from search.objectives import Objectives
from search.runs.record import History


class Gauges:
    """Of what a search's record says."""

    def __init__(self, objectives: Objectives) -> None:
        self.objectives = objectives
        self.trials = Gauge("mdsearch_trials", "Trials of the search by state", tag_keys=("state",))
        self.best = Gauge("mdsearch_best_score", "Best score of a complete trial", tag_keys=("score",))
        self.saved = Gauge("mdsearch_steps_saved", "Training steps saved by stopping trials early")

    def __call__(self, history: History) -> None:
        states = [trial.state for trial in history.trials]
        for state in ("running", "complete", "halted", "failed"):
            self.trials.set(states.count(state), tags={"state": state})
        complete = [trial for trial in history.trials if trial.state == "complete"]
        for objective in self.objectives:
            scores = [score for trial in complete if (score := trial.score(objective.name)) is not None]
            if scores:
                self.best.set(objective.best(scores), tags={"score": objective.name})
        stopped = [trial for trial in history.trials if trial.state == "halted"]
        self.saved.set(sum(trial.steps - trial.last_step for trial in stopped))
