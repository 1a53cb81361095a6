"""`mdsearch confirm [runs/a]`: more seeds and more steps for the winners of a run that has ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.tables import result_table
from conf.compose import architecture_texts, compose
from conf.words import divided
from mdsearch.api import run_search
from mdsearch.decoder_search import autoencoder_texts
from search.confirmation.confirmation import ConfirmationSettings
from search.decoders.settings import is_decoder_search, stored_decoder_search
from search.runs.folder import latest_run, stored_overrides, stored_settings
from search.runs.record import read_history
from search.subjects import AnySearchSettings
from space.shared.console import command_console
from space.shared.plain import InputError, from_plain
from space.shared.retries import resume_command


def main(words: list[str]) -> int:
    runs, chosen = divided(words)
    plain: dict[str, Any] = compose("confirm", chosen)
    runs_folder, run = plain.pop("runs_folder"), plain.pop("run")
    named = [run] * (run is not None) + runs
    if len(named) > 1:
        raise InputError(f"run: {', '.join(named)}: allowed: one run at a time")
    folder = Path(named[0]) if named else latest_run(Path(runs_folder).expanduser())
    confirmation = from_plain(ConfirmationSettings, plain)
    stored: AnySearchSettings
    if is_decoder_search(folder):
        stored, texts = stored_decoder_search(folder), autoencoder_texts
        if not any(word.startswith("references=") for word in chosen):  # those of the file are UNets
            confirmation = replace(confirmation, references=())
    else:
        stored, texts = stored_settings(folder), architecture_texts
    trials = read_history(folder).trials
    unfinished = [trial.number for trial in trials if trial.state == "running"]
    if not trials:
        raise InputError(f"{folder}: has no trial to confirm; first: {resume_command(folder)}")
    if unfinished:
        raise InputError(f"{folder}: trials {unfinished} have not ended; first: {resume_command(folder)}")
    settings = replace(
        stored,
        confirmation=confirmation,
        resume=str(folder),
        trials=len(trials),
        presets=stored.presets | texts(confirmation.references),
    )
    result = run_search(settings, stored_overrides(folder))
    command_console().print(result_table(result.history))
    print(f"\nreport: {result.report}")
    return 130 if result.interrupted else 0
