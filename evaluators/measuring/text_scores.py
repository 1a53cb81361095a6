"""CLIP scores and HPS from the cosines of images and captions, the latter for each style of prompts too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from evaluators.measuring.measurements import Measurements
from evaluators.metrics.hps import HPS_SCALE, groups_note
from evaluators.metrics.intervals import LEAST_SAMPLES, bootstrap_of_mean
from evaluators.protocols.protocol import HPS, TEXT_METRICS, EvaluationProtocol, NetworkSpec
from evaluators.protocols.score import Score, score_name, text_score_name


def text_scores(
    measured: Measurements, protocol: EvaluationProtocol, styles: Sequence[str], intervals: bool
) -> Iterator[Score]:
    """Every one that the protocol asks for.

    Args:
        styles: of every sample by its number, for scores of each; empty where there are none.
    """
    for metric in TEXT_METRICS:
        for spec in protocol.text_networks(metric) if metric in protocol.metrics else ():
            yield from _of_network(measured, protocol, spec, styles, intervals)


def image_values(measured: Measurements, spec: NetworkSpec) -> np.ndarray:
    """(N,) of which a score by this network is the mean."""
    return text_scale(spec) * measured.cosines[spec.name].values[:, 0]


def text_scale(spec: NetworkSpec) -> float:
    """What a cosine is multiplied by."""
    return HPS_SCALE if spec.text_metric == HPS else 1.0


def _of_network(
    measured: Measurements,
    protocol: EvaluationProtocol,
    spec: NetworkSpec,
    styles: Sequence[str],
    intervals: bool,
) -> Iterator[Score]:
    name, values, cut = text_score_name(spec), image_values(measured, spec), _cut(measured, spec.name)
    if spec.text_metric != HPS:
        yield _score(name, values, protocol, intervals, cut)
        return
    yield _score(name, values, protocol, intervals, cut if styles else (*cut, *groups_note(values)))
    of_samples = np.array([styles[index] for index in measured.indices] if styles else [])
    for style in dict.fromkeys(of_samples.tolist()):
        some = values[of_samples == style]
        yield _score(score_name(name, style), some, protocol, intervals, groups_note(some))


def _score(
    name: str, values: np.ndarray, protocol: EvaluationProtocol, intervals: bool, notes: tuple[str, ...]
) -> Score:
    interval = bootstrap_of_mean(values) if intervals and len(values) >= LEAST_SAMPLES else None
    return Score(name, float(values.mean()), interval, protocol, len(values), notes)


def _cut(measured: Measurements, name: str) -> tuple[str, ...]:
    cut = measured.too_long[name]
    return (f"{cut:,} of {len(measured):,} captions were longer than the text tower, and cut",) if cut else ()
