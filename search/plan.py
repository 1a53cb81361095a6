"""Before anything starts, with `dry_run=true`: what a search would do and cost."""

from __future__ import annotations

import random
from pathlib import Path

import torch

from search.checks import check, compared_with
from search.confirmation.unmeasured import noise_note
from search.evolution_plan import evolution_plan
from search.expected_time import measured_pace, time_lines
from search.formats import counted
from search.idle import idle_notes, nobody_learns, trials_at_most
from search.latency import latency_notes
from search.runs.prior import recorded_that_teach, settled_header
from search.runs.teachers import left_out
from search.scoring.evaluator import scoring_plan
from search.settings import SearchSettings
from search.strategies.evolve import EvolveSettings
from search.supernet_plan import supernet_plan
from space.choices import UniformSuggestions
from space.prices.macs import price
from space.proxy import narrow
from space.shared.disk import disk_free_bytes
from training.state import STATE_BYTES_PER_PARAMETER
from training.trainer import Trainer

SAMPLES_PRICED = 2000
KEPT_BYTES_PER_PARAMETER = 4


def _who_chooses(settings: SearchSettings) -> str:
    return "evolution" if isinstance(settings.strategy, EvolveSettings) else settings.sampler.name


def _unheard(why: str) -> str:
    return f"; nobody hears of it: {why}" if why else ""


def plan_text(settings: SearchSettings) -> str:
    """The plan in words: the space, the feasible share, steps, expected time and disk.

    Time is measured here: a few steps and images of one random feasible candidate of the median size.
    """
    data = check(settings)
    generator = random.Random(settings.seed)
    sampled = [settings.space.sample(UniformSuggestions(generator)) for _ in range(SAMPLES_PRICED)]
    feasible = [a for a in sampled if not settings.budget.excess(a)]
    workers = 1 if settings.backend == "inline" else settings.cluster.workers_here
    trials = trials_at_most(settings)
    steps = trials * settings.rungs[-1]
    lines = [
        f"space      {len(settings.space.free())} choices, {settings.space.encodings:.3g} combinations",
        f"budget     {', '.join(settings.budget.words()) or 'no bound'}",
        f"feasible   {len(feasible) / SAMPLES_PRICED:.1%} of {SAMPLES_PRICED} random samples",
        f"trials     {trials} by {_who_chooses(settings)}, rungs {list(settings.rungs)}, "
        f"stopping: {settings.stopping.name}; at most {steps} training steps",
    ]
    lines += [f"latency    by {one.describe()}" for one in settings.budget.lists]
    lines += latency_notes(settings.budget)
    lines += [f"scores     {line}" for line in scoring_plan(settings, data)]
    if note := noise_note(settled_header(settings, data.digest)):
        lines.append(f"noise      {note}")
    taught = [*settings.prior]
    references = compared_with(settings)
    if recorded := recorded_that_teach(settings, data.digest, references.values()):
        taught.append(f"{counted(recorded, 'recorded network')} (docs/evidence.md; {left_out(references)})")
    if taught:
        lines.append(
            f"prior      what the trials of {', '.join(taught)} taught{_unheard(nobody_learns(settings))}"
        )
    lines += [f"note       {note}" for note in idle_notes(settings)]
    if not feasible:
        return "\n".join([*lines, "Too few samples are feasible to estimate time and disk."])
    by_size = sorted(feasible, key=lambda a: price(narrow(a, settings.proxy)).macs)
    typical = narrow(by_size[len(by_size) // 2], settings.proxy)
    parameters = price(typical).parameters
    torch.set_num_threads(settings.cluster.threads_per_worker)
    trainer = Trainer(typical, data, settings.training, seed=settings.seed)
    lines += [f"text       {line}" for line in trainer.unread_text()]
    lines += [f"supernet   {line}" for line in supernet_plan(settings, data)]
    lines += [f"evolution  {line}" for line in evolution_plan(settings, data)]
    pace = measured_pace(trainer, settings, data)
    kept, while_running = parameters * KEPT_BYTES_PER_PARAMETER, parameters * STATE_BYTES_PER_PARAMETER
    disk = trials * kept + workers * while_running
    where = Path(settings.runs_folder).expanduser()
    lines += [
        f"proxy      a typical candidate: {parameters / 1e6:.2f} M parameters, {pace.step:.3f} s a step here",
        *(f"time       {line}" for line in time_lines(settings, pace, workers)),
        f"disk       about {disk / 1e6:.0f} MB in {where} ({disk_free_bytes(where) / 1e9:.0f} GB free)",
    ]
    return "\n".join(lines)
