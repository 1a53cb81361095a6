"""Where trials stand among each other, from 0 (worst) to 1, stopped and running ones too.

At the first rung trials take places by their ranks summed over the objectives. At each further rung those who
reached it exchange the places that they hold, to be in the order of their scores there. So a trial's latest
scores count, each is compared only with scores of its own rung, and a stopped one stands where it was left.
"""

from __future__ import annotations

from collections.abc import Sequence

from search.statistics.curves import Curve
from search.statistics.pareto import rank_sums


def standings(curves: Sequence[Curve]) -> list[float | None]:
    """In the order of the curves; None for one without scores. Of equals the earlier stands lower."""
    places: dict[int, float] = {}
    for step in sorted({step for curve in curves for step in curve.steps}):
        here = [(index, point) for index, curve in enumerate(curves) if (point := curve.at(step)) is not None]
        sums = rank_sums([point for _, point in here])
        rising = [here[place][0] for place in sorted(range(len(here)), key=lambda place: -sums[place])]
        held = [places.get(index, (rank + 0.5) / len(here)) for rank, index in enumerate(rising)]
        places |= zip(rising, sorted(held), strict=True)
    return [places.get(index) for index in range(len(curves))]
