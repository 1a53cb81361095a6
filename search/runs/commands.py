"""What to paste next, with a run: commands that measure as it did."""

from __future__ import annotations

from pathlib import Path

from search.confirmation.confirmation import ConfirmationSettings
from search.runs.record import History
from space.shared.command_lines import command_line
from space.shared.retries import resume_command

LONGER = 10  # times the steps of a full trial
MORE = 3  # times as many seeds
ALL = 99  # more than are stopped in any search of hours


def go_on_command(folder: Path, history: History) -> str:
    """To go on with it, here or with training that is elsewhere."""
    return resume_command(folder) if trained_here(history) else command_line("serve", resume=folder)


def trained_here(history: History) -> bool:
    """Whether it trained by itself; else a training elsewhere told its scores."""
    return "training" in history.header


def train_command(folder: Path, steps: int) -> str:
    """To train the winner for longer than the `steps` of a full trial, on the same data."""
    return command_line("train", run=folder, **{"training.steps": LONGER * steps})


def more_seeds_command(folder: Path, settings: ConfirmationSettings) -> str:
    """To race the same networks over the same steps with more seeds."""
    usual = ConfirmationSettings()  # conf/confirm.yaml says the same of these, but for more seeds
    names = ("best", "references", "steps", "stopped")
    asked = {name: getattr(settings, name) for name in names}
    chosen = {name: value for name, value in asked.items() if value != getattr(usual, name)}
    if settings.seeds != usual.seeds:
        chosen["seeds"] = MORE * settings.seeds
    return command_line("confirm", folder, **chosen)


def count_stops_command(folder: Path) -> str:
    """To train its stopped trials to full length, which counts those that were stopped wrongly."""
    return command_line("confirm", folder, best=0, references=[], stopped=ALL, minutes=None)
