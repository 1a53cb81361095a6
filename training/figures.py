"""The figures that a plan is told."""

from __future__ import annotations

from space.shared.plain import InputError


def check_figures(throughput: float | None, **counts: int | None) -> None:
    """Raises InputError for figures of a plan that cannot be; `counts` by name, None: not said."""
    for name, value in counts.items():
        if value is not None and value < 1:
            raise InputError(f"{name}: {value} is not possible; allowed: 1 or more")
    if throughput is not None and not throughput > 0:
        raise InputError(f"throughput: {throughput:g} is not possible; allowed: above 0, or null")
