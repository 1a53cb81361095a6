"""What scores a search: the embedded evaluator, or the networks of a named protocol on the search's own data.

Under a protocol's networks a candidate draws `scoring.images` pictures of the data's size, as training draws
them, and is compared with held-out pictures. That is never the protocol itself, and does not pass for it: it
is derived from it, with an id of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evaluators.completion import with_reference
from evaluators.images.image_set import open_images
from evaluators.images.preparation import check_form
from evaluators.measuring.measured_set import OnImages
from evaluators.measuring.reference import Reference
from evaluators.measuring.reference_cache import SUFFIX, MeasureSettings, reference_from
from evaluators.networks.features import Networks
from evaluators.networks.loading import load_networks
from evaluators.networks.weights import Missing
from evaluators.protocols.protocol import (
    CaptionList,
    EvaluationProtocol,
    ReferenceSet,
    Sampling,
    differences,
    protocol_text,
)
from evaluators.run import networks_alone
from evaluators.scorers.by_protocol import (
    ProtocolEvaluator,
    load_evaluator,
    load_pinned,
    reference_of_images,
    stored_protocol,
)
from evaluators.scorers.embedded import Evaluator, EvaluatorSettings
from evaluators.scorers.scorer import Scorer
from search.runs.files import EVALUATOR_FOLDER
from search.settings import SearchSettings
from search.statistics.noise import without_noise
from search.trial import evaluation_captions
from space.shared.plain import InputError
from training.data.dataset import Dataset

SEEDS = "picture i from (seed, i); the seed is the trial's, a new one for each confirmation run"
NOT_SHOWN = ("digest", "file_sha256", "preparation")  # a difference in these is told by a name beside them
Say = Callable[[str], None]


def prepare_evaluator(
    settings: SearchSettings, folder: Path, data: Dataset, say: Say = lambda text: None
) -> Scorer:
    """The run's evaluator, in `folder`; a resumed run scores with the very models it began with.

    Raises:
        InputError: weights that are missing or not those of the run, or a reference that does not fit.
    """
    if (folder / "protocol.yaml").is_file():
        return load_evaluator(folder, settings.weights, settings.compute)
    if isinstance(settings.evaluators, EvaluationProtocol):
        return _prepare_by_protocol(settings, folder, data, say)
    return _prepare_embedded(settings, settings.evaluators, folder, data, say)


def told_of(evaluator: Scorer, settings: SearchSettings, data: Dataset) -> list[str]:
    """The protocol, and what must be known before the first score."""
    lines = [protocol_text(evaluator.protocol["name"], evaluator.protocol_id, evaluator.protocol)]
    if isinstance(evaluator, Evaluator):
        lines += _told_of_embedded(evaluator)
    if isinstance(evaluator, ProtocolEvaluator):
        assert isinstance(settings.evaluators, EvaluationProtocol)
        lines += _told_of_protocol(settings.evaluators, evaluator.stated)
        lines += _told_of_counts(evaluator)
    captions = scored_captions(settings, data)
    if cut := evaluator.too_long(captions):
        lines.append(f"warning: {cut} of {len(captions)} prompts are longer than its text tower, and cut")
    return lines


def scored_captions(settings: SearchSettings, data: Dataset) -> list[str]:
    """The prompts of every evaluation."""
    return evaluation_captions(data.held_out_captions, settings.scored_images)


def pictures(batch: tuple[Tensor, list[str]]) -> tuple[np.ndarray, list[str]]:
    """A batch as training sees it, float (B, 3, H, W) in [-1, 1], as evaluators do: uint8 (B, H, W, 3)."""
    images, captions = batch
    return ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy(), captions


def _prepare_embedded(
    settings: SearchSettings, chosen: EvaluatorSettings, folder: Path, data: Dataset, say: Say
) -> Evaluator:
    say("the evaluators' small CLIP: shipped for the default pictures, else trained once, about 20 s ...")
    wanted = max(chosen.reference_images, chosen.retrieval_images)
    held_out_images, held_out_captions = pictures(
        data.held_out(range(min(wanted, len(data.held_out_captions))))
    )
    return Evaluator.prepare(
        folder,
        chosen,
        train=lambda indices: pictures(data.train(indices)),
        train_count=len(data.train_captions),
        held_out_images=held_out_images,
        held_out_captions=held_out_captions,
        data_digest=data.digest,
        cache_folder=settings.cache,
        captions=_caption_list(settings, data),
        drawing=_drawing(settings),
    )


def _told_of_embedded(evaluator: Evaluator) -> list[str]:
    found = (
        f"embedded CLIP: finds the right caption for {evaluator.clip.retrieval_accuracy:.1%} of "
        "the held-out pictures it was checked on"
    )
    return [found] if evaluator.clip.warning is None else [found, f"warning: {evaluator.clip.warning}"]


# ---------------------------------------------------------------------- by the networks of a protocol


def check_scoring(settings: SearchSettings, data: Dataset) -> None:
    """That a protocol's networks are there, can be loaded, and are those that a resumed run began with.

    Raises:
        InputError: if not, or if the data cannot be brought into the protocol's form.
    """
    if not isinstance(settings.evaluators, EvaluationProtocol):
        return
    began = stored_protocol(Path(settings.resume) / EVALUATOR_FOLDER) if settings.resume else None
    if began is not None:
        load_pinned(began, settings.weights, settings.compute)
        return
    protocol = derived_protocol(settings, settings.evaluators, data)
    check_form(protocol.images)
    _load(settings, protocol)
    _check_reference(settings.scoring.reference)


def scoring_plan(settings: SearchSettings, data: Dataset) -> list[str]:
    """What will score, in words: for the plan of a search that has not begun."""
    of = f"of {settings.scored_images} pictures a rung"
    objectives = settings.objectives
    lines = [f"{' and '.join(objective.name for objective in objectives)}, {of}"]
    if unknown := without_noise(settings.noise, objectives):
        lines.append(
            f"no noise is stated for {', '.join(unknown)} (noise.rungs, others), so that verdicts are "
            "undecided until repeated seeds show it"
        )
    if isinstance(settings.evaluators, EvaluationProtocol):
        derived = derived_protocol(settings, settings.evaluators, data)
        lines += [derived.name, *_told_of_protocol(settings.evaluators, derived)]
    return lines


def _check_reference(source: str | None) -> None:
    """Raises InputError where there are neither statistics nor images."""
    if source is not None and source.endswith(SUFFIX):
        Reference.load(Path(source).expanduser())
    elif source is not None:
        open_images(source, "scoring.reference")


def derived_protocol(
    settings: SearchSettings, named: EvaluationProtocol, data: Dataset
) -> EvaluationProtocol:
    """A named protocol's networks and preparation, with the search's own pictures, captions and drawing."""
    held_out = min(settings.scoring.reference_images, len(data.held_out_captions))
    real: ReferenceSet | None = ReferenceSet(
        settings.data.title, held_out, "first of the held-out split", data_digest=data.digest
    )
    if settings.scoring.reference is not None:
        real = named.reference
    try:
        form = replace(named.images, drawn_size_px=data.image_size_px)
    except InputError as error:
        raise InputError(f"evaluators.images: {error}") from None
    return EvaluationProtocol(
        name=f"{named.name} networks on {settings.data.title}",
        samples=settings.scoring.images,
        images=form,
        features=named.features,
        clips=named.clips[:1],
        reference=real,
        captions=_caption_list(settings, data),
        drawing=_drawing(settings),
    )


def what_differs(named: EvaluationProtocol, scored: EvaluationProtocol) -> str:
    """In which fields a derived protocol is not the named one: scores of the two do not compare."""
    fields = differences(named, scored)
    if named.clips[1:]:
        fields = {name: values for name, values in fields.items() if not name.startswith("clips[")}
        others = ", ".join(spec.name for spec in named.clips[1:])
        fields["clips"] = (f"{scored.clips[0].name}, {others}", scored.clips[0].name)
    return "; ".join(
        f"{name} {ours} for {theirs}"
        for name, (theirs, ours) in fields.items()
        if theirs is not None and ours is not None and name.rpartition(".")[2] not in NOT_SHOWN
    )


def _told_of_protocol(named: EvaluationProtocol, scored: EvaluationProtocol) -> list[str]:
    lines = []
    if said := what_differs(named, scored):
        lines.append(f"not {named.name} itself, and compares with none of its scores: {said}")
    lines.append(
        "what counts as noise was stated by noise=; if that was measured under other evaluators, measure it "
        "for these: mdsearch noise"
    )
    return lines


def _prepare_by_protocol(
    settings: SearchSettings, folder: Path, data: Dataset, say: Say
) -> ProtocolEvaluator:
    assert isinstance(settings.evaluators, EvaluationProtocol)
    networks, protocol = _load(settings, derived_protocol(settings, settings.evaluators, data))
    names = ", ".join(network.name for network in networks.features)
    say(f"reference pictures: measured by {names} once, then cached ...")
    if settings.scoring.reference is None:

        def draw(indices: Sequence[int]) -> np.ndarray:
            return pictures(data.held_out(indices))[0]

        reference, protocol = reference_of_images(protocol, networks, draw, data.digest, settings.cache)
    else:
        reference, protocol = _given_reference(settings, networks, protocol)
    evaluator = ProtocolEvaluator(networks, reference, protocol)
    evaluator.save(folder)
    return evaluator


def _told_of_counts(evaluator: ProtocolEvaluator) -> list[str]:
    return [
        f"{name}: {evaluator.images:,} samples for {moments.width:,} features: its FID is mostly bias, and "
        "ranks networks at this count alone"
        for name, moments in evaluator.references.items()
        if evaluator.images <= moments.width
    ]


def _load(settings: SearchSettings, protocol: EvaluationProtocol) -> tuple[Networks, EvaluationProtocol]:
    try:
        return load_networks(protocol, settings.weights, settings.compute)
    except Missing as error:
        raise Missing(
            f"{error}\nwithout any download: evaluators=embedded, which a search trains on its own data"
        ) from None


def _given_reference(
    settings: SearchSettings, networks: Networks, protocol: EvaluationProtocol
) -> tuple[Reference, EvaluationProtocol]:
    """That of `scoring.reference`: statistics, or pictures that are measured here."""
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


def _caption_list(settings: SearchSettings, data: Dataset) -> CaptionList:
    name = f"first of the held-out captions of {settings.data.title}"
    return CaptionList.of(name, scored_captions(settings, data))


def _drawing(settings: SearchSettings) -> Sampling:
    training = settings.training
    return Sampling("ddim", training.sampling_steps, training.guidance, settings.seed, SEEDS)
