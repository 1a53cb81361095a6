"""What one may do next with the run: commands to paste."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from analysis.report.page import Page
from analysis.report.sections.images import prompts_of
from search.confirmation.unmeasured import keep_command, measure_command, repeats_of
from search.runs.files import BEST_NAME, job_folder
from search.runs.header import trials_asked
from space.shared.retries import resume_command

PROMPT = "a large red circle in the centre on navy"


def next_section(page: Page) -> dict[str, Any] | None:
    """None while the search runs: what comes next is not known then."""
    commands = [] if page.running else list(_commands(page))
    return {"commands": commands} if commands else None


def _commands(page: Page) -> Iterator[tuple[str, str]]:
    """What each does, and the command."""
    history, folder, winner = page.history, page.folder, page.winner
    ended = sum(trial.state != "running" for trial in history.trials)
    if history.trials and ended < trials_asked(history):
        yield "Go on with this search", resume_command(folder)
    if winner is None:
        return
    unmeasured = page.noise_unknown and not repeats_of(history)
    if unmeasured:
        yield "Measure what is noise here, by new seeds", measure_command(history, folder)
    elif not page.verdicts or any(verdict.word == "undecided" for verdict in page.verdicts):
        yield "More seeds for what is undecided, ten minutes", _line("confirm", folder)
    if page.noise_unknown and not unmeasured:
        yield "Keep the noise that these runs show, for the next search", keep_command(folder)
    model, prompt = job_folder(folder, winner.key), next(iter(prompts_of(folder)), PROMPT)
    yield "Generate by the winner as it was trained", _line("generate", f"model={model}", f"prompt={prompt}")
    yield "What it costs, block by block", _line("count", f"arch_file={folder / BEST_NAME}")


def _line(*words: object) -> str:
    return shlex.join(["mdsearch", *map(str, words)])
