"""From merged measurements and a reference to scores, each with its interval and protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from evaluators.measuring.measurements import Measurements
from evaluators.measuring.reference import Reference
from evaluators.measuring.text_scores import text_scores
from evaluators.metrics.fid import Moments, too_few
from evaluators.metrics.fid_intervals import SAMPLES_A_FEATURE, distances
from evaluators.metrics.kid import kernel_distance
from evaluators.metrics.precision_recall import precision_recall
from evaluators.protocols.protocol import TEXT_METRICS, EvaluationProtocol, NetworkSpec
from evaluators.protocols.score import ConfidenceInterval, Score, score_name
from space.shared.plain import InputError

FEATURE_ROUNDING = 1e-6  # of the largest feature: by less than this equal images may differ


def scores(
    measured: Measurements,
    reference: Reference | None,
    protocol: EvaluationProtocol,
    *,
    intervals: bool = True,
    styles: Sequence[str] = (),
) -> dict[str, Score]:
    """Every score that the protocol asks for, by name: its metrics on each of its networks.

    Args:
        measured: all of the protocol's samples, merged.
        reference: None where no metric of the protocol needs one (CLIP score and HPS).
        styles: of the prompt of every sample, by its number; HPS is then of each style too.
        intervals: False leaves them out, which is many times faster.

    Raises:
        InputError: another number of samples than the protocol's, a digest that is not filled in or is not
            that of the measurements, a reference without what a metric needs, or samples that are all alike.
    """
    _check(measured, protocol)
    found: dict[str, Score] = {}
    for spec in protocol.features if set(protocol.metrics) - set(TEXT_METRICS) else ():
        if reference is None:
            raise InputError(f"reference: missing; {', '.join(protocol.metrics)} need one")
        assert spec.digest is not None
        reference.check(spec.name, spec.digest)
        _check_count(reference, protocol, spec)
        notes = _notes(measured, reference, protocol, spec)
        for metric, value, interval in _of_features(measured, reference, protocol, spec, intervals):
            name = score_name(metric, spec.name)
            said = notes if metric.startswith("fid") else ()
            found[name] = Score(name, value, interval, protocol, len(measured), said)
    for score in text_scores(measured, protocol, styles, intervals):
        found[score.name] = score
    return found


def _of_features(
    measured: Measurements,
    reference: Reference,
    protocol: EvaluationProtocol,
    spec: NetworkSpec,
    intervals: bool,
) -> Iterator[tuple[str, float, ConfidenceInterval | None]]:
    samples, wanted = measured.features[spec.name].values, set(protocol.metrics)
    moments = reference.moments[spec.name]
    _check_spread(spec.name, samples, moments)
    if wanted & {"fid", "fid_infinity"}:
        found = distances(samples, moments, intervals, line="fid_infinity" in wanted)
        if "fid" not in wanted and found.fid_infinity is None:
            raise InputError(f"metrics: fid_infinity takes {_for_the_line(samples.shape[1]):,} samples here")
        if "fid" in wanted:
            yield "fid", found.fid, found.fid_interval
        if "fid_infinity" in wanted and found.fid_infinity is not None:
            yield "fid_infinity", found.fid_infinity, found.infinity_interval
    if "kid" in wanted:
        value, interval = kernel_distance(samples, _features(reference, spec, "kid"), intervals=intervals)
        yield "kid", value, interval
    if wanted & {"precision", "recall"}:
        both = precision_recall(samples, _features(reference, spec, "precision, recall"), intervals=intervals)
        if "precision" in wanted:
            yield "precision", both.precision, both.precision_interval
        if "recall" in wanted:
            yield "recall", both.recall, both.recall_interval


def _features(reference: Reference, spec: NetworkSpec, metric: str) -> np.ndarray:
    if spec.name not in reference.features:
        raise InputError(
            f"reference: holds only moments of {spec.name}; {metric} needs its features, so give the images"
        )
    return reference.features[spec.name]


# ---------------------------------------------------------------------- what is refused, and what is said


def _check(measured: Measurements, protocol: EvaluationProtocol) -> None:
    if len(measured) != protocol.samples:
        raise InputError(
            f"samples: {len(measured):,} measured; this protocol scores {protocol.samples:,}, and scores of "
            "other counts would not compare"
        )
    for spec in (*protocol.features, *protocol.clips):
        found = measured.digests.get(spec.name)
        if spec.digest is None or spec.digest != found:
            raise InputError(
                f"{spec.name}: measured by weights {found}, where the protocol says {spec.digest}"
            )


def _check_count(reference: Reference, protocol: EvaluationProtocol, spec: NetworkSpec) -> None:
    count = reference.moments[spec.name].count
    wanted = protocol.reference.images if protocol.reference else 0
    if wanted is not None and count != wanted:
        raise InputError(f"reference: {count:,} images; this protocol compares with {wanted:,}")


def _check_spread(name: str, samples: np.ndarray, reference: Moments) -> None:
    """A set of one image over and over has no distribution to compare."""
    if np.ptp(samples, axis=0).max() <= FEATURE_ROUNDING * np.abs(samples).max():
        raise InputError(
            f"{name}: all {len(samples):,} samples have equal features; are the images constant?"
        )
    widest = np.sqrt(np.diagonal(reference.covariance).max())
    if widest <= FEATURE_ROUNDING * np.abs(reference.mean).max():
        raise InputError(f"{name}: all references have equal features; are the images constant?")


def _notes(
    measured: Measurements, reference: Reference, protocol: EvaluationProtocol, spec: NetworkSpec
) -> tuple[str, ...]:
    rows = measured.features[spec.name]
    notes = too_few(len(rows), reference.moments[spec.name])
    needed = _for_the_line(rows.width)
    if "fid_infinity" in protocol.metrics and len(rows) < needed:
        notes.append(f"fid_infinity left out: it takes {needed:,} samples of {rows.width:,} features")
    return tuple(notes)


def _for_the_line(width: int) -> int:
    return SAMPLES_A_FEATURE * width
