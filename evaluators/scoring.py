"""From merged measurements and a reference to scores, each with its interval and protocol."""

from __future__ import annotations

from evaluators.measure import Measurements
from evaluators.protocol import Protocol
from evaluators.reference import Reference
from evaluators.score import Score


def scores(
    measured: Measurements, reference: Reference | None, protocol: Protocol, *, intervals: bool = True
) -> dict[str, Score]:
    """Every score that the protocol asks for, by name: its metrics on each of its networks.

    Args:
        measured: all of the protocol's samples, merged.
        reference: None where no metric of the protocol needs one (CLIP score alone).
        intervals: False leaves them out, which is many times faster.

    Raises:
        InputError: another number of samples than the protocol's, other weights than its digests say, or a
            reference without what a metric needs.
    """
    raise NotImplementedError
