"""What to paste next, with a run: commands that measure as it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from search.confirmation.confirmation import ConfirmationSettings
from search.runs.files import BEST_NAME, ENCODER_FOLDER, EVALUATOR_FOLDER
from search.runs.header import searches_decoders, trained_elsewhere
from search.runs.record import History
from space.shared.command_lines import command_line
from space.shared.plain import from_plain, to_plain
from space.shared.retries import resume_command
from training.data.base import CommonSettings
from training.data.factory import DataSettings

LONGER = 10  # times the steps of a full trial
MORE = 3  # times as many seeds
ALL = 99  # more than are stopped in any search of hours
_NO_HEADER: Mapping[str, Any] = MappingProxyType({})


def go_on_command(folder: Path, history: History) -> str:
    """To go on with it, here or with training that is elsewhere."""
    return resume_command(folder) if trained_here(history) else command_line("serve", resume=folder)


def trained_here(history: History) -> bool:
    """Whether it trained by itself; else a training elsewhere told its scores."""
    return "training" in history.header and not trained_elsewhere(history)


def longer_command(folder: Path, history: History) -> str:
    """To train the winner for longer, on the same data."""
    steps = history.header["rungs"][-1]
    if not searches_decoders(history.header):
        return train_command(folder, steps)
    data = history.header["data"]
    chosen = {f"data.{name}": value for name, value in data_words(history).items()}
    chosen["data.image_size_px"] = data["image_size_px"]  # the command's own default is another
    encoder = folder / EVALUATOR_FOLDER / ENCODER_FOLDER
    fields: dict[str, Any] = {"autoencoder": folder / BEST_NAME, "init_from": encoder}
    fields |= {
        "reconstruction.decoder_only": True,
        "reconstruction.kl": 0,
        "data": data["name"],
        **chosen,
    }
    return command_line("train autoencoder", **fields, **{"reconstruction.steps": LONGER * steps})


def data_words(history: History) -> dict[str, Any]:
    """What of its data set is not as usual, beside the name."""
    settings: CommonSettings = from_plain(DataSettings, history.header["data"], "data")
    found: dict[str, Any] = to_plain(settings, omit_defaults=True)
    return {name: value for name, value in found.items() if name != "name"}


def train_command(folder: Path, steps: int) -> str:
    """To train the winner for longer than the `steps` of a full trial, on the same data."""
    return command_line("train", run=folder, **{"training.steps": LONGER * steps})


def more_seeds_command(
    folder: Path, settings: ConfirmationSettings, header: Mapping[str, Any] = _NO_HEADER
) -> str:
    """To race the same networks over the same steps with more seeds."""
    usual = ConfirmationSettings()  # conf/confirm.yaml says the same of these, but for more seeds
    if searches_decoders(header):
        usual = replace(usual, references=())
    names = ("best", "references", "steps", "stopped")
    asked = {name: getattr(settings, name) for name in names}
    differing = {name: value for name, value in asked.items() if value != getattr(usual, name)}
    if settings.seeds != usual.seeds:
        differing["seeds"] = MORE * settings.seeds
    return command_line("confirm", folder, **differing)


def count_stops_command(folder: Path) -> str:
    """To train its stopped trials to full length, which counts those that were stopped wrongly."""
    return command_line("confirm", folder, best=0, references=[], stopped=ALL, minutes=None)
