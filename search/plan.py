"""Before anything starts, with `dry_run=true`: what a search would do and cost."""

from __future__ import annotations

import random
from pathlib import Path

import torch

from search.backends.cluster import several_lines
from search.checks import check_parts, compared_with
from search.confirmation.unmeasured import noise_note
from search.evolution_plan import evolution_plan
from search.expected_time import (
    Pace,
    measured_pace,
    paced,
    time_lines,
    trial_seconds,
    whole_seconds,
)
from search.formats import counted, duration, millions
from search.idle import idle_notes, nobody_learns, trials_at_most
from search.latency import latency_notes
from search.other_side import image_notes
from search.runs.prior import recorded_that_teach, settled_header
from search.runs.teachers import left_out
from search.scoring.evaluator import scoring_plan
from search.settings import SearchSettings
from search.strategies.evolve import EvolveSettings
from search.supernet_plan import supernet_plan
from space.architecture import Architecture
from space.choices import UniformSuggestions
from space.prices.macs import price
from space.proxy import narrow
from space.shared.disk import disk_free_bytes
from training.data.dataset import Dataset
from training.devices import choose_device
from training.memory import available_bytes, training_memory
from training.plan import HOUR, PACE_UNKNOWN, WorkPlan, in_bytes, latents_on_disk, pacing
from training.state import STATE_BYTES_PER_PARAMETER
from training.trainer import Trainer

SAMPLES_PRICED = 2000
KEPT_BYTES_PER_PARAMETER = 4


