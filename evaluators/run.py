"""Scores of anybody's images under a protocol: from what somebody names to a sheet of scores."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evaluators.completion import (
    manifest_beside,
    notes_on,
    protocol_for,
    source_notes,
    with_reference,
    with_samples,
    with_size,
)
from evaluators.images.benchmark import ImageCaptions, captions_and_styles, check_prompts
from evaluators.images.image_set import ImageSet, open_images
from evaluators.measuring.measured_set import OnImages, measure_set
from evaluators.measuring.measurements import Measurements
from evaluators.measuring.moments_file import is_moments_file
from evaluators.measuring.parts import Work
from evaluators.measuring.reference import PASSED_OVER, Reference
from evaluators.measuring.reference_cache import MeasureSettings, Show, check_unreadable, reference_from
from evaluators.measuring.scoring import scores
from evaluators.measuring.second_opinions import clip_opinion, feature_opinions, opinions_of
from evaluators.measuring.text_scores import text_scale
from evaluators.networks.features import Networks
from evaluators.networks.loading import ComputeSettings, load_networks
from evaluators.networks.weights import Missing, WeightsSettings
from evaluators.output import claim, with_earlier
from evaluators.protocols.protocol import HPS, EvaluationProtocol
from evaluators.protocols.score import Score, text_score_name
from evaluators.protocols.sheet import FILE, Sheet
from space.shared.plain import InputError
from space.shared.second_opinion import SecondOpinion

PARTS = "parts"
OPINIONS = "second_opinions"  # in a sheet's `about`
OF_FEATURES = ("kid", "precision", "recall")  # metrics for which moments do not suffice
MEASURING_PACKAGES = ("torch", "torchvision", "open_clip_torch", "numpy", "pillow")


@dataclass(frozen=True)
class Request:
    """What is to be scored, and by what.

    Attributes:
        preset: the fields of an `EvaluationProtocol`. Where `samples`, `reference` or `captions` are null,
            they are what is there; `drawing` counts for nothing, since only a manifest beside them knows it.
        reference_list: a captions file that names which of the reference images are meant.
        metrics: instead of the preset's.
        check: lay a second opinion beside FID, KID and CLIP score, in the sheet's `second_opinions`.
        prepared: statistics to compare with where `reference` names none, those of a search's evaluator.
    """

    images: str
    preset: Mapping[str, Any]
    captions: str | None = None
    reference: str | None = None
    reference_list: str | None = None
    metrics: tuple[str, ...] | None = None
    prepared: Reference | None = None
    out: str | None = None
    intervals: bool = True
    check: bool = False
    weights: WeightsSettings = field(default_factory=WeightsSettings)
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    measuring: MeasureSettings = field(default_factory=MeasureSettings)


def score_images(request: Request, show: Show) -> tuple[Sheet, Path]:
    """The sheet of scores, and the file that it was written to.

    Raises:
        InputError: whatever does not fit. What was measured by then stays in the folder, and the same request
            goes on from there.
    """
    images = open_images(request.images)
    check_prompts(images, request.captions)
    manifest = manifest_beside(request.images)
    protocol = protocol_for(request.preset, request.metrics, len(images.names), manifest)
    _check_reference(request, protocol)
    protocol = with_size(protocol, images, request.reference, request.reference_list)
    found = _captions(request, protocol, images) if protocol.clips else None
    captions = found.texts if found else None
    networks, protocol = _networks(request, protocol)
    load = partial(networks_alone, protocol, request.weights, request.compute)
    folder = claim(request.images, request.captions, request.out, protocol)
    reference, protocol = _reference(request, protocol, networks, load, show)

    work = Work(
        source=request.images,
        field="images",
        samples=True,
        captions=captions,
        form=protocol.images,
        load=load,
        folder=folder / PARTS,
        part_images=request.measuring.part_images,
    )
    pace = _Pace()
    with show("images measured") as on_images:
        result = measure_set(
            work, networks, workers=request.measuring.workers, on_images=pace.watching(on_images)
        )
    check_unreadable(result.unreadable, len(result.measured), "images", request.measuring)
    protocol = with_samples(protocol, result, captions)
    styles = found.styles if found else ()
    made = scores(result.measured, reference, protocol, intervals=request.intervals, styles=styles)
    notes = notes_on(result, protocol, request.preset, manifest)
    notes += source_notes(images, reference)
    sheet = Sheet(
        {name: replace(score, notes=(*score.notes, *notes)) for name, score in made.items()},
        {
            "images": {
                "source": request.images,
                "count": len(result.measured),
                "digest": result.digest,
                "unreadable": result.unreadable,
                PASSED_OVER: str(images.passed_over),
            },
            "captions": request.captions,
            "reference": {"source": request.reference, **(reference.about if reference else {})},
            "drawn": manifest,  # the name in files of earlier versions
            "pace": pace.plain() | {"device": request.compute.on, "workers": request.measuring.workers},
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {name: version(name) for name in MEASURING_PACKAGES}
            | {"python": platform.python_version()},
        },
    )
    sheet = with_earlier(sheet, folder / FILE)
    sheet.save(folder / FILE)
    if request.check:
        opinions = _second_opinions(result.measured, reference, sheet.scores, work, networks, protocol, show)
        sheet = Sheet(sheet.scores, {**sheet.about, OPINIONS: [opinion.to_plain() for opinion in opinions]})
        sheet.save(folder / FILE)
    return sheet, folder / FILE


def _second_opinions(
    measured: Measurements,
    reference: Reference | None,
    made: Mapping[str, Score],
    work: Work,
    networks: Networks,
    protocol: EvaluationProtocol,
    show: Show,
) -> list[SecondOpinion]:
    opinions: list[SecondOpinion] = []
    if reference is not None:
        with show("second opinions on features") as on_opinion:
            for opinion in feature_opinions(measured, reference, made):
                opinions.append(opinion)
                on_opinion(len(opinions), opinions_of(measured, reference))
    for spec, network in zip(protocol.clips, networks.similarities, strict=True):
        with show("images embedded for the second opinion") as on_images:
            score = made[text_score_name(spec)]
            opinions.append(clip_opinion(work, network, measured, score, text_scale(spec), on_images))
    return opinions


def check_request(request: Request, count: int, side: int, show: Show) -> None:
    """All that `score_images` will want beside its `count` images of this side: that they are not generated
    in vain.

    Reference statistics are measured if they have to be, and kept.

    Raises:
        InputError: metrics, a reference, weights that are missing or do not fit.
    """
    protocol = protocol_for(request.preset, request.metrics, count, None)
    _check_reference(request, protocol)
    protocol = with_size(protocol, side, request.reference, request.reference_list)
    networks, protocol = _networks(request, protocol)
    load = partial(networks_alone, protocol, request.weights, request.compute)
    _reference(request, protocol, networks, load, show)


def reference_statistics(request: Request, show: Show) -> Reference:
    """Statistics of the request's reference images alone.

    Raises:
        InputError: as `score_images`.
    """
    if request.reference is None:
        raise InputError("statistics: of which images? give reference=<folder, .npz or .tar>")
    if is_moments_file(request.reference):
        raise InputError(f"statistics: of images; {request.reference!r} holds statistics already")
    least = 2  # samples, of which there are none here
    protocol = protocol_for({**request.preset, "samples": None}, ["fid"], least, None)
    protocol = with_size(protocol, None, request.reference, request.reference_list)
    networks, protocol = _networks(request, protocol)
    load = partial(networks_alone, protocol, request.weights, request.compute)
    reference, _ = _reference(request, protocol, networks, load, show)
    assert reference is not None
    return reference


def _networks(request: Request, protocol: EvaluationProtocol) -> tuple[Networks, EvaluationProtocol]:
    try:
        return load_networks(protocol, request.weights, request.compute)
    except Missing as error:
        raise Missing(
            f"{error}\nwithout any download: evaluator=runs/<name>/evaluator scores by what a search trained"
        ) from None


def networks_alone(
    protocol: EvaluationProtocol, weights: WeightsSettings, compute: ComputeSettings
) -> Networks:
    """What a worker process loads."""
    return load_networks(protocol, weights, compute)[0]


# ---------------------------------------------------------------------- what the request names


def _captions(request: Request, protocol: EvaluationProtocol, images: ImageSet) -> ImageCaptions:
    of_benchmark = HPS in protocol.metrics
    return captions_and_styles(images, request.images, request.captions, of_benchmark=of_benchmark)


def _reference(
    request: Request, protocol: EvaluationProtocol, networks: Networks, load: partial[Networks], show: Show
) -> tuple[Reference | None, EvaluationProtocol]:
    """The statistics to compare with, if any metric does, and the protocol that names their images."""
    if not protocol.features:
        return None, protocol
    reference = request.prepared
    if request.reference is not None:
        wanted = None if protocol.reference is None else protocol.reference.images
        reference = reference_from(
            request.reference,
            protocol.images,
            networks,
            load,
            request.measuring,
            show,
            wanted,
            request.reference_list,
        )
    assert reference is not None
    lacking = [metric for metric in protocol.metrics if metric in OF_FEATURES]
    if lacking and any(spec.name not in reference.features for spec in protocol.features):
        raise InputError(
            f"reference: holds moments alone, and {', '.join(lacking)} need features; give the images, or "
            "statistics that were made with statistics_features=true"
        )
    return reference, with_reference(
        protocol, reference, "those of a list" if request.reference_list else "all"
    )


def _check_reference(request: Request, protocol: EvaluationProtocol) -> None:
    if protocol.features and request.reference is None and request.prepared is None:
        raise InputError(
            "reference: missing; give a folder, .npz or .tar of images, or a .safetensors of statistics, or "
            "leave out what compares with one: metrics=clip"
        )


class _Pace:
    """How many images were measured, and in how many seconds; those of an earlier process do not count."""

    def __init__(self) -> None:
        self._began, self._at_start, self._done = 0.0, -1, 0

    def watching(self, on_images: OnImages) -> OnImages:
        def told(done: int, of: int) -> None:
            if self._at_start < 0:
                self._began, self._at_start = time.monotonic(), done
            self._done, self._seconds = done, time.monotonic() - self._began
            on_images(done, of)

        return told

    def plain(self) -> dict[str, float]:
        images = self._done - self._at_start
        pace = {"images": images, "seconds": round(self._seconds, 2)}
        return pace | ({"images_per_second": round(images / self._seconds, 2)} if images else {})
