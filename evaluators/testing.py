"""What every network and every scoring must keep to, as clauses that a test runs one by one.

    @pytest.mark.parametrize("clause", FEATURES_CONTRACT, ids=name_of)
    def test_contract(clause, features, images):
        clause(features, images)

A clause raises AssertionError where it is broken. Images are 30 or more (N, H, W, 3) uint8, all different.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from evaluators.measuring.measurements import Measurements
from evaluators.measuring.reference import Reference
from evaluators.measuring.scoring import scores
from evaluators.metrics.clip_score import cosines
from evaluators.metrics.fid import Moments, frechet_distance
from evaluators.networks.features import ImageFeatures, Networks, TextSimilarity
from evaluators.protocols.protocol import (
    CaptionList,
    EvaluationProtocol,
    ImageForm,
    NetworkSpec,
    ReferenceSet,
)
from evaluators.protocols.score import Score, score_name
from space.shared.plain import InputError

KERNEL_ROUNDING = (
    1e-5  # of the largest value: float32 networks, whose kernels may differ with memory's alignment
)
OF_TRACE = 1e-8  # of the covariance's trace: FIDs of one set of samples, in whatever pieces
OF_SUBSETS = 1e-3  # of a score that is a mean over random subsets
REFUSED: dict[str, np.ndarray] = {
    "floating images": np.zeros((2, 16, 16, 3), np.float32),
    "channels first": np.zeros((2, 3, 16, 16), np.uint8),
    "one image without a batch": np.zeros((16, 16, 3), np.uint8),
    "no image": np.zeros((0, 16, 16, 3), np.uint8),
}

FeaturesClause = Callable[[ImageFeatures, np.ndarray], None]
SimilarityClause = Callable[[TextSimilarity, np.ndarray, Sequence[str]], None]
ScoringClause = Callable[[Networks, np.ndarray, Sequence[str]], None]


def name_of(clause: Callable[..., None]) -> str:
    """For pytest's ids."""
    return clause.__name__


def _equal(one: np.ndarray, other: np.ndarray, what: str) -> None:
    worst, scale = np.abs(one - other).max(), max(np.abs(one).max(), 1e-30)
    assert worst <= KERNEL_ROUNDING * scale, f"{what}: values differ by {worst:.2g} of {scale:.2g}"


# ---------------------------------------------------------------------- features


def describes_itself(features: ImageFeatures, images: np.ndarray) -> None:
    values = features(images[:3])
    assert values.shape == (3, features.width), f"shape {values.shape} for width {features.width}"
    assert values.dtype == np.float64, f"{values.dtype}, not float64"
    assert features.name and features.preparation, "no name or no preparation"
    assert len(features.digest) == 16 and int(features.digest, 16) >= 0, f"digest {features.digest!r}"


def looks_at_the_image(features: ImageFeatures, images: np.ndarray) -> None:
    values = features(images[:8])
    assert np.isfinite(values).all(), "features that are not finite"
    assert (np.ptp(values, axis=0) > 0).any(), "different images have equal features"


def batch_does_not_matter(features: ImageFeatures, images: np.ndarray) -> None:
    some = images[:6]
    split = np.concatenate([features(some[:1]), features(some[1:3]), features(some[3:])])
    _equal(features(some), split, "in batches")


def order_does_not_matter(features: ImageFeatures, images: np.ndarray) -> None:
    some = images[:6]
    _equal(features(some), features(some[::-1])[::-1], "backwards")


def leaves_images_alone(features: ImageFeatures, images: np.ndarray) -> None:
    some = images[:3].copy()
    features(some)
    assert np.array_equal(some, images[:3]), "the images were written to"


def constant_images_are_finite(features: ImageFeatures, images: np.ndarray) -> None:
    for value in (0, 255):
        values = features(np.full_like(images[:2], value))
        assert np.isfinite(values).all(), f"images of {value} alone give features that are not finite"


def other_input_is_refused(features: ImageFeatures, images: np.ndarray) -> None:
    for what, wrong in REFUSED.items():
        try:
            features(wrong)
        except ValueError:
            continue
        raise AssertionError(f"{what} went through")