def search_plan(settings: SearchSettings) -> WorkPlan:
    """The space, the feasible share, steps, images, expected time and disk, and what is missing.

    Where all is there and a batch fits, time is that of a few steps and images here, of one random feasible
    candidate of the median size. Else it is as stated, or by two steps on random latents.
    """
    plan = WorkPlan()
    data = check_parts(settings, plan.refused)
    generator = random.Random(settings.seed)
    sampled = [settings.space.sample(UniformSuggestions(generator)) for _ in range(SAMPLES_PRICED)]
    feasible = [a for a in sampled if not settings.budget.excess(a)]
    _what(settings, len(feasible) / SAMPLES_PRICED, plan)
    if data is not None:
        _taught(settings, data, plan)
    plan.add("note", idle_notes(settings))
    if not feasible:
        plan.add("", "Too few samples are feasible to estimate time and disk.")
        return plan
    by_size = sorted(feasible, key=lambda a: price(narrow(a, settings.proxy)).macs)
    typical = narrow(by_size[len(by_size) // 2], settings.proxy)
    torch.set_num_threads(settings.cluster.threads_per_worker)
    if data is not None and settings.throughput is None and _fits_here(typical, settings):
        pace: Pace | None = _measured(settings, typical, data, plan)
    else:
        pace = _at_scale(settings, typical, plan)
    _time(settings, pace, plan)
    _disk(settings, typical, plan)
    return plan


def _what(settings: SearchSettings, feasible: float, plan: WorkPlan) -> None:
    """What is tried, and how often it is trained and scored."""
    trials, steps = trials_at_most(settings), settings.rungs[-1]
    batch = settings.training.batch_size
    plan.add("space", f"{len(settings.space.free())} choices, {settings.space.encodings:.3g} combinations")
    plan.add("budget", ", ".join(settings.budget.words()) or "no bound")
    plan.add("feasible", f"{feasible:.1%} of {SAMPLES_PRICED} random samples")
    plan.add(
        "trials",
        f"{trials} by {_who_chooses(settings)}, rungs {list(settings.rungs)}, "
        f"stopping: {settings.stopping.name}; at most {trials * steps} training steps",
    )
    plan.add(
        "images", f"{steps * batch:,} a trial in batches of {batch:,}; at most {trials * steps * batch:,}"
    )
    plan.add("latency", [f"by {one.describe()}" for one in settings.budget.lists])
    plan.add("note", latency_notes(settings.budget))
    plan.add("image", image_notes(settings.budget, settings.space, resumed=settings.resume is not None))
    plan.figures |= {
        "candidates": trials,
        "rungs": list(settings.rungs),
        "steps": trials * steps,
        "images": trials * steps * batch,
        "images_per_score": settings.scored_images,
    }


def _taught(settings: SearchSettings, data: Dataset, plan: WorkPlan) -> None:
    """What scores, its noise, and what is known before the first trial."""
    plan.add("scores", scoring_plan(settings, data))
    if note := noise_note(settled_header(settings, data.digest)):
        plan.add("noise", note)
    taught = [*settings.prior]
    references = compared_with(settings)
    if recorded := recorded_that_teach(settings, data.digest, references.values()):
        taught.append(f"{counted(recorded, 'recorded network')} (docs/evidence.md; {left_out(references)})")
    if settings.prior_elsewhere:
        plan.add(
            "elsewhere", f"to the sampler alone, how networks stood in {', '.join(settings.prior_elsewhere)}"
        )
    if taught:
        plan.add("prior", f"what the trials of {', '.join(taught)} taught{_unheard(nobody_learns(settings))}")


def _fits_here(typical: Architecture, settings: SearchSettings) -> bool:
    """Whether a whole batch, or the micro-batch that is set, can be trained on this machine."""
    training = settings.training
    device = choose_device(training.device)
    images = training.micro_batch or training.batch_size
    memory = training_memory(typical, training.is_bf16_on(device))
    return memory.micro_batch_in(available_bytes(device)) >= images


def _measured(settings: SearchSettings, typical: Architecture, data: Dataset, plan: WorkPlan) -> Pace:
    trainer = Trainer(typical, data, settings.training, seed=settings.seed)
    plan.add("text", trainer.unread_text())
    plan.add("supernet", supernet_plan(settings, data))
    plan.add("evolution", evolution_plan(settings, data))
    pace = measured_pace(trainer, settings, data)
    parameters = price(typical).parameters
    a_step = pace.step * settings.cluster.workers_per_trial
    plan.add(
        "proxy",
        f"a typical candidate: {parameters / 1e6:.2f} M parameters, {a_step:.3f} s a step here",
    )
    throughput = settings.training.batch_size / a_step
    plan.figures["throughput"] = {"images_per_second": throughput, "source": "measured here: whole steps"}
    return pace


def _at_scale(settings: SearchSettings, typical: Architecture, plan: WorkPlan) -> Pace | None:
    """By the images that an accelerator trains a second; None where nobody knows."""
    one = pacing(typical, settings.training, settings.throughput, settings.seed)
    cost = price(typical)
    plan.add("proxy", f"a typical candidate: {millions(cost.parameters)}, {cost.gmacs:.1f} GMACs an image")
    plan.add("memory", one.memory_lines())
    plan.add("throughput", one.line())
    plan.figures |= one.figures()
    return None if one.images_per_second is None else paced(settings, one.images_per_second)


def _time(settings: SearchSettings, pace: Pace | None, plan: WorkPlan) -> None:
    cluster = settings.cluster
    accelerators = cluster.workers_per_trial
    at_once = 1 if settings.backend == "inline" else max(1, cluster.trials_here)
    plan.figures |= {"trials_at_once": at_once, "accelerators_per_trial": accelerators}
    plan.figures["accelerators"] = at_once * accelerators
    if pace is None:
        plan.add("time", PACE_UNKNOWN)
        return
    plan.add("time", time_lines(settings, pace, at_once))
    plan.add("workers", several_lines(cluster))
    hours = trial_seconds(settings, pace) * trials_at_most(settings) * accelerators / HOUR
    wall = whole_seconds(settings, pace, at_once)
    plan.add(
        "hours",
        f"{hours:,.{1 if hours < 100 else 0}f} accelerator-hours of trials at most ({at_once} at a time x "
        f"{accelerators}); {duration(wall)} on {at_once * accelerators} of them",
    )
    plan.figures |= {"accelerator_hours": hours, "seconds": wall}


def _disk(settings: SearchSettings, typical: Architecture, plan: WorkPlan) -> None:
    """What stays of every trial, what running ones need, and latents that were made ahead."""
    parameters, trials = price(typical).parameters, trials_at_most(settings)
    at_once = plan.figures["trials_at_once"]
    kept, running = (parameters * size for size in (KEPT_BYTES_PER_PARAMETER, STATE_BYTES_PER_PARAMETER))
    disk, where = trials * kept + at_once * running, Path(settings.runs_folder).expanduser()
    free = disk_free_bytes(where)
    short = "" if disk < free else ": too little"
    plan.add("disk", f"about {in_bytes(disk)} in {where} ({in_bytes(free)} free{short})")
    plan.figures["disk_bytes"] = {"runs": disk, "free": free} | latents_on_disk(
        settings.data, typical, settings.expected_images, plan
    )


def _who_chooses(settings: SearchSettings) -> str:
    return "evolution" if isinstance(settings.strategy, EvolveSettings) else settings.sampler.name


def _unheard(why: str) -> str:
    return f"; nobody hears of it: {why}" if why else ""
