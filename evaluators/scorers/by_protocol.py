"""A search's evaluator by the networks of a protocol: FID on published features, the CLIP score of published
models, against real images in the protocol's form."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evaluators.images.preparation import as_stored, check_form, prepare
from evaluators.measuring.measurements import Measurements
from evaluators.measuring.reference import Reference
from evaluators.measuring.reference_cache import (
    REFERENCE_SUFFIX,
    about_references,
    cached_reference,
    place_of,
)
from evaluators.measuring.text_scores import image_values
from evaluators.metrics.clip_score import check_pairs
from evaluators.networks.features import CHUNK, Networks, check_images
from evaluators.networks.loading import ComputeSettings, load_networks
from evaluators.networks.weights import Missing, WeightsSettings
from evaluators.protocols.protocol import HPS, EvaluationProtocol, NetworkSpec
from evaluators.protocols.score import score_name, text_score_name
from evaluators.scorers.embedded import PROTOCOL, Evaluator
from evaluators.scorers.scorer import Scorer, check_described
from space.shared.files import write_whole
from space.shared.plain import InputError, from_plain, to_plain

REFERENCE = f"reference{REFERENCE_SUFFIX}"
ReadImages = Callable[[Sequence[int]], np.ndarray]
"""Indices to images, (N, H, W, 3) uint8."""


class ProtocolEvaluator(Scorer):
    """By published networks; the protocol's first features and its first CLIP are the objectives, and HPS may
    be a further one.

    Attributes:
        stated: the protocol itself, every digest filled in.
    """

    def __init__(self, networks: Networks, reference: Reference, protocol: EvaluationProtocol) -> None:
        for spec in protocol.features:
            assert spec.digest is not None
            reference.check(spec.name, spec.digest)
        self.stated, self.protocol_id, self.images = protocol, protocol.id, protocol.samples
        self.fid_name, self.clip_name = objective_names(protocol)
        self.protocol = _recorded(protocol, self.fid_name, self.clip_name)
        self.references, self._reference, self._networks = reference.moments, reference, networks

    def save(self, folder: Path) -> None:
        """What a worker needs but for the weights; the protocol last, so that a folder with one is complete.

        Raises:
            OSError: it cannot be written.
        """
        self._reference.save(folder / REFERENCE)
        write_whole(folder / PROTOCOL, self.stated.to_yaml(), durable=True)

    @classmethod
    def load(cls, folder: Path, weights: WeightsSettings, compute: ComputeSettings) -> ProtocolEvaluator:
        """From a folder that `save` wrote, with the very weights that it was made with.

        Raises:
            InputError: a folder that is not complete, weights that are missing, or others.
        """
        protocol = stored_protocol(folder)
        if protocol is None:
            raise InputError(f"{folder}: its evaluator is not that of a protocol")
        networks, protocol = load_pinned(protocol, weights, compute)
        return cls(networks, Reference.load(folder / REFERENCE), protocol)

    def too_long(self, captions: Sequence[str]) -> int:
        return self._networks.similarities[0].too_long(captions)

    def _measure(
        self, images: np.ndarray, captions: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        check_images(images)
        check_pairs(images, captions)
        form = self.stated.images
        check_described(images, self.images, form.drawn_size_px or form.size_px)
        measured = Measurements.by(self._networks)
        for start in range(0, len(images), CHUNK):
            some = images[start : start + CHUNK]
            pixels = np.stack([as_stored(prepare(image, form), form) for image in some])
            numbers = range(start, start + len(some))
            measured.add(self._networks, numbers, pixels, captions[start : start + CHUNK])
        features = {name: rows.values.astype(np.float64) for name, rows in measured.features.items()}
        specs = searched_clips(self.stated)
        return features, {text_score_name(spec): image_values(measured, spec) for spec in specs}


def load_evaluator(folder: Path, weights: WeightsSettings, compute: ComputeSettings) -> Scorer:
    """Whichever evaluator a search prepared there. Raises InputError as their own `load` does."""
    if stored_protocol(folder) is None:
        return Evaluator.load(folder)
    return ProtocolEvaluator.load(folder, weights, compute)


def stored_protocol(folder: Path) -> EvaluationProtocol | None:
    """That of a `ProtocolEvaluator` in a folder; None where there is none, or the embedded evaluator's.

    Raises:
        InputError: one that cannot be read.
    """
    path = folder / PROTOCOL
    if not path.is_file():
        return None
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as a protocol: {error}") from None
    if not isinstance(plain, dict) or "clips" not in plain:
        return None
    protocol: EvaluationProtocol = from_plain(EvaluationProtocol, plain, str(path))
    return protocol


def load_pinned(
    protocol: EvaluationProtocol, weights: WeightsSettings, compute: ComputeSettings
) -> tuple[Networks, EvaluationProtocol]:
    """The networks of a protocol whose digests are filled in already. Raises InputError for other weights."""
    try:
        return load_networks(protocol, weights, compute)
    except Missing:
        raise
    except InputError as error:
        raise InputError(
            f"weights: {error}; a run is scored by the very weights that it began with, at the same precision"
        ) from None


def objective_names(protocol: EvaluationProtocol) -> tuple[str, str]:
    """The names of the FID and the CLIP score that a search decides by: the protocol's first of each.

    Raises:
        InputError: a protocol without one of them, or with metrics that a search does not use.
    """
    for what, networks in (("features", protocol.features), ("clips", protocol.text_networks("clip"))):
        if not networks:
            raise InputError(f"{what}: none; a search needs one network or more there")
    if sorted(metric for metric in protocol.metrics if metric != HPS) != ["clip", "fid"]:
        raise InputError(
            f"metrics: {', '.join(protocol.metrics)}; allowed in a search: fid, clip, and {HPS} beside"
        )
    if HPS in protocol.metrics and not protocol.text_networks(HPS):
        raise InputError(
            f"clips: none of {HPS}, which the metrics name; needed: {{network: {HPS}, weights: v2.0}}"
        )
    clip = protocol.text_networks("clip")[0]
    return score_name("fid", protocol.features[0].name), text_score_name(clip)


def searched_clips(protocol: EvaluationProtocol) -> tuple[NetworkSpec, ...]:
    """Of the protocol's networks of images and captions, those that a search scores by: the first CLIP, and
    HPS's where HPS is among the metrics."""
    return (
        *protocol.text_networks("clip")[:1],
        *(protocol.text_networks(HPS) if HPS in protocol.metrics else ()),
    )


