"""`mdsearch evaluate adapter`: what adapters still do beside a model, such as one distilled from theirs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from analysis.adapters import Says, Survival, check_says, survival
from analysis.rendering import Format, render_table
from conf.compose import compose
from conf.words import as_lists, as_text
from mdsearch.long_training import read_kept
from mdsearch.progress import shown_progress
from space.shared.console import command_console
from space.shared.files import write_whole
from space.shared.plain import InputError, from_plain
from training.adapter_kinds import AdapterSettings
from training.adapting import read_record
from training.attaching import check_belongs, unknown_reader
from training.data.factory import DataSettings, load_data
from training.data.scenes import ScenesSettings
from training.devices import choose_device
from training.files import CONFIG_NAME
from training.frozen_folders import digest_of_parts, folder_parts
from training.generation.generators import check_settings, own_settings
from training.generation.grid import save_grid
from training.generation.identity import model_identity
from training.generation.settings import GenerationSettings
from training.model import read_description

PAIR_LISTS = ("models", "adapters")
SHOWN_OF_PAIR = 12  # images of a pair
IMAGE_PACKAGES = ("torch", "diffusers", "numpy")  # whose versions may change an image


@dataclass(frozen=True)
class EvaluateAdapterCommand:
    """The fields of conf/evaluate_adapter.yaml."""

    models: tuple[str, ...]
    adapters: tuple[str, ...]
    samples: int = 240
    steps: int | None = None
    guidance: float | None = None
    captions: Says = "all"
    seed: int = 0
    batch_size: int = 48
    device: Literal["auto", "cpu", "cuda"] = "auto"
    out: str = "scores/adapters"
    format: Format = "table"

    def generation(self, model: Path) -> GenerationSettings:
        """Of a model, where no word says otherwise. Raises InputError where it cannot generate so."""
        words = {"steps": self.steps, "guidance": self.guidance}
        chosen = own_settings(model) | {name: value for name, value in words.items() if value is not None}
        settings = GenerationSettings(
            count=self.samples, seed=self.seed, batch_size=self.batch_size, **chosen
        )
        check_settings(model, settings)
        return settings


@dataclass(frozen=True)
class TrainedAdapter:
    """Of its folder: what it is, and what it was trained on."""

    folder: Path
    own: AdapterSettings
    data: DataSettings

    @property
    def digest(self) -> str:
        return digest_of_parts(folder_parts(self.folder / self.own.name, self.own.name))

    @property
    def is_filled(self) -> bool:
        return not isinstance(self.data, ScenesSettings) or self.data.style == "filled"


def trained_adapter(folder: Path) -> TrainedAdapter:
    """Raises InputError where a folder holds none of `mdsearch train adapter`."""
    record = read_record(folder, "adapters")
    kept = read_kept(folder, CONFIG_NAME, dict, "adapters", "an adapter's training")
    own: AdapterSettings = from_plain(AdapterSettings, record.settings, "adapter")
    data: DataSettings = from_plain(DataSettings, kept.get("data"), "data")
    return TrainedAdapter(folder, own, data)


def survivals(command: EvaluateAdapterCommand, console: Console) -> list[dict[str, Any]]:
    """A row for each measure of each pair; all pairs are checked before the first is measured.

    Raises:
        InputError: an adapter of another network than a model's, a folder of neither, what cannot be read.
    """
    models = [Path(name).expanduser() for name in command.models]
    adapters = [trained_adapter(Path(name).expanduser()) for name in command.adapters]
    for adapter in adapters:
        check_says(adapter.own, command.captions)
    for model in models:
        command.generation(model)
        architecture, settings = read_description(model, "models")
        for adapter in adapters:
            record = read_record(adapter.folder)
            try:
                check_belongs(record, architecture, settings)
            except InputError as error:
                raise InputError(f"{adapter.folder} beside {model}: {error}") from None
            if (said := unknown_reader(record, model, settings)) is not None:
                console.print(said)
    return [
        {"model": str(model), "adapter": str(adapter.folder), "kind": adapter.own.name, **row}
        for adapter in adapters
        for model in models
        for row in _of_pair(command, model, adapter, console)
    ]


def _of_pair(
    command: EvaluateAdapterCommand, model: Path, adapter: TrainedAdapter, console: Console
) -> list[dict[str, Any]]:
    """From the file that it was kept in, if it was measured before."""
    settings, device = command.generation(model), choose_device(command.device)
    about = {
        "model": model_identity(model)["digest"],
        "adapter": adapter.digest,
        "own": str(adapter.own),
        "device": device.type,
        "data": str(adapter.data),
        "settings": str(settings),
        "packages": {name: version(name) for name in IMAGE_PACKAGES},
    }
    about |= {} if command.captions == "all" else {"captions": command.captions}
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
    name = f"{model.resolve().name}-{adapter.folder.resolve().name}-{key}"
    out = Path(command.out).expanduser()
    if not (file := out / f"{name}.json").is_file():
        console.print(f"{model} with {adapter.folder}")
        data = load_data(adapter.data)
        with shown_progress(console, "images") as show:
            found = survival(
                model, adapter.folder, adapter.own, data, settings, device,
                is_filled=adapter.is_filled, says=command.captions, show=show,
            )  # fmt: skip
        _keep(found, about, out, name)
    rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["rows"]
    return rows


def _keep(found: Survival, about: dict[str, Any], out: Path, name: str) -> None:
    """The file of the figures last: it says that the pair is done."""
    shown = found.shown[:, :SHOWN_OF_PAIR]
    try:
        out.mkdir(parents=True, exist_ok=True)
        save_grid(shown.reshape(-1, *shown.shape[2:]), out / f"{name}.png", columns=shown.shape[1], enlarge=2)
        whole = {"about": about, "captions": found.captions[:SHOWN_OF_PAIR], "rows": _rows(found)}
        write_whole(out / f"{name}.json", json.dumps(whole, indent=1))
    except OSError as error:
        raise InputError(f"out: {str(out)!r} cannot be written: {error}") from None


def _rows(found: Survival) -> list[dict[str, Any]]:
    return [
        {
            "measure": each.name,
            "value": each.value,
            "low": each.interval and each.interval.low,
            "high": each.interval and each.interval.high,
            "alone": each.alone,
            "gain": each.gain and each.gain[0],
            "gain_low": each.gain and each.gain[1].low,
            "gain_high": each.gain and each.gain[1].high,
            "truth": each.truth,
        }
        for each in found.measures
    ]


def _words(row: dict[str, Any]) -> dict[str, str]:
    return {
        "model": row["model"],
        "adapter": row["adapter"],
        "measure": row["measure"],
        "with it (95 %)": _value(row["value"], row["low"], row["high"]),
        "alone": _value(row["alone"]),
        "gain": "-" if row["gain"] is None else _value(row["gain"], row["gain_low"], row["gain_high"]),
        "read of images": "-" if row["truth"] is None else _value(row["truth"]),
    }


def _value(value: float, low: float | None = None, high: float | None = None) -> str:
    if low is None or high is None:
        return f"{value:.3g}"
    return f"{value:.3g} ({low:.3g} to {high:.3g})"


def main(words: list[str]) -> int:
    chosen = as_lists(as_text(words, ("out",)), PAIR_LISTS)
    command: EvaluateAdapterCommand = from_plain(EvaluateAdapterCommand, compose("evaluate_adapter", chosen))
    console = command_console(stderr=True)
    rows = survivals(command, console)
    print(render_table(rows, [_words(row) for row in rows], command.format), end="")
    console.print(f"images: {command.out}")
    return 0