def identical_sets_are_at_zero(features: ImageFeatures, images: np.ndarray) -> None:
    a, b = Moments.of(features(images[:10])), Moments.of(features(images[9::-1]))
    distance = frechet_distance(a, b)
    assert distance <= 1e-6 * np.trace(a.covariance), f"a set is {distance:.2g} from itself"


FEATURES_CONTRACT: tuple[FeaturesClause, ...] = (
    describes_itself,
    looks_at_the_image,
    batch_does_not_matter,
    order_does_not_matter,
    leaves_images_alone,
    constant_images_are_finite,
    other_input_is_refused,
    identical_sets_are_at_zero,
)


# ---------------------------------------------------------------------- agreement with captions


def is_a_cosine(similarity: TextSimilarity, images: np.ndarray, captions: Sequence[str]) -> None:
    values = similarity.text_similarity(images[:3], captions[:3])
    assert values.shape == (3,) and values.dtype == np.float64, f"{values.shape} of {values.dtype}"
    assert np.abs(values).max() <= 1 + 1e-6, f"a cosine of {values.max():.3f}"
    assert similarity.name and similarity.digest and similarity.preparation, "does not describe itself"


def pairs_are_scored_alone(similarity: TextSimilarity, images: np.ndarray, captions: Sequence[str]) -> None:
    whole = similarity.text_similarity(images[:9], captions[:9])
    split = [similarity.text_similarity(images[a:b], captions[a:b]) for a, b in ((0, 2), (2, 9))]
    _equal(whole, np.concatenate(split), "in batches")
    backwards = similarity.text_similarity(images[8::-1], captions[8::-1])[::-1]
    _equal(whole, backwards, "backwards")


def a_wrong_caption_lowers_it(
    similarity: TextSimilarity, images: np.ndarray, captions: Sequence[str]
) -> None:
    """Captions must be right ones; one image gets another's."""
    other = next(caption for caption in captions if caption != captions[0])
    right = similarity.text_similarity(images[:4], captions[:4])
    wrong = similarity.text_similarity(images[:4], [other, *captions[1:4]])
    assert wrong[0] < right[0], f"{wrong[0]:.4f} with a wrong caption, {right[0]:.4f} with the right one"
    assert np.abs(wrong[1:] - right[1:]).max() <= KERNEL_ROUNDING, "another image's cosine moved"


def long_captions_are_cut_and_counted(
    similarity: TextSimilarity, images: np.ndarray, captions: Sequence[str]
) -> None:
    long = " ".join(["and so on"] * 400)
    cut = similarity.too_long([captions[0], long, long + " for ever"])
    assert cut == 2, f"{cut} of two long captions counted as cut"
    values = similarity.text_similarity(np.repeat(images[:1], 2, axis=0), [long, long + " for ever"])
    assert abs(values[0] - values[1]) <= KERNEL_ROUNDING, "what lies beyond the cut is read"


def unpaired_captions_are_refused(
    similarity: TextSimilarity, images: np.ndarray, captions: Sequence[str]
) -> None:
    try:
        similarity.text_similarity(images[:3], captions[:2])
    except ValueError:
        return
    raise AssertionError("three images beside two captions went through")


def embeddings_give_the_cosines(
    similarity: TextSimilarity, images: np.ndarray, captions: Sequence[str]
) -> None:
    values = similarity.text_similarity(images[:5], captions[:5])
    _equal(values, cosines(*similarity.embeddings(images[:5], captions[:5])), "from the embeddings")


SIMILARITY_CONTRACT: tuple[SimilarityClause, ...] = (
    is_a_cosine,
    pairs_are_scored_alone,
    a_wrong_caption_lowers_it,
    long_captions_are_cut_and_counted,
    unpaired_captions_are_refused,
    embeddings_give_the_cosines,
)


# ---------------------------------------------------------------------- from images to scores


