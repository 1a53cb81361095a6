"""The trials as a file for other programs, and the short table at the end of a search for people."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from analysis.findings import all_verdicts, steps_saved
from search.confirmation.leading import Lead, lead
from search.formats import counted, ending, millions, score, share, state_word
from search.objectives import VALIDATION_LOSS
from search.runs.files import CSV_NAME
from search.runs.header import objectives_of
from search.runs.record import History, Trial
from search.runs.scores import best_first
from space.shared.files import write_whole

COLUMNS = (
    "number",
    "state",
    "reason",
    "architecture",
    "parameters",
    "gmacs",
    "proxy_parameters",
    "steps",
    "fid",
    "clip",
    "validation_loss",
    "seconds",
    "seed",
)
TRIALS_SHOWN = 5


def write_trials_csv(folder: Path, history: History) -> Path:
    """trials.csv of a run folder: a row per trial of the search, whole or not at all.

    `parameters` and `gmacs` are at the paper's scale, `steps` those that were trained, `fid` and `clip` the
    first two objectives; every other score, further objectives among them, follows under its full name. What
    was not measured is empty.
    """
    (fid, clip, *_), trials = objectives_of(history), history.trials
    own = {fid.name, clip.name, VALIDATION_LOSS}
    others = sorted({name for t in trials for rung in t.rungs for name in rung.scores} - own)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*COLUMNS, *others])
    writer.writerows(_row(trial, fid.name, clip.name, others) for trial in trials)
    return write_whole(folder / CSV_NAME, text.getvalue())


def _row(trial: Trial, fid: str, clip: str, others: list[str]) -> list[object]:
    return [
        trial.number,
        trial.state,
        ending(trial),
        trial.architecture.id,
        trial.cost.parameters,
        trial.cost.gmacs,
        trial.proxy_parameters,
        trial.last_step,
        trial.score(fid),
        trial.score(clip),
        trial.score(VALIDATION_LOSS),
        round(trial.seconds, 3),
        trial.seed,
        *(trial.score(name) for name in others),
    ]


def result_table(history: History) -> Table:
    """The best few, what became of the others, and the verdicts: what a terminal shows at the end."""
    objectives, trials = objectives_of(history), history.trials
    title = f"Search {history.header.get('name', '')}: {states_in_words(trials)}"
    table = Table(
        title=escape(title), min_width=92, title_justify="left", caption_justify="left", title_style="bold"
    )
    table.add_column("")
    table.add_column("architecture")
    for column in ("parameters", "GMACs", *(objective.label for objective in objectives)):
        table.add_column(column, justify="right")
    leading = lead(history)
    tied = [leading.winner, *leading.tied] if leading else []
    keys = {trial.key for trial in tied}
    best = [*tied, *(trial for trial in best_first(trials, objectives) if trial.key not in keys)]
    for trial in best[:TRIALS_SHOWN]:
        table.add_row(
            escape(trial.name),
            trial.architecture.id,
            millions(trial.cost.parameters),
            f"{trial.cost.gmacs:.1f}",
            *(score(trial.score(objective.name), objective.decimals) for objective in objectives),
            style="bold" if trial is best[0] else "",
        )
    table.caption = escape("\n".join(_caption(history, leading)))
    return table


def _caption(history: History, leading: Lead | None) -> list[str]:
    saved, refused = steps_saved(history.trials), Counter(r.kind for r in history.rejections)
    lines = [leading.sentence()] if leading else []
    if not leading:
        lines.append("No trial has been trained to its full length: nothing is decided.")
    lines.append(
        f"Refused for the budget: {counted(refused['budget'], 'proposal')}. Stopping saved {saved.steps} "
        f"training steps ({share(saved.share)})."
    )
    verdicts = all_verdicts(history)
    of_winner = leading.winner.name if leading else ""
    lines += [f"{v.sentence()}." for v in verdicts if of_winner in (v.name, v.against)]
    if leading and not verdicts:
        lines.append("Not confirmed: nothing has been trained again beside the reference points.")
    return lines


def states_in_words(trials: list[Trial]) -> str:
    """`12 trials: 8 complete, 3 stopped, 1 failed`."""
    states = Counter(trial.state for trial in trials)
    known = ", ".join(
        f"{states[s]} {state_word(s)}" for s in ("complete", "halted", "failed", "running") if states[s]
    )
    count = "1 trial" if len(trials) == 1 else f"{len(trials)} trials"
    return f"{count}: {known}" if trials else "no trials"
