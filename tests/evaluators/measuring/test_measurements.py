"""Measurements of any batches and workers: merged, saved, and scored as if one had seen all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.measuring.measurements import Measurements
from evaluators.measuring.reference import Reference
from evaluators.measuring.rows import SampleRows
from evaluators.measuring.scoring import scores
from evaluators.metrics.fid import Moments, frechet_distance
from evaluators.networks.clip_models import OpenClip
from evaluators.networks.features import Networks, RandomConv, RandomConvSettings
from evaluators.protocols.protocol import EvaluationProtocol
from evaluators.testing import protocol_of
from space.shared.plain import InputError
from tests.evaluators.conftest import Squares, squares


@pytest.fixture(scope="module")
def networks(tiny_clip: OpenClip) -> Networks:
    return Networks((RandomConv(RandomConvSettings((4,))),), (tiny_clip,))


@pytest.fixture(scope="module")
def generated() -> Squares:
    return squares(40, seed=5)


@pytest.fixture(scope="module")
def measured(networks: Networks, generated: Squares) -> Measurements:
    return whole(networks, generated.images, generated.captions)


@pytest.fixture(scope="module")
def reference(networks: Networks) -> Reference:
    return Reference.of(whole(networks, squares(48, seed=6).images, None), {"name": "squares"})


@pytest.fixture(scope="module")
def protocol(networks: Networks) -> EvaluationProtocol:
    return protocol_of(networks, 40, 48, 16)


def whole(networks: Networks, images: np.ndarray, captions: list[str] | None) -> Measurements:
    measured = Measurements.by(networks)
    measured.add(networks, range(len(images)), images, captions)
    return measured


# ---------------------------------------------------------------------- rows


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 30), max_size=5), seed=st.integers(0, 99))
def test_rows_come_out_in_order_however_they_came_in(cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, order = rng.standard_normal((30, 3)).astype(np.float32), rng.permutation(30)
    merged = SampleRows(3)
    for part in np.split(order, sorted(cuts)):
        own = SampleRows(3)
        own.add(part, values[part])
        merged.merge(own)
    assert np.array_equal(merged.indices, np.arange(30)) and np.array_equal(merged.values, values)
    assert len(merged) == 30 and 29 in merged and 30 not in merged


def test_rows_that_cannot_be_are_refused() -> None:
    rows = SampleRows(2)
    rows.add([4, 1], np.ones((2, 2)))
    for indices, values, message in (
        ([5], np.ones((1, 3)), r"shape \(1, 3\); expected \(1, 2\)"),
        ([5], np.array([[1, np.nan]]), "NaN or infinite features in 1 of 1"),
        ([1], np.ones((1, 2)), "sample 1 was given twice"),
        ([7, 7], np.ones((2, 2)), "sample 7 was given twice"),
    ):
        with pytest.raises(ValueError, match=message):
            rows.add(indices, values)
    with pytest.raises(ValueError, match="do not merge"):
        rows.merge(SampleRows(3))
    assert len(rows) == 2


# ---------------------------------------------------------------------- measurements


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 40), max_size=4), seed=st.integers(0, 99))
def test_any_split_gives_the_same_fid(
    cuts: list[int],
    seed: int,
    measured: Measurements,
    reference: Reference,
) -> None:
    """To 1e-8 of the traces: over batches and workers, of rows that are there, in any order."""
    rows = measured.features["random-conv"].values
    order = np.random.default_rng(seed).permutation(len(rows))
    streamed = Moments(rows.shape[1])
    for part in np.split(order, sorted(cuts)):
        worker = Moments(rows.shape[1])
        for half in np.array_split(part, 2):
            worker.add(rows[half])
        streamed.merge(worker)
    real = reference.moments["random-conv"]
    traces = np.trace(real.covariance) + np.trace(streamed.covariance)
    expected = frechet_distance(Moments.of(rows), real)
    assert frechet_distance(streamed, real) == pytest.approx(expected, abs=1e-8 * traces)


def test_saved_measurements_load_equal(measured: Measurements, networks: Networks, tmp_path: Path) -> None:
    measured.save(tmp_path / "new" / "part.safetensors")
    loaded = Measurements.load(tmp_path / "new" / "part.safetensors")
    assert loaded.digests == networks.digests and loaded.too_long == measured.too_long
    for mine, theirs in ((loaded.features, measured.features), (loaded.cosines, measured.cosines)):
        assert set(mine) == set(theirs)
        for name, rows in theirs.items():
            assert np.array_equal(mine[name].values, rows.values) and mine[name].dtype == rows.dtype
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["part.safetensors"]
    for name in ("absent.safetensors", "bad.safetensors"):
        (tmp_path / "bad.safetensors").write_text("no")
        with pytest.raises(InputError, match=name):
            Measurements.load(tmp_path / name)


def test_other_weights_do_not_merge(measured: Measurements, tiny_clip: OpenClip) -> None:
    other = Networks((RandomConv(RandomConvSettings((4,), seed=1)),), (tiny_clip,))
    with pytest.raises(ValueError, match="do not merge"):
        Measurements.by(other).merge(measured)


def test_references_without_captions_have_no_cosines(reference: Reference) -> None:
    assert set(reference.moments) == {"random-conv"} and reference.moments["random-conv"].count == 48


# ---------------------------------------------------------------------- references


def test_saved_references_load_equal(reference: Reference, tmp_path: Path) -> None:
    reference.save(tmp_path / "r.safetensors")
    loaded = Reference.load(tmp_path / "r.safetensors")
    assert loaded.digests == reference.digests and loaded.about == {"name": "squares"}
    mine, theirs = loaded.moments["random-conv"], reference.moments["random-conv"]
    assert np.array_equal(mine.covariance, theirs.covariance) and mine.count == theirs.count
    assert np.array_equal(loaded.features["random-conv"], reference.features["random-conv"])
    small = replace(reference, features={})
    small.save(tmp_path / "small.safetensors")
    assert Reference.load(tmp_path / "small.safetensors").features == {}
    (tmp_path / "bad.safetensors").write_text("no")
    with pytest.raises(InputError, match=r"bad\.safetensors: cannot be read"):
        Reference.load(tmp_path / "bad.safetensors")


# ---------------------------------------------------------------------- scores


def test_every_metric_has_a_score_an_interval_and_the_protocol(
    measured: Measurements, reference: Reference, protocol: EvaluationProtocol
) -> None:
    everything = replace(protocol, metrics=("fid", "fid_infinity", "kid", "precision", "recall", "clip"))
    found = scores(measured, reference, everything)
    assert list(found) == [
        "fid_random_conv",
        "fid_infinity_random_conv",
        "kid_random_conv",
        "precision_random_conv",
        "recall_random_conv",
        "clip_tiny_for_tests",
    ]
    for name, score in found.items():
        assert score.name == name and score.protocol == everything and score.samples == 40
        assert score.interval is not None and score.interval.low <= score.value <= score.interval.high
    assert found["fid_random_conv"].interval.method.startswith("jackknife over 10 groups")  # type: ignore[union-attr]
    expected = measured.cosines["tiny-for-tests"].values.mean()
    assert found["clip_tiny_for_tests"].value == pytest.approx(expected)
    plain = scores(measured, reference, everything, intervals=False)
    assert all(score.interval is None for score in plain.values()) and set(plain) == set(found)
    assert plain["fid_infinity_random_conv"].value == found["fid_infinity_random_conv"].value
    assert found["kid_random_conv"].notes == ()


def test_a_protocol_that_the_measurements_do_not_fit_is_refused(
    measured: Measurements, reference: Reference, protocol: EvaluationProtocol, networks: Networks
) -> None:
    features = protocol.features[0]
    for changed, message in (
        (replace(protocol, samples=41), "40 measured; this protocol scores 41"),
        (
            protocol.with_network(replace(features, digest="0" * 16)),
            "where the protocol says 0000000000000000",
        ),
        (protocol.with_network(replace(features, digest=None)), "where the protocol says None"),
        (replace(protocol, reference=replace(protocol.reference, images=49)), "compares with 49"),  # type: ignore[type-var]
    ):
        with pytest.raises(InputError, match=message):
            scores(measured, reference, changed)
    with pytest.raises(InputError, match="reference: missing"):
        scores(measured, None, protocol)
    with pytest.raises(InputError, match="kid needs its features"):
        scores(measured, replace(reference, features={}), protocol)
    foreign = replace(reference, digests={"random-conv": "f" * 16})
    with pytest.raises(InputError, match="with weights ffffffffffffffff"):
        scores(measured, foreign, protocol)
    assert set(scores(measured, None, replace(protocol, metrics=("clip",)))) == {"clip_tiny_for_tests"}


def test_too_few_samples_and_cut_captions_are_said(networks: Networks, reference: Reference) -> None:
    few = squares(4, seed=8)
    captions = ["so " * 40 + "long", *few.captions[1:]]
    protocol = protocol_of(networks, 4, 48, 16)
    protocol = replace(protocol, metrics=("fid", "fid_infinity", "clip"))
    found = scores(whole(networks, few.images, captions), reference, protocol)
    assert set(found) == {"fid_random_conv", "clip_tiny_for_tests"}
    assert all(score.interval is None for score in found.values())
    with pytest.raises(InputError, match="fid_infinity takes 32 samples here"):
        scores(whole(networks, few.images, captions), reference, replace(protocol, metrics=("fid_infinity",)))
    few_samples, left_out = found["fid_random_conv"].notes
    assert few_samples.startswith("4 samples for 4 features: ")
    assert left_out.startswith("fid_infinity ") and "32 samples of 4 features" in left_out
    (cut,) = found["clip_tiny_for_tests"].notes
    assert cut.startswith("1 of 4 captions ") and "cut" in cut


def test_too_few_references_are_said_as_too_few_samples_are(
    networks: Networks, measured: Measurements
) -> None:
    few = Reference.of(whole(networks, squares(4, seed=8).images, None))
    protocol = replace(protocol_of(networks, 40, 4, 16), metrics=("fid",))
    found = scores(measured, few, protocol)["fid_random_conv"]
    (note,) = found.notes
    assert note.startswith("4 references for 4 features: ")


def test_references_that_are_one_image_are_refused(networks: Networks, measured: Measurements) -> None:
    """Also where equal images are rounded differently, as on a GPU they may be."""
    protocol = replace(protocol_of(networks, 40, 48, 16), metrics=("fid",))
    same = Reference.of(whole(networks, np.full((48, 16, 16, 3), 77, np.uint8), None))
    rounded = same.features["random-conv"] * (1 + 1e-7 * np.random.default_rng(0).standard_normal((48, 4)))
    for reference in (same, replace(same, moments={"random-conv": Moments.of(rounded)})):
        with pytest.raises(InputError, match="all references have equal features"):
            scores(measured, reference, protocol)


def test_one_sample_is_an_error(networks: Networks, reference: Reference) -> None:
    with pytest.raises(InputError, match="samples: 1 is not possible"):
        protocol_of(networks, 1, 48, 16)


def test_images_that_make_features_infinite_are_refused() -> None:
    class Overflows(RandomConv):
        def __call__(self, images: np.ndarray) -> np.ndarray:
            return super().__call__(images) / 0.0

    networks = Networks((Overflows(RandomConvSettings((2,))),))
    with np.errstate(divide="ignore"), pytest.raises(ValueError, match="NaN or infinite features in 9 of 9"):
        whole(networks, squares(9, seed=1).images, None)
