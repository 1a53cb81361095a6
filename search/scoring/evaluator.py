"""The evaluator of a search: made, described, and checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from evaluators.images.preparation import check_form
from evaluators.measuring.reference_cache import check_reference_source
from evaluators.metrics.fid import too_few
from evaluators.networks.efficientnet import find_efficientnet
from evaluators.protocols.protocol import EvaluationProtocol, protocol_text
from evaluators.scorers.by_protocol import (
    ProtocolEvaluator,
    load_evaluator,
    load_pinned,
    searched_clips,
    stored_protocol,
)
from evaluators.scorers.embedded import PROTOCOL, Evaluator
from evaluators.scorers.scorer import Scorer
from search.runs.files import EVALUATOR_FOLDER
from search.scoring.by_protocol import (
    Say,
    derived_protocol,
    describe_by_protocol,
    load_protocol_networks,
    prepare_by_protocol,
)
from search.scoring.embedded import describe_embedded, prepare_embedded
from search.scoring.inputs import captions_of_file
from search.settings import SearchSettings
from search.statistics.noise import without_noise
from training.data.dataset import Dataset


def prepare_evaluator(
    settings: SearchSettings, folder: Path, data: Dataset, say: Say = lambda text: None
) -> Scorer:
    """The run's evaluator, in `folder`; a resumed run scores with the very models it began with.

    Raises:
        InputError: weights that are missing or not those of the run, or a reference that does not fit.
    """
    if (folder / PROTOCOL).is_file():
        return load_evaluator(folder, settings.weights, settings.compute)
    if isinstance(settings.evaluators, EvaluationProtocol):
        return prepare_by_protocol(settings, folder, data, say)
    return prepare_embedded(settings, settings.evaluators, folder, data, say)


def describe(
    evaluator: Scorer, settings: SearchSettings, data: Dataset, captions: Sequence[str]
) -> list[str]:
    """The protocol, and what must be known before the first score, which has these prompts."""
    lines = [protocol_text(evaluator.protocol["name"], evaluator.protocol_id, evaluator.protocol)]
    if isinstance(evaluator, Evaluator):
        lines += describe_embedded(evaluator)
    if isinstance(evaluator, ProtocolEvaluator):
        assert isinstance(settings.evaluators, EvaluationProtocol)
        lines += describe_by_protocol(settings.evaluators, evaluator.stated)
    lines += decoded_note(settings, data) + pixels_note(settings)
    lines += describe_counts(evaluator)
    if cut := evaluator.too_long(captions):
        lines.append(f"warning: {cut} of {len(captions)} prompts are longer than its text tower, and cut")
    return lines


def describe_counts(evaluator: Scorer) -> list[str]:
    """Sets that are too small for their features: by such a FID networks compare at these counts alone."""
    return [
        f"warning: FID by {name}: {note}; it ranks networks at these counts alone"
        for name, moments in evaluator.references.items()
        for note in too_few(evaluator.images, moments)
    ]


def scoring_plan(settings: SearchSettings, data: Dataset) -> list[str]:
    """What will score, in words: for the plan of a search that has not begun."""
    of = f"of {settings.scored_images} images per rung"
    objectives = settings.objectives
    lines = [f"{' and '.join(objective.name for objective in objectives)}, {of}"]
    if unknown := without_noise(settings.noise, objectives):
        lines.append(
            f"no noise is stated for {', '.join(unknown)} (noise.rungs, others), so that verdicts are "
            "undecided until repeated seeds show it"
        )
    if isinstance(settings.evaluators, EvaluationProtocol):
        derived = derived_protocol(settings, settings.evaluators, data)
        lines += [derived.name, *describe_by_protocol(settings.evaluators, derived)]
    return lines + decoded_note(settings, data) + pixels_note(settings)


def pixels_note(settings: SearchSettings) -> list[str]:
    """Of a CLIP that sees pixels alone, on data that have an experiment by better features."""
    own, data = settings.evaluators, settings.data
    if not data.experiment or isinstance(own, EvaluationProtocol) or own.clip.efficientnet_px is not None:
        return []
    return [
        f"note: the CLIP that judges sees pixels alone, which tell little of what data={data.name} shows; "
        f"experiment={data.experiment} has one of better features"
    ]


def decoded_note(settings: SearchSettings, data: Dataset) -> list[str]:
    """What scores against images that are latents, decoded, do not say."""
    if not data.encoders or settings.scoring.reference is not None:
        return []
    real = "; scoring.reference=... names real ones" * isinstance(settings.evaluators, EvaluationProtocol)
    return [f"note: compared with held-out latents, decoded: what the autoencoder loses is in no score{real}"]


def check_scoring(settings: SearchSettings, data: Dataset) -> None:
    """That networks which are not trained here are there, can be loaded, and are those that a resumed run
    began with.

    Raises:
        InputError: if not, or if the data cannot be brought into the protocol's form.
    """
    if not isinstance(settings.evaluators, EvaluationProtocol):
        for look in parts_of_scoring(settings):
            look()
        return
    began = stored_protocol(Path(settings.resume) / EVALUATOR_FOLDER) if settings.resume else None
    if began is not None:
        load_pinned(began, settings.weights, settings.compute)
        return
    protocol = derived_protocol(settings, settings.evaluators, data)
    check_form(protocol.images)
    load_protocol_networks(settings, protocol)
    if settings.scoring.reference is not None:
        check_reference_source(settings.scoring.reference, "scoring.reference")


def parts_of_scoring(settings: SearchSettings) -> list[Callable[[], object]]:
    """What reads each thing that scores need, and no data. Each raises InputError where it is not there."""
    named, scoring = settings.evaluators, settings.scoring
    if not isinstance(named, EvaluationProtocol):
        sees_photographs = named.efficientnet is not None or named.clip.efficientnet_px is not None
        return [lambda: find_efficientnet(None)] if sees_photographs else []
    if settings.resume is not None:
        return []
    scored_by = replace(named, clips=searched_clips(named), open_in_source=())
    looks: list[Callable[[], object]] = [lambda: load_protocol_networks(settings, scored_by)]
    if (captions := scoring.captions) is not None:
        looks.append(lambda: captions_of_file(captions, scoring.images))
    if (reference := scoring.reference) is not None:
        looks.append(lambda: check_reference_source(reference, "scoring.reference"))
    return looks
