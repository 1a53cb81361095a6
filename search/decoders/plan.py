"""Before anything starts, with `dry_run=true`: what a search over decoders would do."""

from __future__ import annotations

import random

from search.backends.cluster import several_lines
from search.checks import check_choosing
from search.decoders.search import DecoderSearch
from search.decoders.settings import DecoderSearchSettings
from search.formats import size
from space.choices import UniformSuggestions
from space.prices.candidates import candidate_price
from training.plan import WorkPlan, without_error

DECODERS_PRICED = 2000


def decoder_plan(settings: DecoderSearchSettings) -> WorkPlan:
    """The space, the feasible share, steps and images, the encoder, and what is missing."""
    plan, space = WorkPlan(), settings.space
    check_choosing(settings, {"enqueue": settings.enqueue})
    without_error(plan.refused, DecoderSearch(settings).check)
    generator = random.Random(settings.seed)
    sampled = [space.sample(UniformSuggestions(generator)) for _ in range(DECODERS_PRICED)]
    feasible = sum(not settings.budget.excess(one) for one in sampled) / DECODERS_PRICED
    own, steps, batch = candidate_price(space.fixed), settings.rungs[-1], settings.reconstruction.batch_size
    plan.add("space", f"{len(space.free())} choices, {space.encodings:.3g} combinations")
    plan.add("budget", ", ".join(settings.budget.words()) or "no bound")
    plan.add("feasible", f"{feasible:.1%} of {DECODERS_PRICED} random samples")
    plan.add("encoder", _of_encoder(settings))
    plan.add("decoder", f"the autoencoder's own: {size(own)} of {space.fixed.image_size} px")
    plan.add(
        "trials",
        f"{settings.trials} by {settings.sampler.name}, rungs {list(settings.rungs)}, stopping: "
        f"{settings.stopping.name}; at most {settings.trials * steps} training steps of {batch} images",
    )
    plan.add("workers", several_lines(settings.cluster))
    plan.figures |= {
        "candidates": settings.trials,
        "rungs": list(settings.rungs),
        "steps": settings.trials * steps,
        "images": settings.trials * steps * batch,
        "images_per_score": settings.scored_images,
        "feasible": feasible,
    }
    return plan


def _of_encoder(settings: DecoderSearchSettings) -> str:
    if settings.init_from is not None:
        return f"of {settings.init_from}, stays"
    return f"trained first for {settings.encoder_steps} steps, then stays; kept in {settings.cache}"
