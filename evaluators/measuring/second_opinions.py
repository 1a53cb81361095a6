"""Our FID, KID and CLIP score beside clean-fid's and torchmetrics', from the same features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from evaluators.images.image_set import ImageSet
from evaluators.measuring.measurements import Measurements
from evaluators.measuring.parts import Work, read_image
from evaluators.measuring.reference import Reference
from evaluators.metrics import peers
from evaluators.metrics.fid import Moments, frechet_distance
from evaluators.metrics.kid import kernel_distance
from evaluators.networks.features import CHUNK, Images, TextSimilarity, together
from evaluators.protocols.score import Score, score_name
from space.shared.cpus import available_cpus
from space.shared.second_opinion import SecondOpinion

OF_FID = 1e-4  # of the distance itself
OF_TRACES = 1e-7  # beside it: the peers take roots, which make 1e-8 of a rounding error of 1e-16
OF_KERNEL = 1e-9  # of a kernel of a sample with itself: the estimate is a small difference of such sums
OF_COSINE = 1e-5  # networks of float32 round differently as memory lies
SUBSET_AT_MOST = 5000  # samples of the one subset: its kernels take 200 MB each

FRECHET: dict[str, Callable[[np.ndarray, np.ndarray | Moments], float]] = {
    "clean-fid": peers.clean_fid_frechet,
    "torchmetrics": peers.torchmetrics_frechet,
}
KERNEL: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "clean-fid": peers.clean_fid_kernel,
    "torchmetrics": peers.torchmetrics_kernel,
}


def feature_opinions(
    measured: Measurements, reference: Reference, scores: Mapping[str, Score]
) -> Iterator[SecondOpinion]:
    """On FID and KID by each network, as they are worked out: SciPy's root takes half a minute at 2,048.

    FIDs must agree where both sets have more samples than features, and are only shown elsewhere: with fewer
    a product of covariances has no full rank, and its root in floating point no more than a few digits. KID
    is of one subset, the first samples and as many references, so that all three take the same. It is left
    out where the reference holds moments alone.
    """
    for name, rows in measured.features.items():
        samples = rows.values.astype(np.float64)
        yield from _on_fid(name, samples, reference, scores)
        if name in reference.features:
            yield from _on_kid(name, samples, reference.features[name])


def opinions_of(measured: Measurements, reference: Reference) -> int:
    """How many `feature_opinions` will give."""
    both = [name for name in measured.features if name in reference.features]
    return len(FRECHET) * len(measured.features) + len(KERNEL) * len(both)


def _on_fid(
    network: str, samples: np.ndarray, reference: Reference, scores: Mapping[str, Score]
) -> Iterator[SecondOpinion]:
    name, moments, own = score_name("fid", network), reference.moments[network], Moments.of(samples)
    ours = scores[name].value if name in scores else frechet_distance(own, moments)
    traces = np.trace(own.covariance) + np.trace(moments.covariance)
    full = min(own.count, moments.count) > own.width
    allowed = max(OF_FID * ours, OF_TRACES * float(traces)) if full else None
    note = "" if full else f"fewer images than its {own.width:,} features"
    others = reference.features[network].astype(np.float64) if network in reference.features else moments
    for by, frechet in FRECHET.items():
        try:
            yield SecondOpinion(name, by, ours, frechet(samples, others), allowed, note)
        except ValueError as error:
            yield SecondOpinion(name, by, ours, None, allowed, str(error))


def _on_kid(network: str, samples: np.ndarray, references: np.ndarray) -> Iterator[SecondOpinion]:
    size = min(len(samples), len(references), SUBSET_AT_MOST)
    some, real = samples[:size], references[:size].astype(np.float64)
    ours, _ = kernel_distance(some, real, subsets=1, subset_size=size, intervals=False)
    with_itself = max(float((((x * x).mean(axis=1) + 1) ** 3).mean()) for x in (some, real))
    for by, kernel in KERNEL.items():
        yield SecondOpinion(
            f"{score_name('kid', network)}, one subset of {size:,}",
            by,
            ours,
            kernel(some, real),
            OF_KERNEL * with_itself,
        )


def clip_opinion(
    work: Work,
    network: TextSimilarity,
    measured: Measurements,
    score: Score,
    scale: float = 1.0,
    on_images: Callable[[int, int], None] = lambda done, of: None,
) -> SecondOpinion:
    """On a CLIP score, or HPS: cosines are what was kept, so images and captions are embedded once more.

    Args:
        scale: what the score multiplies a cosine by.

    Raises:
        InputError: an image that does not fit the form any more.
    """
    images, peer, done = work.open(), peers.TorchmetricsClipScore(), 0
    assert work.captions is not None
    for numbers, pixels in _readable(work, images, measured.indices):
        peer.add(*network.embeddings(pixels, [work.captions[number] for number in numbers]))
        done += len(numbers)
        on_images(done, len(measured))
    note = "" if done == len(measured) else f"{len(measured) - done:,} images cannot be read any more"
    return SecondOpinion(score.name, "torchmetrics", score.value, scale * peer.value, scale * OF_COSINE, note)


def _readable(work: Work, images: ImageSet, indices: np.ndarray) -> Iterator[tuple[list[int], Images]]:
    """The numbers and pixels of these images, a network's batch at a time."""
    with ThreadPoolExecutor(available_cpus()) as pool:
        for start in range(0, len(indices), CHUNK):
            numbers = indices[start : start + CHUNK].tolist()
            read = pool.map(lambda number: read_image(work, images, number).pixels, numbers)
            found = {
                number: pixels for number, pixels in zip(numbers, read, strict=True) if pixels is not None
            }
            if found:
                yield list(found), together(list(found.values()))
