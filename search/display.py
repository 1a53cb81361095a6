"""What a person sees while a search runs: a live table in a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from search.formats import cost_in_words, counted, gmacs, millions, run_name
from search.objectives import Objectives
from search.runs.record import History, Trial
from search.runs.scores import best_first, point_of
from space.shared.console import command_console

ROWS_SHOWN = 14


class Display(Protocol):
    """Told of every event after it is recorded, and of messages in between."""

    def __enter__(self) -> Display: ...

    def __exit__(self, *error: object) -> None: ...

    def message(self, text: str) -> None: ...

    def event(self, event: Mapping[str, Any], history: History) -> None: ...


def make_display(trials: int, objectives: Objectives) -> Display:
    console = command_console()
    return LiveDisplay(console, trials, objectives) if console.is_terminal else PlainDisplay(objectives)


class PlainDisplay:
    """A line an event, with the time since the start."""

    def __init__(self, objectives: Objectives) -> None:
        self.objectives = objectives
        self.began = time.monotonic()
        self.rejected = 0

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to take down."""

    def message(self, text: str) -> None:
        seconds = int(time.monotonic() - self.began)
        print(f"[{seconds // 60:2d}:{seconds % 60:02d}] {text}", flush=True)

    def event(self, event: Mapping[str, Any], history: History) -> None:
        if event["event"] == "rejected":
            self.rejected += 1
            return
        if event["event"] == "inherited":
            self.message(f"{counted(len(event['candidates']), 'candidate')} ranked by {event['ranked_by']}")
        if event["event"] == "evolved":
            self.message(round_in_words(event))
        if event["event"] not in ("proposed", "rung", "ended"):
            return
        trial = history.by_key[event["key"]]
        name = run_name(trial)
        if event["event"] == "proposed":
            refused = f" ({counted(self.rejected, 'proposal')} refused before it)" if self.rejected else ""
            self.rejected = 0
            self.message(f"{name}: {size_of(trial)}{refused}")
        elif event["event"] == "rung":
            self.message(f"{name}: step {event['step']}: {scores_of(trial, self.objectives)}")
        elif event["state"] != "complete":
            self.message(f"{name}: {event['state']}: {event['reason']}")


class LiveDisplay:
    """Progress and the trials so far, rendered anew at every event."""

    def __init__(self, console: Console, trials: int, objectives: Objectives) -> None:
        self.objectives = objectives
        self.best: str | None = None  # its key, looked for when a trial ends: among thousands that takes time
        self.table = self._table(History())  # made at each event, since another thread renders the screen
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self.bar = self.progress.add_task("trials", total=trials)
        self.live = Live(
            console=console, refresh_per_second=2, get_renderable=lambda: Group(self.table, self.progress)
        )

    def __enter__(self) -> LiveDisplay:
        self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def message(self, text: str) -> None:
        self.live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def event(self, event: Mapping[str, Any], history: History) -> None:
        if event["event"] == "ended" or self.best is None:
            self.best = next((trial.key for trial in best_first(history.trials, self.objectives)), None)
        self.table = self._table(history)
        ended = sum(trial.state != "running" for trial in history.trials)
        confirming = len(history.confirmations)
        words = f"trials (+ {confirming} confirmation runs)" if confirming else "trials"
        self.progress.update(self.bar, completed=ended, description=words)

    def _table(self, history: History) -> Table:
        table = Table(expand=False, header_style="bold")
        for column in ("", "architecture", "size", "step", "scores", "state"):
            table.add_column(column, no_wrap=column != "state")
        for trial in list(history.by_key.values())[-ROWS_SHOWN:]:
            state = f"{trial.state}: {trial.reason}" if trial.reason else trial.state
            table.add_row(
                escape(f"confirm {trial.name}" if trial.purpose == "confirm" else trial.name),
                trial.architecture.id,
                size_of(trial),
                f"{trial.last_step}/{trial.steps}",
                scores_of(trial, self.objectives),
                "best so far" if trial.key == self.best else escape(state),
                style="green"
                if trial.key == self.best
                else "dim"
                if trial.state in ("halted", "failed")
                else "",
            )
        return table


def round_in_words(event: Mapping[str, Any]) -> str:
    """`round 2: 195.7 GMACs of at most 170: remove down-3/1, remove up-3/0/layer-2: 183.6`."""
    costs = [cost_in_words(event[name], event["cost"]) for name in ("cost_before", "cost_after")]
    done = f"{', '.join(event['actions'])}: {costs[1]}" if event["actions"] else "nothing to be done"
    return f"round {event['round']}: {costs[0]} of at most {event['at_most']:g}: {done}"


def size_of(trial: Trial) -> str:
    return f"{millions(trial.cost.parameters)}, {gmacs(trial.cost.gmacs)}"


def scores_of(trial: Trial, objectives: Objectives) -> str:
    point = point_of(trial, objectives)
    if point is None:  # a shared training has scores of its own
        last = trial.rungs[-1].scores if trial.rungs else {}
        return "  ".join(f"{name} {value:.4g}" for name, value in last.items())
    return "  ".join(
        f"{o.label} {o.value_text(value)}" for o, value in zip(objectives, point.values, strict=True)
    )
