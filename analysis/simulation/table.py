"""Plans side by side, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from analysis.simulation.planning import Plan
from search.formats import share


def plans_table(plans: Sequence[Plan], title: str, devices_per_worker: int) -> Table:
    """A column for each number of workers. `devices_per_worker` accelerators count as one worker."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column("workers", overflow="fold")
    for one in plans:
        table.add_column(f"{one.workers:,}", justify="right")
    rows = [
        ("wall time", lambda p: _hours(p.wall_hours)),
        ("  without stopping", lambda p: _hours(p.wall_hours_without_stopping)),
        ("accelerator-hours used", lambda p: f"{p.worker_hours * devices_per_worker:,.0f}"),
        (
            "  reserved until the end",
            lambda p: f"{p.wall_hours * p.workers * devices_per_worker:,.0f}",
        ),
        ("workers' time saved by stopping", lambda p: share(p.saved)),
        ("of the best 5 %, stopped", lambda p: share(p.top_stopped)),
        ("complete, stopped, failed", lambda p: f"{p.complete:.0f}, {p.stopped:.0f}, {p.failed:.0f}"),
        ("workers' time: training", lambda p: share(p.training)),
        ("  lost with workers", lambda p: share(p.wasted)),
        ("  starting, waiting for the driver", lambda p: share(p.waiting)),
        ("  idle or away", lambda p: share(p.idle)),
        ("driver busy", lambda p: share(p.driver_busy)),
        ("  it would be the limit at workers", lambda p: f"{p.driver_limit:,.0f}"),
    ]
    for head, write in rows:
        table.add_row(head, *(write(one) for one in plans))
    return table


def _hours(hours: float) -> str:
    return f"{hours:,.1f} h" if hours < 72 else f"{hours / 24:,.1f} days"
