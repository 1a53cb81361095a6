"""Before anything starts, with `dry_run=true`: what a search over decoders would do, and the time for it."""

from __future__ import annotations

import random

import torch

from search.backends.cluster import several_lines
from search.checks import check_choosing
from search.decoders.encoder import perceptual_for
from search.decoders.search import DecoderSearch
from search.decoders.settings import DecoderSearchSettings
from search.formats import duration, size
from search.latency import latency_notes
from search.other_side import image_notes
from space.autoencoder import Autoencoder
from space.choices import UniformSuggestions
from space.prices.candidates import candidate_price
from training.autoencoder import AutoencoderTrainer
from training.data.dataset import Dataset
from training.devices import choose_device
from training.plan import WorkPlan, without_error
from training.timing import seconds_per_step

DECODERS_PRICED = 2000


def decoder_plan(settings: DecoderSearchSettings) -> WorkPlan:
    """The space, the feasible share, steps and images, the encoder, what is missing; and, where nothing is,
    the time, by a few steps here of the autoencoder and of a decoder of the median size."""
    plan, space = WorkPlan(), settings.space
    check_choosing(settings, {"enqueue": settings.enqueue})
    data = without_error(plan.refused, DecoderSearch(settings).check)
    generator = random.Random(settings.seed)
    sampled = [space.sample(UniformSuggestions(generator)) for _ in range(DECODERS_PRICED)]
    feasible = [one for one in sampled if not settings.budget.excess(one)]
    _what(settings, len(feasible) / DECODERS_PRICED, plan)
    if data is not None and feasible:
        feasible.sort(key=lambda one: candidate_price(one).macs)
        _time(settings, data, feasible[len(feasible) // 2], plan)
    return plan


def _what(settings: DecoderSearchSettings, feasible: float, plan: WorkPlan) -> None:
    space, steps, batch = settings.space, settings.rungs[-1], settings.reconstruction.batch_size
    plan.add("space", f"{len(space.free())} choices, {space.encodings:.3g} combinations")
    plan.add("budget", ", ".join(settings.budget.words()) or "no bound")
    plan.add("feasible", f"{feasible:.1%} of {DECODERS_PRICED} random samples")
    plan.add("encoder", _of_encoder(settings))
    own = size(candidate_price(space.fixed))
    plan.add("decoder", f"the autoencoder's own: {own}, of {space.fixed.image_size} px")
    plan.add(
        "trials",
        f"{settings.trials} by {settings.sampler.name}, rungs {list(settings.rungs)}, stopping: "
        f"{settings.stopping.name}; at most {settings.trials * steps} training steps of {batch} images",
    )
    plan.add("latency", [f"by {one.describe()}" for one in settings.budget.lists])
    plan.add("note", latency_notes(settings.budget))
    plan.add("image", image_notes(settings.budget, space, resumed=settings.resume is not None))
    plan.add("workers", several_lines(settings.cluster))
    plan.figures |= {
        "candidates": settings.trials,
        "rungs": list(settings.rungs),
        "steps": settings.trials * steps,
        "images": settings.trials * steps * batch,
        "images_per_score": settings.scored_images,
        "feasible": feasible,
    }


def _of_encoder(settings: DecoderSearchSettings) -> str:
    if settings.init_from is not None:
        return f"of {settings.init_from}, stays"
    return f"trained first for {settings.encoder_steps} steps, then stays; kept in {settings.cache}"


def _time(settings: DecoderSearchSettings, data: Dataset, typical: Autoencoder, plan: WorkPlan) -> None:
    """At most: a trial's step is timed with the encoder's gradients, which trials leave out."""
    first = 0.0
    if settings.init_from is None:
        first = settings.encoder_steps * _step_seconds(settings, settings.space.fixed, data)
    torch.set_num_threads(settings.cluster.threads_per_worker)
    a_trial = settings.rungs[-1] * _step_seconds(settings, typical, data)
    at_once = 1 if settings.backend == "inline" else max(1, settings.cluster.trials_here)
    whole = first + settings.trials * a_trial / at_once
    encoder = f"the encoder {duration(first)} unless the cache holds it, then " if first else ""
    plan.add(
        "time",
        f"at most {duration(whole)}: {encoder}{settings.trials} trials of {duration(a_trial)}, {at_once} "
        "at a time; scoring is left out",
    )
    plan.figures["seconds"] = whole


def _step_seconds(settings: DecoderSearchSettings, autoencoder: Autoencoder, data: Dataset) -> float:
    reconstruction = settings.of_encoder
    device = str(choose_device(reconstruction.device))
    network = perceptual_for(settings.perceptual, reconstruction.perceptual, settings.weights, device)
    trainer = AutoencoderTrainer(autoencoder, data, reconstruction, seed=settings.seed, perceptual=network)
    return seconds_per_step(trainer)
