"""Images beside their reconstructions: measured batch by batch, then scored with intervals."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch

from evaluators.metrics.fid import Moments, too_few
from evaluators.metrics.fid_intervals import distances
from evaluators.metrics.intervals import LEAST_SAMPLES, bootstrap_of_mean
from evaluators.metrics.reconstruction import psnr, ssim
from evaluators.networks.features import ImageFeatures, to_network
from evaluators.protocols.protocol import EvaluationProtocol, ImageForm, NetworkSpec, ReferenceSet
from evaluators.protocols.score import ConfidenceInterval, Score, score_name
from space.shared.plain import InputError

ALIKE = 1e-6  # of the largest feature: nearer than this all images are one to a network
LEAST_IMAGES = 2


class Distance(Protocol):
    """A perceptual distance (see `evaluators.networks.perceptual`)."""

    name: str
    digest: str

    def __call__(self, images: torch.Tensor, others: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True)
class Judges:
    """What looks at images beside PSNR and SSIM, and, of what was left out, why."""

    distance: Distance | None = None
    distance_name: str = ""
    features: ImageFeatures | None = None
    feature_spec: NetworkSpec | None = None
    left_out: tuple[str, ...] = ()
    device: str = "cpu"


@dataclass
class MeasuredPairs:
    """Attributes:
    by_image: metric -> (N,) values.
    features: (N, width) of the reconstructions, `originals` the moments of the images.
    digest: of all images in order.
    """

    by_image: dict[str, np.ndarray]
    features: np.ndarray | None
    originals: Moments | None
    digest: str

    def __len__(self) -> int:
        return len(self.by_image["psnr"])


def measure_pairs(
    batches: Iterable[np.ndarray],
    reconstruct: Callable[[np.ndarray], np.ndarray],
    judges: Judges,
    on_batch: Callable[[int], None] = lambda images: None,
) -> MeasuredPairs:
    """All images and what `reconstruct` makes of them, (B, H, W, 3) uint8 each; `on_batch(images)` follows.

    Raises:
        InputError: fewer than two images, images of a single colour each, or such as a metric cannot take.
    """
    values: dict[str, list[np.ndarray]] = {}
    is_constant = True
    features, originals = list[np.ndarray](), None
    sha = hashlib.sha256()
    for images in batches:
        given = reconstruct(images)
        sha.update(np.ascontiguousarray(images).tobytes())
        is_constant = is_constant and not np.ptp(images, axis=(1, 2)).any()
        found = {"psnr": psnr(images, given), "ssim": ssim(images, given)}
        if judges.distance is not None:
            found[judges.distance_name] = _apart(judges.distance, images, given, judges.device)
        for name, part in found.items():
            values.setdefault(name, []).append(part)
        if judges.features is not None:
            originals = originals or Moments(judges.features.width)
            originals.add(judges.features(images))
            features.append(judges.features(given))
        on_batch(len(images))
    by_image = {name: np.concatenate(parts) for name, parts in values.items()}
    if not by_image or len(by_image["psnr"]) < LEAST_IMAGES:
        raise InputError(f"images: {len(by_image.get('psnr', ()))}; needed: {LEAST_IMAGES} or more")
    if is_constant:
        raise InputError(
            f"images: all {len(by_image['psnr'])} are of a single colour each; they judge nothing"
        )
    rows = np.concatenate(features) if features else None
    return MeasuredPairs(by_image, rows, originals, sha.hexdigest()[:16])


@torch.no_grad()
def _apart(distance: Distance, images: np.ndarray, given: np.ndarray, device: str) -> np.ndarray:
    found = distance(to_network(images).to(device), to_network(given).to(device))
    values: np.ndarray = found.double().cpu().numpy()
    return values


# ---------------------------------------------------------------------- scores


@dataclass(frozen=True)
class PairScores:
    """Scores by name; what was left out; and, of another autoencoder, how much higher the first one's are."""

    scores: Mapping[str, Score]
    left_out: tuple[str, ...] = ()
    differences: Mapping[str, tuple[float, ConfidenceInterval]] = field(default_factory=dict)


def pair_scores(
    measured: MeasuredPairs, judges: Judges, form: ImageForm, name: str, chosen: str
) -> PairScores:
    """Every metric with its interval and protocol; `form` says how the images were brought to their size,
    `name` and `chosen` which they were."""
    protocol = EvaluationProtocol(
        "reconstruction",
        len(measured),
        form,
        features=(),
        clips=(),
        reference=ReferenceSet(name, len(measured), chosen, measured.digest),
        captions=None,
    )
    found, left_out = {}, list(judges.left_out)
    for metric, values in measured.by_image.items():
        networks: tuple[NetworkSpec, ...] = ()
        if metric == judges.distance_name and judges.distance is not None:
            distance = judges.distance
            networks = (NetworkSpec(metric, digest=distance.digest, preparation=distance.name),)
        finite = values[np.isfinite(values)]
        if not len(finite):
            left_out.append(f"{metric}: every image came back exactly")
            continue
        exact = len(values) - len(finite)
        notes = (f"{exact:,} images came back exactly: of these it is infinite, and they are left out",)
        key = metric.replace("-", "_")
        found[key] = Score(
            key,
            float(finite.mean()),
            bootstrap_of_mean(finite) if len(finite) >= LEAST_SAMPLES else None,
            replace(protocol, features=networks),
            len(finite),
            notes if exact else (),
        )
    if measured.features is not None and measured.originals is not None:
        assert judges.feature_spec is not None
        if (reason := _all_alike(measured.features, measured.originals)) is not None:
            left_out.append(f"fid: {reason}")
        else:
            own = replace(protocol, features=(judges.feature_spec,))
            score = _distance_of_sets(measured, own, judges.feature_spec)
            found[score.name] = score
    return PairScores(found, tuple(left_out))


def _distance_of_sets(measured: MeasuredPairs, protocol: EvaluationProtocol, spec: NetworkSpec) -> Score:
    assert measured.features is not None and measured.originals is not None
    found = distances(measured.features, measured.originals, line=False)
    notes = tuple(too_few(len(measured), measured.originals))
    name = score_name("fid", spec.name)
    return Score(name, found.fid, found.fid_interval, protocol, len(measured), notes)


def _all_alike(rows: np.ndarray, originals: Moments) -> str | None:
    if np.ptp(rows, axis=0).max() <= ALIKE * np.abs(rows).max():
        return "all reconstructions have equal features; are they constant?"
    if np.sqrt(np.diagonal(originals.covariance).max()) <= ALIKE * np.abs(originals.mean).max():
        return "all images have equal features; are they constant?"
    return None


def paired_differences(
    one: MeasuredPairs, other: MeasuredPairs
) -> dict[str, tuple[float, ConfidenceInterval]]:
    """Of the same images by two autoencoders: by how much the first one's metric is higher, on the mean, and
    the interval over resamples of the images.

    Raises:
        InputError: they are of other images.
    """
    if one.digest != other.digest:
        raise InputError("against: measured on other images")
    found = {}
    for metric in one.by_image.keys() & other.by_image.keys():
        gap = one.by_image[metric] - other.by_image[metric]
        gap = gap[np.isfinite(gap)]
        if len(gap) >= LEAST_SAMPLES:
            found[metric.replace("-", "_")] = (float(gap.mean()), bootstrap_of_mean(gap))
    return dict(sorted(found.items()))
