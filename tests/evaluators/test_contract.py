"""The contract suite, passed by every network and every scoring; each clause is failed by a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from evaluators import testing
from evaluators.metrics.fid import Moments, frechet_distance
from evaluators.networks.clip_models import OpenClip
from evaluators.networks.embedded import EmbeddedClip
from evaluators.networks.features import (
    ImageFeatures,
    Networks,
    RandomConv,
    RandomConvSettings,
    TextSimilarity,
    check_images,
)
from evaluators.testing import FEATURES_CONTRACT, SCORING_CONTRACT, SIMILARITY_CONTRACT, name_of
from tests.evaluators.conftest import CAPTIONS, Squares, squares


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def generated() -> Squares:
    return squares(60, seed=9)


@pytest.mark.parametrize("clause", FEATURES_CONTRACT, ids=name_of)
def test_features_keep_to_the_contract(
    clause: testing.FeaturesClause, features: ImageFeatures, images: np.ndarray
) -> None:
    clause(features, images)


@pytest.mark.parametrize("clause", SIMILARITY_CONTRACT, ids=name_of)
def test_the_embedded_clip_keeps_to_the_contract(
    clause: testing.SimilarityClause, clip: EmbeddedClip, generated: Squares
) -> None:
    clause(clip, generated.images, generated.captions)


@pytest.mark.parametrize("clause", SIMILARITY_CONTRACT, ids=name_of)
def test_open_clip_keeps_to_the_contract(
    clause: testing.SimilarityClause, tiny_clip: OpenClip, images: np.ndarray
) -> None:
    """Of weights that know nothing, the caption that each image is nearest to is the right one."""
    agreement = tiny_clip(images[:20]) @ tiny_clip.text_embeddings(CAPTIONS).T
    right = [CAPTIONS[index] for index in agreement.argmax(axis=1)]
    second = CAPTIONS[int(agreement[0].argsort()[0])]
    clause(tiny_clip, images[:20], [right[0], *right[1:-1], second])


@pytest.mark.parametrize("clause", SCORING_CONTRACT, ids=name_of)
def test_scores_keep_to_the_contract(
    clause: testing.ScoringClause, clip: EmbeddedClip, generated: Squares
) -> None:
    networks = Networks((RandomConv(RandomConvSettings()), clip), (clip,))
    clause(networks, generated.images, generated.captions)


# ---------------------------------------------------------------------- each clause can fail


class Broken:
    """Mean colours of an image's rows, a feature set that passes; `changed` makes it wrong in one way."""

    name, preparation, width, digest = "rows", "as it is", 16, "0123456789abcdef"

    def __init__(self, changed: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None) -> None:
        self._changed = changed

    def __call__(self, images: np.ndarray) -> np.ndarray:
        if self._changed is not accepts_anything:
            check_images(images)
        values = np.asarray(images, np.float64).reshape(len(images), self.width, -1).mean(axis=2)
        return values if self._changed is None else self._changed(values, images)


def accepts_anything(values: np.ndarray, images: np.ndarray) -> np.ndarray:
    return values


def blackens(values: np.ndarray, images: np.ndarray) -> np.ndarray:
    images[0] = 0
    return values


BROKEN_FEATURES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "describes_itself": lambda values, images: values[:, :-1],
    "looks_at_the_image": lambda values, images: np.zeros_like(values),
    "batch_does_not_matter": lambda values, images: values - values.mean(axis=0),
    "order_does_not_matter": lambda values, images: values + np.arange(len(values))[:, None],
    "leaves_images_alone": blackens,
    "constant_images_are_finite": lambda values, images: (
        values / np.ptp(images, axis=(1, 2, 3)).astype(float)[:, None]
    ),
    "other_input_is_refused": accepts_anything,
    "identical_sets_are_at_zero": lambda values, images: values * (1 + images[0, 0, 0, 0] / 255),
}


def test_sound_features_pass(images: np.ndarray) -> None:
    for clause in FEATURES_CONTRACT:
        clause(Broken(), images)


