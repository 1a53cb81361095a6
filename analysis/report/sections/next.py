"""What one may do next with the run: commands to paste."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analysis.findings import reruns
from analysis.report.page import Page
from analysis.report.sections.images import prompts_of
from search.confirmation.confirmation import ConfirmationSettings
from search.confirmation.unmeasured import keep_command, measure_command, repeats_of
from search.runs.commands import (
    count_stops_command,
    data_words,
    go_on_command,
    longer_command,
    more_seeds_command,
    train_command,
    trained_here,
)
from search.runs.files import BEST_NAME, job_folder
from search.runs.folder import stored_settings
from search.runs.header import searches_decoders, trials_asked
from search.runs.record import Trial
from search.statistics.noise import FEWEST_REPEATS
from search.statistics.verdicts import OPEN
from space.shared.command_lines import command_line
from space.shared.plain import InputError

PROMPT = "a large red circle in the centre on navy"


def next_section(page: Page) -> dict[str, Any] | None:
    """None while the search runs: what comes next is not known then."""
    commands = [] if page.running else list(_commands(page))
    return {"commands": commands} if commands else None


def _confirmation(folder: Path) -> ConfirmationSettings:
    try:
        return stored_settings(folder).confirmation
    except InputError:  # the record alone was kept
        return ConfirmationSettings()


def _commands(page: Page) -> Iterator[tuple[str, str]]:
    """What each does, and the command."""
    history, folder, winner = page.history, page.folder, page.winner
    ended = sum(trial.state != "running" for trial in history.trials)
    if history.trials and ended < trials_asked(history):
        yield "Go on with this search", go_on_command(folder, history)
    if winner is None:
        return
    if searches_decoders(history.header):
        yield from _of_decoders(page, winner)
        return
    if trained_here(history):
        yield from _of_training(page, winner)
    yield "What it costs, block by block", command_line("count", arch_file=folder / BEST_NAME)


def _of_decoders(page: Page, winner: Trial) -> Iterator[tuple[str, str]]:
    history, folder = page.history, page.folder
    asked = ConfirmationSettings(references=tuple(history.header.get("references", ())))
    yield "More seeds for the best two, ten minutes", more_seeds_command(folder, asked, history.header)
    yield from _counting_stops(page)
    model = job_folder(folder, winner.key)
    data = {f"data.{name}": value for name, value in data_words(history).items()}
    judged = command_line("evaluate reconstruction", model=model, data=history.header["data"]["name"], **data)
    yield "How well the winner gives images back, by all scores", judged
    yield "Train the winner for longer, on the same data", longer_command(folder, history)
    yield "What it costs, block by block", command_line("count", autoencoder=folder / BEST_NAME)


def _counting_stops(page: Page) -> Iterator[tuple[str, str]]:
    if any(trial.state == "halted" for trial in page.history.trials) and not reruns(page.history):
        yield "Count how many were stopped wrongly", count_stops_command(page.folder)


def _of_training(page: Page, winner: Trial) -> Iterator[tuple[str, str]]:
    history, folder = page.history, page.folder
    unmeasured = page.noise_unknown and repeats_of(history) < FEWEST_REPEATS
    if unmeasured:
        yield "Measure what is noise here, by new seeds", measure_command(history, folder)
    elif not page.verdicts or any(verdict.word in OPEN for verdict in page.verdicts):
        more = more_seeds_command(folder, _confirmation(folder))
        yield "More seeds for what is undecided, ten minutes", more
    yield from _counting_stops(page)
    if page.noise_unknown and not unmeasured:
        yield "Keep the noise that these runs show, for the next search", keep_command(folder)
    model, prompt = job_folder(folder, winner.key), next(iter(prompts_of(folder)), PROMPT)
    yield "Generate by the winner as it was trained", command_line("generate", model=model, prompt=prompt)
    rungs = history.header["rungs"]
    yield "Train the winner for longer, on the same data", train_command(folder, rungs[-1])
