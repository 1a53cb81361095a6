"""Scores of anybody's images under a protocol: from what somebody names to a sheet of scores."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evaluators.completion import notes_on, protocol_for, read_manifest, with_reference, with_samples
from evaluators.files import replacing
from evaluators.images.captions import captions_beside, captions_of
from evaluators.images.image_set import ImageSet, open_images
from evaluators.measuring.measured_set import OnImages, measure_set
from evaluators.measuring.parts import Work
from evaluators.measuring.reference import Reference
from evaluators.measuring.reference_cache import MeasureSettings, Show, check_unreadable, reference_from
from evaluators.measuring.scoring import scores
from evaluators.networks.features import Networks
from evaluators.networks.loading import ComputeSettings, load_networks
from evaluators.networks.weights import Missing, WeightsSettings
from evaluators.protocols.protocol import Protocol
from evaluators.protocols.sheet import FILE, Sheet
from space.shared.plain import InputError, to_plain

JOB, PARTS = "job.json", "parts"
OF_FEATURES = ("kid", "precision", "recall")  # metrics for which moments do not suffice
PACKAGES = ("torch", "torchvision", "open_clip_torch", "numpy", "pillow")


@dataclass(frozen=True)
class Request:
    """What is to be scored, and by what.

    Attributes:
        preset: the fields of a `Protocol`. Where `samples`, `reference` or `captions` are null, they are what
            is there; `drawing` counts for nothing, since only a manifest beside the images knows it.
        reference_list: a captions file that names which of the reference images are meant.
        metrics: instead of the preset's.
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
    manifest = read_manifest(request.images)
    protocol = protocol_for(request.preset, request.metrics, len(images.names), manifest)
    _check_reference(request, protocol)
    captions = _captions(request, images) if protocol.clips else None
    networks, protocol = _networks(request, protocol)
    load = partial(networks_alone, protocol, request.weights, request.compute)
    folder = claim(request, protocol)
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
    made = scores(result.measured, reference, protocol, intervals=request.intervals)
    notes = notes_on(result, protocol, request.preset, manifest)
    sheet = Sheet(
        {name: replace(score, notes=(*score.notes, *notes)) for name, score in made.items()},
        {
            "images": {
                "source": request.images,
                "count": len(result.measured),
                "digest": result.digest,
                "unreadable": result.unreadable,
            },
            "captions": request.captions,
            "reference": {"source": request.reference, **(reference.about if reference else {})},
            "drawn": manifest,
            "pace": pace.plain() | {"device": request.compute.on, "workers": request.measuring.workers},
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        },
    )
    sheet = _with_earlier(sheet, folder / FILE)
    sheet.save(folder / FILE)
    return sheet, folder / FILE


def check_request(request: Request, count: int, show: Show) -> None:
    """All that `score_images` will want beside its `count` images: that they are not drawn in vain.

    Reference statistics are measured if they have to be, and kept.

    Raises:
        InputError: metrics, a reference, weights that are missing or do not fit.
    """
    protocol = protocol_for(request.preset, request.metrics, count, None)
    _check_reference(request, protocol)
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
    least = 2  # samples, of which there are none here
    protocol = protocol_for({**request.preset, "samples": None}, ["fid"], least, None)
    networks, protocol = _networks(request, protocol)
    load = partial(networks_alone, protocol, request.weights, request.compute)
    reference, _ = _reference(request, protocol, networks, load, show)
    assert reference is not None
    return reference


def _networks(request: Request, protocol: Protocol) -> tuple[Networks, Protocol]:
    try:
        return load_networks(protocol, request.weights, request.compute)
    except Missing as error:
        raise Missing(
            f"{error}\nwithout any download: evaluator=runs/<name>/evaluator scores by what a search trained"
        ) from None


def networks_alone(protocol: Protocol, weights: WeightsSettings, compute: ComputeSettings) -> Networks:
    """What a worker process loads."""
    return load_networks(protocol, weights, compute)[0]


# ---------------------------------------------------------------------- what the request names


def _captions(request: Request, images: ImageSet) -> tuple[str, ...]:
    file = request.captions
    if file is None and Path(request.images).expanduser().is_dir():
        beside = captions_beside(Path(request.images).expanduser())
        file = None if beside is None else str(beside)
    return tuple(captions_of(images, file))


def _reference(
    request: Request, protocol: Protocol, networks: Networks, load: partial[Networks], show: Show
) -> tuple[Reference | None, Protocol]:
    """The statistics to compare with, if any metric does, and the protocol that names their pictures."""
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


def _check_reference(request: Request, protocol: Protocol) -> None:
    if protocol.features and request.reference is None and request.prepared is None:
        raise InputError(
            "reference: missing; give a folder, .npz or .tar of images, or a .safetensors of statistics, or "
            "leave out what compares with one: metrics=clip"
        )


# ---------------------------------------------------------------------- the folder


def claim(request: Request, protocol: Protocol) -> Path:
    """The folder of this job, new or gone on with.

    Raises:
        InputError: it belongs to other images or networks, or cannot be written.
    """
    job = {
        "images": str(Path(request.images).expanduser().absolute()),
        "captions": request.captions and str(Path(request.captions).expanduser().absolute()),
        "form": to_plain(protocol.images),
        "features": to_plain(protocol.features),
        "clips": to_plain(protocol.clips),
    }
    key = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:8]
    stem = Path(request.images).absolute().name.partition(".")[0].strip("{}*") or "images"
    folder = Path(request.out or f"scores/{stem}-{key}").expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / JOB
        earlier = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else job
        differing = [name for name in job if earlier.get(name) != job[name]]
        if differing:
            raise InputError(
                f"out: {folder} belongs to scores with other {', '.join(differing)}; give another out"
            )
        with replacing(file) as own:
            own.write_text(json.dumps(job, indent=1), encoding="utf-8")
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"out: {folder} cannot be used: {error}") from None
    return folder


def _with_earlier(sheet: Sheet, path: Path) -> Sheet:
    """With scores that were made before of the same images under the same protocol, and their pace."""
    if not path.is_file():
        return sheet
    earlier, about = Sheet.load(path), dict(sheet.about)
    if earlier.about["images"]["digest"] != about["images"]["digest"]:
        return sheet
    if not about["pace"]["images"]:
        about["pace"] = earlier.about["pace"]
    id = next(iter(sheet.scores.values())).protocol.id
    kept = {name: score for name, score in earlier.scores.items() if score.protocol.id == id}
    return Sheet({**kept, **sheet.scores}, about)


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
