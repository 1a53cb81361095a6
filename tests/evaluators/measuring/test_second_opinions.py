"""Our scores beside clean-fid's and torchmetrics' from the same features, and what counts as agreement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evaluators.measuring import second_opinions
from evaluators.measuring.measurements import Measurements
from evaluators.measuring.reference import Reference
from evaluators.measuring.rows import SampleRows
from evaluators.measuring.second_opinions import feature_opinions, opinions_of
from evaluators.metrics.fid import Moments, frechet_distance
from evaluators.metrics.kid import kernel_distance
from evaluators.networks.features import Networks, RandomConv, RandomConvSettings
from evaluators.protocols.score import Score
from evaluators.testing import protocol_of
from space.shared.second_opinion import SecondOpinion, disagreements

WIDTH = 10


def rows_of(count: int, seed: int, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((count, WIDTH)) @ np.random.default_rng(9).standard_normal((WIDTH, WIDTH))
    return (scale * mixed + 1).astype(np.float32)


def measured_of(features: np.ndarray) -> Measurements:
    rows = SampleRows(WIDTH)
    rows.add(range(len(features)), features)
    return Measurements({"net": rows}, {}, {"net": "0" * 16})


def opinions_on(
    samples: np.ndarray, real: np.ndarray, **scores: float
) -> dict[tuple[str, str], SecondOpinion]:
    measured, reference = measured_of(samples), Reference.of(measured_of(real))
    protocol = protocol_of(Networks((RandomConv(RandomConvSettings()),)), 2, 2, 16)
    made = {name: Score(name, value, None, protocol, len(samples)) for name, value in scores.items()}
    found = list(feature_opinions(measured, reference, made))
    assert len(found) == opinions_of(measured, reference)
    return {(opinion.what, opinion.by): opinion for opinion in found}


def test_both_agree_on_fid_and_kid() -> None:
    samples, real = rows_of(80, 1), rows_of(60, 2, 1.2)
    found = opinions_on(samples, real)
    fid = frechet_distance(Moments.of(samples), Moments.of(real))
    kid, _ = kernel_distance(samples[:60], real, subsets=1, subset_size=60, intervals=False)
    assert set(found) == {
        (what, by)
        for what in ("fid_net", "kid_net, one subset of 60")
        for by in ("clean-fid", "torchmetrics")
    }
    for (what, _), opinion in found.items():
        assert opinion.agrees is True
        assert opinion.ours == pytest.approx(fid if what == "fid_net" else kid, rel=1e-12)
        assert opinion.theirs == pytest.approx(opinion.ours, rel=1e-5)


@pytest.mark.parametrize("wrong_by", [1.001, 0.999])
def test_a_score_wrong_by_a_thousandth_is_contradicted(wrong_by: float) -> None:
    samples, real = rows_of(80, 1), rows_of(60, 2, 1.2)
    fid = frechet_distance(Moments.of(samples), Moments.of(real))
    wrong = disagreements(opinions_on(samples, real, fid_net=wrong_by * fid).values())
    assert [(opinion.what, opinion.by) for opinion in wrong] == [
        ("fid_net", "clean-fid"),
        ("fid_net", "torchmetrics"),
    ]
    assert not disagreements(opinions_on(samples, real, fid_net=(1 + 5e-5) * fid).values())


@pytest.mark.parametrize("peer", ["FRECHET", "KERNEL"])
def test_features_changed_on_the_way_to_a_peer_are_found(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row of the samples, by one in a hundred."""

    def changed(samples: np.ndarray, reference: Any, there: Any = None) -> float:
        other = samples.copy()
        other[3] *= 1.01
        return there(other, reference)

    table = getattr(second_opinions, peer)
    honest = table["clean-fid"]
    monkeypatch.setitem(table, "clean-fid", lambda samples, real: changed(samples, real, honest))
    wrong = disagreements(opinions_on(rows_of(80, 1), rows_of(60, 2, 1.2)).values())
    assert [opinion.by for opinion in wrong] == ["clean-fid"]
    assert wrong[0].what.startswith("fid" if peer == "FRECHET" else "kid")


@pytest.mark.parametrize(("samples", "real"), [(WIDTH, 60), (80, WIDTH)], ids=["samples", "references"])
def test_too_few_images_for_a_covariance_are_only_shown(samples: int, real: int) -> None:
    found = opinions_on(rows_of(samples, 1), rows_of(real, 2), fid_net=123.0)
    for by in ("clean-fid", "torchmetrics"):
        opinion = found["fid_net", by]
        assert opinion.agrees is None and opinion.note == "fewer images than its 10 features"
        assert opinion.difference is not None and opinion.difference < -50


def test_equal_sets_agree_on_nothing() -> None:
    """Both distances are rounding errors, of which 1e-4 of ours would not allow theirs."""
    found = opinions_on(rows_of(80, 1), rows_of(80, 1))
    assert found["fid_net", "clean-fid"].ours < 1e-9
    assert disagreements(found.values()) == []


def test_moments_alone_are_enough_for_fid() -> None:
    measured, real = measured_of(rows_of(80, 1)), measured_of(rows_of(60, 2))
    reference = Reference.of(real, keep_features=False)
    found = list(feature_opinions(measured, reference, {}))
    assert [opinion.what for opinion in found] == ["fid_net", "fid_net"]
    assert all(opinion.agrees for opinion in found) and opinions_of(measured, reference) == 2


def test_a_peer_without_an_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(samples: np.ndarray, real: Any) -> float:
        raise ValueError("Imaginary component 3")

    monkeypatch.setitem(second_opinions.FRECHET, "clean-fid", fails)
    enough = opinions_on(rows_of(80, 1), rows_of(60, 2))["fid_net", "clean-fid"]
    assert (enough.theirs, enough.agrees, enough.note) == (None, False, "Imaginary component 3")
    few = opinions_on(rows_of(5, 1), rows_of(60, 2))["fid_net", "clean-fid"]
    assert (few.theirs, few.agrees) == (None, None)


def test_a_plain_opinion_reads_back_equal() -> None:
    opinion = SecondOpinion("fid_net", "clean-fid", 1.5, 1.25, 0.5, "a note")
    assert SecondOpinion.from_plain(opinion.to_plain()) == opinion
    assert SecondOpinion.from_plain(replace(opinion, theirs=None).to_plain()).agrees is False
