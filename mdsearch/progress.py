"""What a command shows while it works through many things, in a terminal and anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LEAST_SECONDS_APART = 2.0

OnDone = Callable[[int, int], None]
"""Told how many are done, and of how many."""


@contextmanager
def shown_progress(console: Console, label: str) -> Iterator[OnDone]:
    """A bar on a terminal; elsewhere a line for each twentieth, some seconds apart. Both tell the pace."""
    began, at_start = 0.0, -1

    def pace(done: int) -> str:
        nonlocal began, at_start
        if at_start < 0:
            began, at_start = time.monotonic(), done
        return f"{(done - at_start) / (time.monotonic() - began):.2f} a second" if done > at_start else ""

    if not console.is_terminal:
        told, told_at = -1.0, 0.0

        def line(done: int, of: int) -> None:
            nonlocal told, told_at
            speed, now = pace(done), time.monotonic()
            due = done / of >= told + 0.05 and now >= told_at + LEAST_SECONDS_APART
            if told < 0 or done == of or due:
                told, told_at = done / of, now
                print(f"{done:,} of {of:,} {label}{speed and ', ' + speed}", file=console.file, flush=True)

        yield line
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(label, total=None, pace="")
        yield lambda done, of: progress.update(task, completed=done, total=of, pace=pace(done))


@contextmanager
def training_progress(console: Console, last: int, start: int) -> Iterator[Callable[[int, float], None]]:
    """A bar on a terminal; elsewhere a line for each twentieth."""
    if not console.is_terminal:
        every = max(1, last // 20)

        def line(step: int, loss: float) -> None:
            if step % every == 0 or step == last:
                print(f"step {step} of {last}, loss {loss:.4f}")

        yield line
        return
    columns = (
        TextColumn("step {task.completed} of {task.total}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=last, completed=start, loss="-")
        yield lambda step, loss: progress.update(task, completed=step, loss=f"{loss:.4f}")
