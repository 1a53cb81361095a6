"""What the points of a curve share: prompts, how images are generated, and what scores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.networks.loading import ComputeSettings
from evaluators.networks.weights import WeightsSettings
from evaluators.run import Request
from evaluators.scorers.prepared import from_search
from search.prompts import evaluation_captions, kept_captions
from search.runs.files import EVALUATOR_FOLDER
from search.settings import SearchSettings
from search.trial import TrialSettings
from space.shared.plain import InputError, from_plain
from training.data.captions import read_prompts
from training.data.factory import load_data
from training.devices import choose_device
from training.generation.generators import own_settings
from training.generation.settings import GenerationSettings


@dataclass(frozen=True)
class SamplingContext:
    """`generation` and `request` are those of one point; the others differ in guidance, steps and folders."""

    captions: list[str]
    generation: GenerationSettings
    request: Request


def of_run(
    run: Path,
    settings: SearchSettings,
    model: Path,
    wanted: Mapping[str, Any],
    compute: ComputeSettings,
    weights: WeightsSettings,
) -> SamplingContext:
    """As the trials of a run were generated and scored: its captions, its evaluator, its held-out references.

    Args:
        wanted: fields of `GenerationSettings` to be set; null leaves them to the run and the model.
    """
    if weights == WeightsSettings():
        weights = settings.weights  # those of the run
    preset, prepared, weights = from_search(str(run / EVALUATOR_FOLDER), weights)
    count = settings.scored_images
    prompts = kept_captions(run / EVALUATOR_FOLDER) or load_data(settings.data).held_out_captions
    captions = evaluation_captions(prompts, count)
    bf16 = settings.training.is_bf16_on(choose_device(compute.device))
    usual = {
        **own_settings(model),
        "count": count,
        "image_size_px": settings.data.image_size_px,
        "seed": settings.seed,
        "batch_size": TrialSettings.generation_batch,
        "precision": "bf16" if bf16 else "fp32",
        "threads": settings.cluster.threads_per_worker,
    }
    request = Request("", preset, prepared=prepared, compute=compute, weights=weights)
    return SamplingContext(captions, _generation(usual, wanted), request)


def of_protocol(
    preset: Mapping[str, Any],
    captions: str | None,
    reference: str | None,
    model: Path,
    wanted: Mapping[str, Any],
    compute: ComputeSettings,
    weights: WeightsSettings,
) -> SamplingContext:
    """By a named protocol: its count, size, sampler, steps and guidance, with your captions and reference.

    Raises:
        InputError: no captions, or fewer than the protocol's samples; a field that nobody says.
    """
    if captions is None:
        raise InputError(f"captions: missing; the protocol {preset['name']} needs the prompts")
    prompts = read_prompts(captions)
    count = preset["samples"] or len(prompts)
    if count > len(prompts):
        raise InputError(
            f"captions: {len(prompts):,} in {captions}, where the protocol {preset['name']} takes {count:,}"
        )
    said = {name: value for name, value in preset.get("drawing", {}).items() if value is not None}
    said.pop("seeds", None)
    size = preset["images"].get("drawn_size_px")
    usual = own_settings(model) | said | ({"image_size_px": size} if size else {}) | {"count": count}
    request = Request("", preset, reference=reference, compute=compute, weights=weights)
    return SamplingContext(prompts[:count], _generation(usual, wanted), request)


def _generation(usual: Mapping[str, Any], wanted: Mapping[str, Any]) -> GenerationSettings:
    given = {name: value for name, value in wanted.items() if value is not None}
    generation: GenerationSettings = from_plain(GenerationSettings, {**usual, **given})
    return generation