def protocol_of(networks: Networks, samples: int, references: int, size_px: int) -> EvaluationProtocol:
    """A protocol of everything that these networks can score."""

    def spec(network: ImageFeatures | TextSimilarity) -> NetworkSpec:
        return NetworkSpec(network.name, digest=network.digest, preparation=network.preparation)

    return EvaluationProtocol(
        "contract",
        samples,
        ImageForm(size_px),
        tuple(map(spec, networks.features)),
        tuple(map(spec, networks.similarities)),
        ReferenceSet("contract", references, "all"),
        CaptionList("contract"),
        metrics=("fid", "kid", "precision", "recall", "clip"),
    )


def measured(
    networks: Networks, images: np.ndarray, captions: Sequence[str] | None, parts: Sequence[np.ndarray]
) -> Measurements:
    """Each part of the samples by a worker of its own, then merged."""
    merged = Measurements.by(networks)
    for part in parts:
        own = Measurements.by(networks)
        texts = None if captions is None else [captions[index] for index in part]
        own.add(networks, part.tolist(), images[part], texts)
        merged.merge(own)
    return merged


def _halves(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    half = len(images) // 2
    return images[:half], images[half : 2 * half]


def splits_and_order_leave_scores_alone(
    networks: Networks, images: np.ndarray, captions: Sequence[str]
) -> None:
    samples, real = _halves(images)
    everything = np.arange(len(samples))
    reference = Reference.of(measured(networks, real, None, [everything]))
    protocol = protocol_of(networks, len(samples), len(real), images.shape[1])
    shuffled = np.random.default_rng(0).permutation(len(samples))
    one = scores(measured(networks, samples, captions, [everything]), reference, protocol)
    other = scores(measured(networks, samples, captions, np.array_split(shuffled, 3)), reference, protocol)
    assert set(one) == set(other), "other scores"
    for name, score in one.items():
        allowed = _allowed(score, reference)
        for a, b in (
            (score.value, other[name].value),
            *zip(_ends(score), _ends(other[name]), strict=True),
        ):
            assert abs(a - b) <= allowed, f"{name}: {a:.12g} in one piece, {b:.12g} in three"


def _allowed(score: Score, reference: Reference) -> float:
    """How far a score may move when its samples are split otherwise."""
    for network, moments in reference.moments.items():
        if score.name == score_name("fid", network):
            return OF_TRACE * float(np.trace(moments.covariance))
    share = OF_SUBSETS if score.name.startswith("kid") else KERNEL_ROUNDING
    return share * max(abs(score.value), 1e-3)


def _ends(score: Score) -> tuple[float, ...]:
    return () if score.interval is None else (score.interval.low, score.interval.high)


def equal_sets_score_nothing(networks: Networks, images: np.ndarray, captions: Sequence[str]) -> None:
    everything = np.arange(len(images))
    own = measured(networks, images, captions, [everything])
    protocol = protocol_of(networks, len(images), len(images), images.shape[1])
    for name, score in scores(own, Reference.of(own), protocol, intervals=False).items():
        if name.startswith("fid"):
            trace = max(np.trace(Moments.of(rows.values).covariance) for rows in own.features.values())
            assert score.value <= 1e-6 * trace, f"{name}: {score.value:.2g} between equal sets"
        elif name.startswith(("precision", "recall")):
            assert score.value == 1, f"{name}: {score.value:.3f} between equal sets"


def constant_samples_are_refused(networks: Networks, images: np.ndarray, captions: Sequence[str]) -> None:
    samples, real = _halves(images)
    everything = np.arange(len(samples))
    reference = Reference.of(measured(networks, real, None, [everything]))
    protocol = protocol_of(networks, len(samples), len(real), images.shape[1])
    constant = measured(networks, np.full_like(samples, 127), captions, [everything])
    try:
        scores(constant, reference, protocol, intervals=False)
    except InputError:
        return
    raise AssertionError("one image over and over was given a score")


SCORING_CONTRACT: tuple[ScoringClause, ...] = (
    splits_and_order_leave_scores_alone,
    equal_sets_score_nothing,
    constant_samples_are_refused,
)
