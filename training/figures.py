"""The figures that a plan is told."""

from __future__ import annotations

from space.shared.plain import InputError


def check_figures(accelerators: int, throughput: float | None, *expected_images: int) -> None:
    """Raises InputError for figures of a plan that cannot be."""
    expected = (("expected_images", count) for count in expected_images)
    for name, value in (("accelerators", accelerators), *expected):
        if value < 1:
            raise InputError(f"{name}: {value} is not possible; allowed: 1 or more")
    if throughput is not None and not throughput > 0:
        raise InputError(f"throughput: {throughput:g} is not possible; allowed: above 0, or null")