def score_names(protocol: EvaluationProtocol) -> tuple[str, ...]:
    """All that a `ProtocolEvaluator` scores. Raises InputError as `objective_names` does."""
    fids = (score_name("fid", spec.name) for spec in protocol.features)
    objective_names(protocol)
    return (*fids, *map(text_score_name, searched_clips(protocol)))


def reference_of_images(
    protocol: EvaluationProtocol, networks: Networks, read: ReadImages, data_digest: str, cache_folder: Path
) -> tuple[Reference, EvaluationProtocol]:
    """Moments of the first images that `read` gives, as many as the protocol says, and the protocol with
    their digest. Kept in the cache folder by what decides them, so a second search need not measure again.

    Args:
        data_digest: of the set that `read` reads from, whatever the indices.

    Raises:
        InputError: images that do not fit the form.
    """
    assert protocol.reference is not None
    check_form(protocol.images)
    of_features, count = Networks(networks.features), protocol.reference.images
    stem = cache_folder / "references" / "held-out"
    path = place_of(stem, (data_digest, count), protocol.images, of_features)
    reference = cached_reference(path, lambda: _measured(protocol, of_features, read))
    return reference, replace(
        protocol, reference=replace(protocol.reference, digest=reference.about["digest"])
    )


def _measured(protocol: EvaluationProtocol, networks: Networks, read: ReadImages) -> Reference:
    """References do not pass through the samples' file format."""
    assert protocol.reference is not None and protocol.reference.images is not None
    count, sha = protocol.reference.images, hashlib.sha256()
    measured = Measurements.by(networks)
    for start in range(0, count, CHUNK):
        numbers = range(start, min(start + CHUNK, count))
        images = read(numbers)
        sha.update(np.ascontiguousarray(images).data)
        measured.add(networks, numbers, np.stack([prepare(one, protocol.images) for one in images]))
    about = about_references(count, sha.hexdigest()[:16], protocol.images, networks)
    return Reference.of(measured, about, keep_features=False)


def _recorded(protocol: EvaluationProtocol, fid: str, clip: str) -> dict[str, Any]:
    """As a record holds it: networks by name, so that a difference names the network and the field."""
    by_name = {
        what: {spec.name: to_plain(spec, omit_defaults=True) for spec in specs}
        for what, specs in (("features", protocol.features), ("clips", protocol.clips))
    }
    left_out = ("metrics", "source", "open_in_source")
    plain = {name: value for name, value in protocol.to_plain().items() if name not in left_out}
    return plain | by_name | {"objectives": {"fid": fid, "clip": clip}}
