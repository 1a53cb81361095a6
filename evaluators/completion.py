"""A protocol for images that are there: a preset, completed by how many they are and how they were generated.

What the preset fixes must be so; what it leaves open (null) is filled in, digests above all, so that another
set of images, captions or references never passes for this one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluators.images.image_set import ImageSet, common_side, open_images
from evaluators.measuring.measured_set import MeasuredSet
from evaluators.measuring.parts import chosen_images
from evaluators.measuring.reference import PASSED_OVER, UNSAID, Reference
from evaluators.measuring.reference_cache import reference_form
from evaluators.protocols.protocol import (
    HPS,
    METRICS,
    TEXT_METRICS,
    CaptionList,
    EvaluationProtocol,
    ImageForm,
    ReferenceSet,
    Sampling,
    text_metric,
)
from space.shared.image_files import SAMPLES_MANIFEST
from space.shared.plain import InputError, from_plain, to_plain

OWN = "own"  # images and captions that the preset does not name: their digest tells which they are


def protocol_for(
    preset: Mapping[str, Any],
    metrics: Sequence[str] | None,
    count: int,
    manifest: Mapping[str, Any] | None,
) -> EvaluationProtocol:
    """The preset for `count` images, as far as is known before networks and reference are there.

    What the preset says of the sampling counts for nothing: only a manifest beside the images knows.

    Args:
        preset: the fields of an `EvaluationProtocol`; `samples`, `reference` and `captions` may be null.
        metrics: instead of the preset's.

    Raises:
        InputError: fields that a protocol does not have, or another count than the preset's.
    """
    if "features" not in preset:
        raise InputError(
            "evaluators: this preset is trained on a search's own data; score with what it trained by "
            "evaluator=runs/<name>/evaluator"
        )
    fields = dict(preset)
    wanted = tuple(metrics or fields.get("metrics") or ())
    if fields.get("samples") not in (None, count):
        raise InputError(
            f"images: {count:,} of them, where the protocol {fields['name']} scores {fields['samples']:,}; "
            f"evaluators.samples={count} makes a protocol of your own"
        )
    fields |= {"samples": count, "metrics": wanted, "drawing": to_plain(_sampling(manifest))}
    unused: dict[str, Any] = _unused_clips(fields.get("clips"), wanted)
    if not set(wanted) - set(TEXT_METRICS):
        unused |= {"features": [], "reference": None}
    if not set(wanted) & set(TEXT_METRICS):
        unused |= {"clips": [], "captions": None}
    elif fields.get("captions") is None:
        fields["captions"] = {"name": OWN}
    said = fields.get("open_in_source", [])
    fields |= {"open_in_source": [path for path in said if re.split(r"\W", path)[0] not in unused], **unused}
    protocol: EvaluationProtocol = from_plain(EvaluationProtocol, fields, "evaluators")
    _check_networks(protocol)
    return protocol


def _unused_clips(clips: Any, wanted: Sequence[str]) -> dict[str, Any]:
    """The entry that leaves out networks of another metric of captions; none where all are of use."""
    if not isinstance(clips, (list, tuple)):
        return {}
    kept = [
        spec for spec in clips if not isinstance(spec, Mapping) or text_metric(spec.get("network")) in wanted
    ]
    return {} if len(kept) == len(clips) else {"clips": kept}


def with_size(
    protocol: EvaluationProtocol,
    samples: ImageSet | int | None,
    reference: str | None,
    only: str | None = None,
) -> EvaluationProtocol:
    """Where the preset leaves the size open: the side that all images have, or where they have several no
    size, and no resize but the networks' own. So every image passes through one resize.

    Args:
        samples: the images, or their side where they are not there yet; None for references alone.
        reference, only: as `reference_from` takes them.

    Raises:
        InputError: no such reference images.
    """
    form = protocol.images
    if form.size_px is not None:
        return protocol
    sides = {samples} if isinstance(samples, int) else _sides(samples, form)
    if reference is not None and protocol.features and None not in sides:
        stated = reference_form(reference)
        if stated is None:
            sides |= _sides(chosen_images(reference, "reference", only), form)
        elif "size_px" in stated:
            sides.add(stated["size_px"])
    side = next(iter(sides), None) if len(sides) == 1 else None
    if side is None:
        return replace(protocol, images=replace(form, resize="none", antialias=True))
    return replace(protocol, images=replace(form, size_px=side))


def _sides(images: ImageSet | None, form: ImageForm) -> set[int | None]:
    return set() if images is None else {common_side(images, cropped=form.crop == "center")}


def _check_networks(protocol: EvaluationProtocol) -> None:
    """Raises InputError where no metric is asked for, or none of the networks that one needs."""
    if not protocol.metrics:
        raise InputError(f"metrics: none; allowed: {', '.join(METRICS)}")
    of_features = [metric for metric in protocol.metrics if metric not in TEXT_METRICS]
    if of_features and not protocol.features:
        raise InputError(f"evaluators.features: none; {', '.join(of_features)} needs one network or more")
    for metric in TEXT_METRICS:
        if metric in protocol.metrics and not protocol.text_networks(metric):
            known = ": {network: hps, weights: v2.0}, or v2.1" if metric == HPS else ""
            raise InputError(f"evaluators.clips: none; {metric} needs one network or more{known}")


def with_reference(
    protocol: EvaluationProtocol, reference: Reference, chosen: str = "all"
) -> EvaluationProtocol:
    """Naming the images that are compared with, for a preset that does not say which are `chosen`.

    Raises:
        InputError: the preset pins others.
    """
    stated = protocol.reference
    images, digest = reference.images, reference.about["digest"]
    if stated is None:
        return replace(protocol, reference=ReferenceSet(OWN, images, chosen, digest))
    if stated.digest not in (None, digest):
        raise InputError(
            f"reference: images of digest {digest}, where the protocol {protocol.name} has {stated.digest}"
        )
    return replace(protocol, reference=replace(stated, images=images, digest=digest))


def with_samples(
    protocol: EvaluationProtocol, result: MeasuredSet, captions: Sequence[str] | None
) -> EvaluationProtocol:
    """With the number of samples that could be read, and the digest of their captions.

    Raises:
        InputError: the preset pins other captions.
    """
    protocol = replace(protocol, samples=len(result.measured))
    if captions is None or protocol.captions is None:
        return protocol
    stated = protocol.captions
    found = CaptionList.of(stated.name, [captions[index] for index in result.measured.indices])
    if stated.digest not in (None, found.digest):
        raise InputError(
            f"captions: of digest {found.digest}, where the protocol {protocol.name} has {stated.digest}"
        )
    return replace(protocol, captions=found)


def notes_on(
    result: MeasuredSet,
    protocol: EvaluationProtocol,
    preset: Mapping[str, Any],
    manifest: Mapping[str, Any] | None,
) -> list[str]:
    """What a reader of the scores must know of the images."""
    notes = []
    prompts, scored = (manifest or {}).get("captions"), protocol.captions
    if prompts and scored and not result.unreadable and prompts != scored.digest:
        notes.append("the captions are not those that the samples were generated for")
    wanted, actual = preset.get("drawing") or {}, to_plain(protocol.drawing)
    differing = {name: value for name, value in actual.items() if wanted.get(name) not in (None, value)}
    if differing and all(value is None for value in actual.values()):
        notes.append(f"how the samples were generated is not said, as {preset['name']} wants it")
    elif differing:
        differences = ", ".join(f"{name} {value} for {wanted[name]}" for name, value in differing.items())
        notes.append(f"generated otherwise than {preset['name']} says: {differences}")
    if result.unreadable:
        notes.append(f"{len(result.unreadable):,} images could not be read and are left out")
    if result.jpeg:
        said = (
            "of unknown quality" if protocol.images.file_format == "jpeg" else "where the protocol says png"
        )
        notes.append(f"{result.jpeg:,} samples came as JPEG, {said}")
    return notes


def source_notes(images: ImageSet, reference: Reference | None) -> list[str]:
    """What lay among samples and references and was read as no image, and what statistics leave unsaid."""
    about = {} if reference is None else reference.about
    notes = [str(images.passed_over)]
    notes += [f"reference, {said}" for name in (PASSED_OVER, UNSAID) if (said := about.get(name))]
    return [note for note in notes if note]


def manifest_beside(source: str) -> dict[str, Any] | None:
    """How the images were generated, where a manifest beside them says so (`mdsearch generate samples`).

    Raises:
        InputError: a manifest that cannot be read, or not all of its samples are there.
    """
    path = Path(source).expanduser() / SAMPLES_MANIFEST
    if not path.is_file():
        return None
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        wanted = manifest["settings"]["count"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"images: {path} cannot be read as a manifest of samples ({type(error).__name__}: {error}); if "
            "it is one of something else, take it away"
        ) from None
    there = len(open_images(source).names)
    if there != wanted:
        raise InputError(
            f"images: {there:,} in {source}, of which {path} says there will be {wanted:,}; generate the "
            f"others first, or take {SAMPLES_MANIFEST} away"
        )
    return manifest


def _sampling(manifest: Mapping[str, Any] | None) -> Sampling:
    said = (manifest or {}).get("settings", {})
    sampling: Sampling = from_plain(
        Sampling,
        {name: said.get(name) for name in ("sampler", "steps", "guidance", "seed")},
        SAMPLES_MANIFEST,
    )
    return sampling
