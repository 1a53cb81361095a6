"""The trials as files for other programs, and the short table at the end of a search for people."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from analysis.findings import all_verdicts
from analysis.split import split_of_run, split_sentence
from analysis.summary import blind_spot, found_sentences, stopped_sentences, unconfirmed_sentence
from search.confirmation.leading import Lead, lead
from search.formats import counted, gmacs_decimals, millions, score, states_in_words
from search.runs.files import CSV_NAME, RUNGS_NAME
from search.runs.header import objectives_of
from search.runs.record import History
from search.runs.rows import rung_rows, trial_rows
from search.runs.scores import best_first
from space.shared.files import write_whole

TRIALS_SHOWN = 5


def write_tables(folder: Path, history: History) -> None:
    """trials.csv and rungs.csv of a run folder, each whole or not at all."""
    write_whole(folder / CSV_NAME, csv_text(*trial_rows(history)))
    write_whole(folder / RUNGS_NAME, csv_text(*rung_rows(history)))


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """What was not measured is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


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
            f"{trial.cost.gmacs:.{gmacs_decimals(trial.cost.gmacs)}f}",
            *(score(trial.score(objective.name), objective.decimals) for objective in objectives),
            style="bold" if trial is best[0] else "",
        )
    table.caption = escape("\n".join(_caption(history, leading)))
    return table


def _caption(history: History, leading: Lead | None) -> list[str]:
    """What was found, how sure that is, and what was stopped."""
    if leading:
        lines = [*found_sentences(history, leading.winner), leading.sentence()]
    else:
        lines = ["No trial has been trained to its full length: nothing is decided."]
    verdicts = all_verdicts(history)
    of_winner = leading.winner.name if leading else ""
    lines += [f"{v.sentence()}." for v in verdicts if of_winner in (v.name, v.against)]
    if leading and not verdicts:
        lines.append(unconfirmed_sentence(history, leading.winner))
    if (split := split_of_run(history)) is not None:
        lines.append(f"Best split of an image's time: {split_sentence(split)}.")
    if leading:
        lines.append(blind_spot(history))
    refused = Counter(r.kind for r in history.rejections)
    stopped = " ".join(stopped_sentences(history))
    return [*lines, f"Stopped: {stopped} Refused for the budget: {counted(refused['budget'], 'proposal')}."]
