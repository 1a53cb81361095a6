"""`dry_run=true`: what a search would do and cost, before anything starts."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from search.run import check, disk_free_bytes
from search.settings import SearchSettings
from space.architecture import Architecture
from space.choices import UniformDraw
from space.cost import price
from space.proxy import narrow

DRAWS = 2000
STATE_BYTES_PER_PARAMETER = 4 * 4  # weights, their average, and AdamW's two moments, in fp32
KEPT_BYTES_PER_PARAMETER = 4
STEPS_TIMED = 3


def plan_text(settings: SearchSettings) -> str:
    """The plan in words: the space, the feasible share, steps, expected time and disk.

    Time is measured here: a few training steps of one random feasible candidate of the median size.
    """
    check(settings)

    generator = random.Random(settings.seed)
    drawn = [settings.space.draw(UniformDraw(generator)) for _ in range(DRAWS)]
    feasible = [a for a in drawn if not settings.budget.excess(price(a))]
    workers = settings.cluster.workers or os.cpu_count() or 1
    steps = settings.trials * settings.rungs[-1]
    lines = [
        f"space      {len(settings.space.free())} choices, {settings.space.encodings:.3g} combinations",
        f"budget     {_bounds(settings)}",
        f"feasible   {len(feasible) / DRAWS:.1%} of {DRAWS} random draws",
        f"trials     {settings.trials} by {settings.sampler.name}, rungs {list(settings.rungs)}, "
        f"stopping: {settings.stopping.name}; at most {steps} training steps",
    ]
    if not feasible:
        return "\n".join([*lines, "Too few draws are feasible to estimate time and disk."])
    by_size = sorted(feasible, key=lambda a: price(narrow(a, settings.proxy)).macs)
    typical = narrow(by_size[len(by_size) // 2], settings.proxy)
    parameters = price(typical).parameters
    seconds = _seconds_a_step(settings, typical)
    minutes = steps * seconds / workers / 60
    kept, while_running = parameters * KEPT_BYTES_PER_PARAMETER, parameters * STATE_BYTES_PER_PARAMETER
    disk = settings.trials * kept + workers * while_running
    where = Path(settings.runs_folder)
    lines += [
        f"proxy      a typical candidate: {parameters / 1e6:.2f} M parameters, {seconds:.3f} s a step here",
        f"time       at most about {minutes:.0f} minutes of training on {workers} workers like this "
        "(without evaluation, stopping and confirmation)",
        f"disk       about {disk / 1e6:.0f} MB in {where} ({disk_free_bytes(where) / 1e9:.0f} GB free)",
    ]
    return "\n".join(lines)


def _bounds(settings: SearchSettings) -> str:
    bounds = settings.budget
    parameters = "any" if bounds.parameters_millions is None else f"{bounds.parameters_millions:g} M"
    gmacs = "any" if bounds.gmacs is None else f"{bounds.gmacs:g}"
    return f"{parameters} parameters, {gmacs} GMACs"


def _seconds_a_step(settings: SearchSettings, architecture: Architecture) -> float:
    import torch

    from training.data import load_data
    from training.loop import Trainer

    torch.set_num_threads(settings.cluster.threads_per_worker)
    trainer = Trainer(architecture, load_data(settings.data), settings.training, seed=settings.seed)
    trainer.train_to(1)
    began = time.perf_counter()
    trainer.train_to(1 + STEPS_TIMED)
    return (time.perf_counter() - began) / STEPS_TIMED
