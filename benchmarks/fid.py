"""FID beside SciPy's square root, and how often intervals hold a known truth: `python -m benchmarks.fid`.

    python -m benchmarks.fid          both, about ten minutes on one core
    python -m benchmarks.fid speed    2048 features, as Inception has: ours and sqrtm's in turns
    python -m benchmarks.fid coverage

Prints Markdown tables for docs/evaluators.md.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

from evaluators.metrics.fid import Moments, frechet_distance
from evaluators.metrics.fid_intervals import distances
from evaluators.metrics.intervals import bootstrap_of_mean
from evaluators.metrics.kid import kernel_distance
from evaluators.metrics.precision_recall import precision_recall

WIDTH, REPEATS = 2048, 3


def main(what: list[str]) -> None:
    with threadpool_limits(1):
        if not what or "speed" in what:
            speed()
        if not what or "coverage" in what:
            coverage()


# ---------------------------------------------------------------------- speed


def speed() -> None:
    print(
        f"| samples | ours, s | SciPy's sqrtm, s | times as fast | difference, of the traces |\n{'|---' * 5}|"
    )
    for count in (5000, 1500):
        rng = np.random.default_rng(count)
        a, b = (Moments.of(feature_like(count, rng)) for _ in range(2))
        ours, theirs = [], []
        for _ in range(REPEATS):
            ours.append(seconds(frechet_distance, fresh(a), fresh(b)))
            theirs.append(seconds(by_sqrtm, a, b))
        traces = np.trace(a.covariance) + np.trace(b.covariance)
        difference = abs(frechet_distance(a, b) - by_sqrtm(a, b)) / traces
        ratio = statistics.median(theirs) / statistics.median(ours)
        print(
            f"| {count} | {spread(ours)} | {spread(theirs)} | {ratio:.1f} | {difference:.1e} |",
            flush=True,
        )


def feature_like(count: int, rng: np.random.Generator) -> np.ndarray:
    """Activations after a ReLU, with a spectrum that falls over four decades."""
    mixed = rng.standard_normal((count, WIDTH)) * np.logspace(0, -2, WIDTH)
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((WIDTH, WIDTH)))[0]
    return np.maximum(0.1 + mixed @ rotation, 0)


def fresh(moments: Moments) -> Moments:
    """Without the factor that a distance leaves behind."""
    return Moments.from_arrays(moments.arrays())


def by_sqrtm(a: Moments, b: Moments) -> float:
    root = scipy.linalg.sqrtm(a.covariance @ b.covariance)
    shift = a.mean - b.mean
    return float(shift @ shift + np.trace(a.covariance + b.covariance) - 2 * np.trace(root.real))


def seconds(distance: Callable[[Moments, Moments], float], a: Moments, b: Moments) -> float:
    start = time.perf_counter()
    distance(a, b)
    return time.perf_counter() - start


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


# ---------------------------------------------------------------------- coverage


def coverage() -> None:
    """Each score of samples generated again and again; its truth known, or its mean over all sets."""
    print(f"\n| score | samples, features | sets | truth held by the 95 % interval |\n{'|---' * 4}|")
    for width, count, sets in (
        (16, 1000, 1000),
        (64, 1000, 300),
        (64, 512, 300),
        (64, 100, 300),
        (64, 32, 300),
    ):
        world = World(width)
        rng = np.random.default_rng(width)
        found = [distances(world.sample(count, rng), world.reference) for _ in range(sets)]
        mean = float(np.mean([one.fid for one in found]))
        of_n = [holds(one.fid_interval, mean) for one in found]
        size = f"{count}, {width}"
        print(f"| FID (truth: the mean of all sets, {mean:.3g}) | {size} | {sets} | {np.mean(of_n):.3f} |")
        if found[0].infinity_interval is not None:
            beyond = [holds(one.infinity_interval, world.truth) for one in found]
            label = f"FID of endlessly many (truth: closed form, {world.truth:.3g})"
            print(f"| {label} | {size} | {sets} | {np.mean(beyond):.3f} |", flush=True)
    others()


def others(width: int = 16, count: int = 400, sets: int = 300) -> None:
    """KID, precision and recall against fixed references; the mean of a skewed score as CLIP's."""
    world, rng = World(width), np.random.default_rng(7)
    real = np.random.default_rng(8).standard_normal((count, width))
    found: dict[str, list[tuple[float, object]]] = {
        "KID": [],
        "precision": [],
        "recall": [],
        "CLIP score": [],
    }
    for _ in range(sets):
        samples = world.sample(count, rng)
        found["KID"].append(kernel_distance(samples, real, subsets=20, subset_size=200))
        both = precision_recall(samples, real)
        found["precision"].append((both.precision, both.precision_interval))
        found["recall"].append((both.recall, both.recall_interval))
        values = rng.beta(6, 14, count)
        found["CLIP score"].append((values.mean(), bootstrap_of_mean(values)))
    for name, scores in found.items():
        mean = float(np.mean([value for value, _ in scores]))
        held = np.mean([holds(interval, mean) for _, interval in scores])
        print(
            f"| {name} (truth: the mean of all sets, {mean:.3g}) | {count}, {width} | {sets} | {held:.3f} |"
        )


class World:
    """Gaussian samples of a known distance from a Gaussian reference."""

    def __init__(self, width: int) -> None:
        rng = np.random.default_rng(width)
        mixed, other = rng.standard_normal((2, width, width)) / np.sqrt(width)
        real = mixed @ mixed.T + 0.1 * np.eye(width)
        covariance = real + 0.3 * other @ other.T
        self._mean, self._root = 0.3 * np.eye(width)[0], np.linalg.cholesky(covariance)
        self.reference = exactly(np.zeros(width), real)
        self.truth = frechet_distance(exactly(self._mean, covariance), self.reference)

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        return self._mean + rng.standard_normal((count, len(self._mean))) @ self._root.T


def exactly(mean: np.ndarray, covariance: np.ndarray) -> Moments:
    return Moments.from_arrays({"count": np.array(10**9), "mean": mean, "scatter": covariance * (10**9 - 1)})


def holds(interval: object, truth: float) -> bool:
    low, high = interval.low, interval.high  # type: ignore[attr-defined]
    return bool(low <= truth <= high)


if __name__ == "__main__":
    main(sys.argv[1:])
