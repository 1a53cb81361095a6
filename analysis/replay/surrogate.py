"""Learning curves of networks that nobody trained: a model of recorded ones, for replay and planning only.

A Gaussian process a score and a rung, over the choices of the space and the cost of the proxy, in log FID
and in CLIP score. What it says is never a result: whatever uses it says so, with `accuracy` beside it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.replay.coordinates import Coordinates
from analysis.replay.table import RecordedRun, RecordedTable
from search.runs.record import Rung
from search.runs.scores import all_of
from search.strategy import Job, Report
from space.architecture import Architecture
from space.candidates import as_unet
from space.prices.macs import price
from space.proxy import narrow
from space.shared.plain import InputError
from space.shared.seeds import numbered_seed

LEAST_ARCHITECTURES = 8


@dataclass(frozen=True)
class Accuracy:
    """How well the surrogate predicts what it has not seen: rank correlation (Spearman) of leave-one-out
    predictions with the recorded scores at the last rung."""

    architectures: int
    correlations: dict[str, float]  # by the objectives' labels

    def sentence(self) -> str:
        found = ", ".join(f"{label} {correlation:.2f}" for label, correlation in self.correlations.items())
        return (
            f"surrogate: Gaussian processes over {self.architectures} recorded architectures; leave-one-out "
            f"rank correlation at the last rung: {found}"
        )


class Surrogate:
    """Fitted to the runs of a table; the same for the same table.

    Raises:
        InputError: under `LEAST_ARCHITECTURES` recorded architectures that are points of the space.
    """

    def __init__(self, table: RecordedTable) -> None:
        self.table, self.coordinates = table, Coordinates(table.space)
        self.count = len(table.objectives)
        runs = [run for found in table.runs.values() for run in found if self._is_point(run.architecture)]
        distinct = {run.architecture.id for run in runs}
        if len(distinct) < LEAST_ARCHITECTURES:
            raise InputError(
                f"a surrogate needs {LEAST_ARCHITECTURES} recorded architectures of full length or more; "
                f"there are {len(distinct)}"
            )
        inputs = np.stack([self._features(run.architecture) for run in runs])
        self._middle, self._spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-9
        targets = np.stack([self._scores(run.rungs) for run in runs])  # (N, rungs x scores)
        self._models, left_out = _fit((inputs - self._middle) / self._spread, targets)
        self.residuals = targets - left_out  # (N, rungs x scores): whole curves, since rungs err together
        last = zip(targets.T[-self.count :], left_out.T[-self.count :], strict=True)
        correlations = [_rank_correlation(*pair) for pair in last]
        labels = [objective.label for objective in table.objectives]
        self.accuracy = Accuracy(len(distinct), dict(zip(labels, correlations, strict=True)))
        self._pace = _pace([(self._proxy_gmacs(run.architecture), run) for run in runs])

    def run(self, job: Job, seed: int) -> Iterator[Report]:
        """A made-up curve: the prediction, and one recorded run's error around it, chosen by `seed`."""
        chance = random.Random(numbered_seed(seed, f"surrogate {job.architecture.id}", job.seed))
        error = self.residuals[chance.randrange(len(self.residuals))]
        curve = self.predict(as_unet(job.architecture)) + error
        yield from self._reports(job, curve)

    def filled(self, run: RecordedRun) -> RecordedRun:
        """A run that was stopped early, its later rungs as predicted, shifted by its error so far."""
        predicted = self.predict(run.architecture)
        known = self._scores(run.rungs)
        error = known[-self.count :] - predicted[len(known) - self.count : len(known)]
        curve = np.concatenate(
            [known, predicted[len(known) :] + np.resize(error, len(predicted) - len(known))]
        )
        job = Job("", "search", "", run.architecture, run.seed, self.table.rungs)
        made = [
            Rung(report.step, report.scores, report.seconds, "continue")
            for report in self._reports(job, curve)
        ]
        return replace(run, rungs=(*run.rungs, *made[len(run.rungs) :]), origin=f"{run.origin} + surrogate")

    def filled_table(self) -> RecordedTable:
        """The table with its stopped runs among the others, their missing rungs predicted."""
        runs = dict(self.table.runs)
        for run in self.table.stopped:
            if run.architecture.id not in runs and self._is_point(run.architecture):
                runs[run.architecture.id] = (self.filled(run),)
        return replace(self.table, runs=runs, stopped=())

    def predict(self, architecture: Architecture) -> np.ndarray:
        """(rungs x objectives,): log FID and CLIP at each rung in turn, as on each one's even scale."""
        scaled = (self._features(architecture) - self._middle) / self._spread
        return np.array([model.predict(scaled[None])[0] for model in self._models])

    # ------------------------------------------------------------------ inside

    def _reports(self, job: Job, curve: np.ndarray) -> Iterator[Report]:
        slope, start, rest = self._pace
        a_step = max(slope * self._proxy_gmacs(as_unet(job.architecture)) + start, 0.0)
        before = 0
        for place, step in enumerate(self.table.rungs):
            if step in job.rungs:
                ends = curve[self.count * place : self.count * (place + 1)]
                here = zip(self.table.objectives, ends, strict=True)
                scores = {objective.name: objective.from_even(float(value)) for objective, value in here}
                yield Report(step, scores, {"training": a_step * (step - before), "evaluation": rest})
                before = step

    def _scores(self, rungs: Sequence[Rung]) -> np.ndarray:
        points = [all_of(rung.scores, self.table.objectives) for rung in rungs]
        return np.array([score for point in points for score in point.even])

    def _features(self, architecture: Architecture) -> np.ndarray:
        cost = price(narrow(architecture, self.table.proxy))
        params = self.table.space.encode(architecture)
        return np.append(self.coordinates(params), [math.log(cost.parameters), math.log(cost.macs)])

    def _proxy_gmacs(self, architecture: Architecture) -> float:
        return price(narrow(architecture, self.table.proxy)).gmacs

    def _is_point(self, architecture: Architecture) -> bool:
        try:
            self.table.space.encode(architecture)
        except InputError:
            return False
        return True


def _fit(inputs: np.ndarray, targets: np.ndarray) -> tuple[list, np.ndarray]:
    """A model a column, and its leave-one-out predictions (N, columns)."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    models, left_out = [], []
    for column in targets.T:
        kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(5.0, (0.5, 100.0)) + WhiteKernel(0.3, (1e-3, 10.0))
        model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a bound reached says: all noise, or none
            model.fit(inputs, column)
        scaled = (column - column.mean()) / (column.std() or 1.0)
        inverse = np.linalg.inv(model.kernel_(inputs))
        error = inverse @ scaled / np.diag(inverse)  # Rasmussen and Williams, eq. 5.12
        left_out.append(column - error * (column.std() or 1.0))
        models.append(model)
    return models, np.stack(left_out, axis=1)


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)


def _pace(runs: Sequence[tuple[float, RecordedRun]]) -> tuple[float, float, float]:
    """Seconds of training a step as slope * proxy GMACs + start; and seconds of an evaluation."""
    gmacs = np.array([cost for cost, _ in runs])
    a_step = np.array(
        [sum(r.seconds.get("training", 0.0) for r in run.rungs) / run.rungs[-1].step for _, run in runs]
    )
    evaluation = [
        sum(seconds for name, seconds in rung.seconds.items() if name != "training")
        for _, run in runs
        for rung in run.rungs
    ]
    slope, start = np.polyfit(gmacs, a_step, 1) if np.ptp(gmacs) > 0 else (0.0, a_step.mean())
    return float(slope), float(start), float(np.median(evaluation))
