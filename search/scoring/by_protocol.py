"""A search scored by the networks of a named protocol, on its own data.

Under a protocol's networks a candidate generates `scoring.images` images of the data's size, as training
does, and is compared with held-out images. That is never the protocol itself, and does not pass for it: it
is derived from it, with an id of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from evaluators.completion import with_reference
from evaluators.measuring.measured_set import OnImages
from evaluators.measuring.reference import PASSED_OVER, Reference
from evaluators.measuring.reference_cache import MeasureSettings, reference_from
from evaluators.networks.features import Networks
from evaluators.networks.loading import load_networks
from evaluators.networks.weights import Missing
from evaluators.protocols.protocol import (
    HPS,
    EvaluationProtocol,
    ReferenceSet,
    differences,
)
from evaluators.run import networks_alone
from evaluators.scorers.by_protocol import (
    ProtocolEvaluator,
    reference_of_images,
    searched_clips,
)
from search.scoring.inputs import as_uint8, caption_list, sampling_of
from search.settings import SearchSettings
from space.shared.plain import InputError
from training.data.dataset import Dataset

NOT_SHOWN = ("digest", "file_sha256", "preparation")  # a difference in these is told by a name beside them
Say = Callable[[str], None]


def derived_protocol(
    settings: SearchSettings, named: EvaluationProtocol, data: Dataset
) -> EvaluationProtocol:
    """A named protocol's networks and preparation, with the search's own images, captions and sampling."""
    held_out = min(settings.scoring.reference_images, len(data.held_out_captions))
    chosen = f"first of the held-out split{', decoded' if data.encoders else ''}"
    real: ReferenceSet | None = ReferenceSet(settings.data.title, held_out, chosen, data_digest=data.digest)
    if settings.scoring.reference is not None:
        real = named.reference
    try:
        size = data.image_size_px  # of samples and held-out images alike, where the protocol leaves it open
        form = replace(named.images, drawn_size_px=size, size_px=named.images.size_px or size)
    except InputError as error:
        raise InputError(f"evaluators.images: {error}") from None
    return EvaluationProtocol(
        name=f"{named.name} networks on {settings.data.title}",
        samples=settings.scoring.images,
        images=form,
        features=named.features,
        clips=searched_clips(named),
        reference=real,
        captions=caption_list(settings, data),
        drawing=sampling_of(settings),
        metrics=("fid", "clip", HPS) if HPS in named.metrics else ("fid", "clip"),
    )


def differences_from_named(named: EvaluationProtocol, scored: EvaluationProtocol) -> str:
    """In which fields a derived protocol is not the named one: scores of the two do not compare."""
    fields = differences(named, scored)
    if len(scored.clips) < len(named.clips):
        fields = {name: values for name, values in fields.items() if not name.startswith("clips[")}
        theirs, ours = (", ".join(spec.name for spec in each.clips) for each in (named, scored))
        fields["clips"] = (theirs, ours)
    return "; ".join(
        f"{name} {ours} for {theirs}"
        for name, (theirs, ours) in fields.items()
        if theirs is not None and ours is not None and name.rpartition(".")[2] not in NOT_SHOWN
    )


def describe_by_protocol(named: EvaluationProtocol, scored: EvaluationProtocol) -> list[str]:
    lines = []
    if said := differences_from_named(named, scored):
        lines.append(f"not {named.name} itself, and compares with none of its scores: {said}")
    return lines


def prepare_by_protocol(settings: SearchSettings, folder: Path, data: Dataset, say: Say) -> ProtocolEvaluator:
    assert isinstance(settings.evaluators, EvaluationProtocol)
    networks, protocol = load_protocol_networks(
        settings, derived_protocol(settings, settings.evaluators, data)
    )
    names = ", ".join(network.name for network in networks.features)
    say(f"reference images: measured by {names} once, then cached ...")
    if settings.scoring.reference is None:

        def images_at(indices: Sequence[int]) -> np.ndarray:
            return as_uint8(data.held_out(indices))[0]

        reference, protocol = reference_of_images(protocol, networks, images_at, data.digest, settings.cache)
    else:
        reference, protocol = _given_reference(settings, networks, protocol)
        if said := reference.about.get(PASSED_OVER):
            say(f"reference, {said}")
    evaluator = ProtocolEvaluator(networks, reference, protocol)
    evaluator.save(folder)
    return evaluator


def load_protocol_networks(
    settings: SearchSettings, protocol: EvaluationProtocol
) -> tuple[Networks, EvaluationProtocol]:
    try:
        return load_networks(protocol, settings.weights, settings.compute)
    except Missing as error:
        raise Missing(
            f"{error}\nwithout any download: evaluators=embedded, which a search trains on its own data"
        ) from None


def _given_reference(
    settings: SearchSettings, networks: Networks, protocol: EvaluationProtocol
) -> tuple[Reference, EvaluationProtocol]:
    """That of `scoring.reference`: statistics, or images that are measured here."""
    assert settings.scoring.reference is not None
    reference = reference_from(
        settings.scoring.reference,
        protocol.images,
        networks,
        partial(networks_alone, protocol, settings.weights, settings.compute),
        MeasureSettings(cache_folder=str(settings.cache / "references")),
        _quietly,
        None if protocol.reference is None else protocol.reference.images,
    )
    return reference, with_reference(protocol, reference)


@contextmanager
def _quietly(label: str) -> Iterator[OnImages]:
    yield lambda done, of: None
