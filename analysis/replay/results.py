"""What replays of several strategies say side by side: median and quartiles, as table, files and plot."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table as RichTable

from analysis.replay.tries import Replayed
from analysis.series import SERIES_COLOURS, look, spans_magnitudes
from search.formats import counted, share
from space.shared.files import write_whole

POINTS_PER_CURVE = 240
ALONG = ("steps", "seconds")
CSV_COLUMNS = (
    "strategy", "seed", "steps_to_top", "seconds_to_top", "place", "covered",
    "trials", "stopped", "steps", "top_tried", "top_stopped",
)  # fmt: skip


@dataclass(frozen=True)
class Quartiles:
    """Of a figure over the seeds; infinite where fewer replays than that ever got there."""

    low: float
    median: float
    high: float

    def text(self, write: Any = "{:,.0f}".format) -> str:
        def one(value: float) -> str:
            return "never" if math.isinf(value) else write(value)

        if self.low == self.high:
            return one(self.median)
        return f"{one(self.median)} ({one(self.low)} to {one(self.high)})"


@dataclass(frozen=True)
class Summary:
    """One strategy over all seeds. `place` is the true place of the network named at the end, as a share."""

    name: str
    seeds: int
    steps_to_top: Quartiles
    seconds_to_top: Quartiles
    place: Quartiles
    covered: Quartiles
    trials: float
    stopped: float
    steps: float
    top_tried: int
    top_stopped: int


def quartiles(values: Sequence[float]) -> Quartiles:
    """Nearest order statistics, so that "never" stays what it is."""
    ordered = sorted(values)
    at = [ordered[min(len(ordered) - 1, round(q * (len(ordered) - 1)))] for q in (0.25, 0.5, 0.75)]
    return Quartiles(*at)


def summarise(name: str, replays: Sequence[Replayed]) -> Summary:
    return Summary(
        name,
        len(replays),
        quartiles([replay.steps_to_top for replay in replays]),
        quartiles([replay.seconds_to_top for replay in replays]),
        quartiles([replay.place[-1] if replay.place else 1.0 for replay in replays]),
        quartiles([replay.covered[-1] if replay.covered else 0.0 for replay in replays]),
        float(np.mean([replay.trials for replay in replays])),
        float(np.mean([replay.stopped for replay in replays])),
        float(np.mean([replay.steps_spent for replay in replays])),
        sum(replay.top_tried for replay in replays),
        sum(replay.top_stopped for replay in replays),
    )


def summary_table(summaries: Sequence[Summary], top: int, recorded: int) -> RichTable:
    """A row a strategy; medians, with quartiles in brackets."""
    medians = [one.seconds_to_top.median for one in summaries]
    unit, seconds = _unit(max((median for median in medians if median < math.inf), default=0.0))
    title = f"{counted(summaries[0].seeds, 'replay')} each; the top: {top} of {recorded} recorded networks"
    table = RichTable(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    for head in (
        "strategy", "steps to\nthe top", f"{unit} to\nthe top", "true place of\nthe winner", "front\nfound",
        "trials,\nstopped", "of the top:\nstopped", 
    ):  # fmt: skip
        table.add_column(head, justify="left" if head == "strategy" else "right", overflow="fold")
    for one in summaries:
        table.add_row(
            escape(one.name),
            one.steps_to_top.text(),
            one.seconds_to_top.text(lambda value: f"{value / seconds:,.1f}"),
            one.place.text(share),
            one.covered.text(share),
            f"{one.trials:.0f}, {one.stopped:.0f}",
            f"{one.top_stopped} of {one.top_tried}",
        )
    return table


def _unit(longest_seconds: float) -> tuple[str, int]:
    return ("minutes", 60) if longest_seconds < 7200 else ("hours", 3600)


def write_replays(
    folder: Path, replays: dict[str, list[Replayed]], about: dict[str, Any], steps: int, caption: str
) -> list[Path]:
    """replay.json (everything), replay.csv (a row a strategy and seed), replay.png; the folder exists.

    Raises:
        OSError, InputError: if they cannot be written.
    """
    plain = {
        "about": about,
        "strategies": {
            name: [
                {
                    "steps": one.steps,
                    "seconds": one.seconds,
                    "place": one.place,
                    "covered": one.covered,
                    "steps_to_top": None if math.isinf(one.steps_to_top) else one.steps_to_top,
                    "top_tried": one.top_tried,
                    "top_stopped": one.top_stopped,
                }
                for one in found
            ]
            for name, found in replays.items()
        },
    }
    written = [write_whole(folder / "replay.json", json.dumps(plain, indent=1))]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for name, found in replays.items():
        for seed, one in enumerate(found):
            place, covered = (values[-1] if values else "" for values in (one.place, one.covered))
            top = ["" if math.isinf(v) else v for v in (one.steps_to_top, one.seconds_to_top)]
            counts = one.trials, one.stopped, one.steps_spent, one.top_tried, one.top_stopped
            writer.writerow([name, seed, *top, place, covered, *counts])
    written.append(write_whole(folder / "replay.csv", text.getvalue()))
    written.append(plot_replays(folder / "replay.png", replays, steps, caption))
    return written


def plot_replays(path: Path, replays: dict[str, list[Replayed]], steps: int, caption: str) -> Path:
    """True place of the network that would be named, and the front found, against steps and hours."""
    from analysis.plotting import GRID_COLOUR, legend_outside, log_ticks, plot_file

    done = [one for found in replays.values() for one in found if one.seconds]
    longest = max((one.seconds[-1] for one in done), default=1.0)
    unit, clock_unit = _unit(longest)
    faint = 0.12 if len(replays) <= len(SERIES_COLOURS) else 0.04
    first = {along: min((getattr(one, along)[0] for one in done), default=0.0) for along in ALONG}
    with plot_file(path, (10, 7 + 0.08 * len(replays))) as figure:
        panels = figure.subplots(2, 2, sharex="col", sharey="row")
        for column, (along, end, scale, label) in enumerate(
            (
                ("steps", steps, 1, "training steps"),
                ("seconds", longest, clock_unit, f"{unit} on the virtual clock"),
            )
        ):
            far = spans_magnitudes([first[along], end])  # the first networks decide the most, and take little
            grid = (np.geomspace if far else np.linspace)(first[along] if far else 0, end, POINTS_PER_CURVE)
            for row, (what, start) in enumerate((("place", 1.0), ("covered", 0.0))):
                axes = panels[row][column]
                for strategy, (name, found) in enumerate(replays.items()):
                    own = look(strategy)
                    curves = np.stack([_at(grid, getattr(o, along), getattr(o, what), start) for o in found])
                    low, middle, high = np.quantile(curves, (0.25, 0.5, 0.75), axis=0)
                    axes.step(grid / scale, middle, where="post", label=name, linewidth=1.8, **own.line)
                    band = {"color": own.colour, "alpha": faint, "lw": 0}
                    axes.fill_between(grid / scale, low, high, step="post", **band)
                axes.set_xlim(grid[0] / scale, end / scale)
                axes.grid(color=GRID_COLOUR, lw=0.8)
                axes.set_axisbelow(True)
                if far:
                    axes.set_xscale("log")
                    log_ticks(axes.xaxis)
            panels[1][column].set_xlabel(label)
        panels[0][0].set_yscale("log")
        log_ticks(panels[0][0].yaxis)
        panels[0][0].set_ylabel("true place of the winner, of all networks")
        panels[1][0].set_ylabel("share of the front found")
        legend_outside(figure, panels[1][0])
        figure.suptitle(caption, x=0.01, ha="left", fontsize=10)
    return path


def _at(grid: np.ndarray, along: Sequence[float], values: Sequence[float], start: float) -> np.ndarray:
    """The last value at or before each point of the grid."""
    found: np.ndarray = np.array([start, *values])[np.searchsorted(np.array(along), grid, side="right")]
    return found