@pytest.mark.parametrize("clause", FEATURES_CONTRACT, ids=name_of)
@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_each_clause_finds_the_features_that_break_it(
    clause: testing.FeaturesClause, images: np.ndarray
) -> None:
    with pytest.raises(AssertionError):
        clause(Broken(BROKEN_FEATURES[clause.__name__]), images.copy())


class BrokenSimilarity:
    """The embedded CLIP, with one thing about it changed."""

    def __init__(self, clip: EmbeddedClip, changed: str) -> None:
        self._clip, self._changed = clip, changed
        self.name, self.digest, self.preparation = clip.name, clip.digest, clip.preparation

    def text_similarity(self, images: np.ndarray, captions: Sequence[str]) -> np.ndarray:
        if self._changed == "unpaired_captions_are_refused":
            captions = list(captions) + [""] * (len(images) - len(captions))
        values = self._clip.text_similarity(images, captions)
        if self._changed == "is_a_cosine":
            values = 100 * values
        if self._changed == "pairs_are_scored_alone":
            values = values - values.mean()
        return -values if self._changed == "a_wrong_caption_lowers_it" else values

    def embeddings(self, images: np.ndarray, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        of_images, of_captions = self._clip.embeddings(images, captions)
        return of_images, of_captions[::-1] if self._changed == "embeddings_give_the_cosines" else of_captions

    def too_long(self, captions: Sequence[str]) -> int:
        return 0 if self._changed == "long_captions_are_cut_and_counted" else self._clip.too_long(captions)


@pytest.mark.parametrize("clause", SIMILARITY_CONTRACT, ids=name_of)
def test_each_clause_finds_the_similarity_that_breaks_it(
    clause: testing.SimilarityClause, clip: EmbeddedClip, generated: Squares
) -> None:
    broken: TextSimilarity = BrokenSimilarity(clip, clause.__name__)
    with pytest.raises(AssertionError):
        clause(broken, generated.images, generated.captions)


@pytest.mark.parametrize(
    ("clause", "change"),
    [
        ("splits_and_order_leave_scores_alone", lambda values, images: values - values[:1]),
        ("splits_and_order_leave_scores_alone", lambda values, images: values * (1 + 1e-8 * len(images))),
        ("equal_sets_score_nothing", None),
        ("constant_samples_are_refused", lambda values, images: values + np.arange(len(values))[:, None]),
    ],
)
def test_each_clause_finds_the_scoring_that_breaks_it(
    clause: str, change: Callable[..., Any], images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    if clause == "equal_sets_score_nothing":  # a distance that forgets the overlap of the covariances
        monkeypatch.setattr(
            "evaluators.metrics.fid_intervals.frechet_distance",
            lambda a, b: float(np.trace(a.covariance) + np.trace(b.covariance)),
        )
    with pytest.raises(AssertionError):
        getattr(testing, clause)(Networks((Broken(change),)), images, ["an image"] * len(images))


# ---------------------------------------------------------------------- known answers beyond the contract


@pytest.mark.parametrize("value", [0, 128, 255])
def test_constant_images_are_a_point_against_a_gaussian(
    clip: EmbeddedClip, generated: Squares, value: int
) -> None:
    constant = clip(np.full((60, 16, 16, 3), value, np.uint8))
    reference = Moments.of(clip(generated.images))
    centre = np.sum((constant[0] - reference.mean) ** 2) + np.trace(reference.covariance)
    assert frechet_distance(Moments.of(constant), reference) == pytest.approx(centre, rel=1e-9)


def test_fewer_samples_than_features_give_a_number(clip: EmbeddedClip, generated: Squares) -> None:
    reference = Moments.of(clip(generated.images))
    assert np.isfinite(frechet_distance(Moments.of(clip(generated.images[:2])), reference))
    with pytest.raises(ValueError, match=r"two samples or more .* 1"):
        frechet_distance(Moments.of(clip(generated.images[:1])), reference)
