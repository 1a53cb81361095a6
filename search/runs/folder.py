"""A run's folder: who may claim it, and what it was made with."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from search.runs.earlier import current
from search.runs.files import BEST_NAME, CONFIG_NAME, HOLDER_NAME, RECORD_NAME
from search.runs.moved import moves, moves_of, with_places_of
from search.runs.record import Record, read_events, read_history
from search.settings import SearchSettings, changed_fields, settings_from_plain
from space.shared.command_lines import command_line
from space.shared.files import write_whole
from space.shared.plain import InputError, at_home, to_plain
from space.shared.retries import resume_command

OF_DECODERS = "reconstruction"  # a field that config.yaml has of a search over decoders alone


def stored_settings(folder: Path) -> SearchSettings:
    """The settings that a run folder was made with. Raises InputError if it is not one."""
    path = folder / CONFIG_NAME
    if not path.is_file() or not (folder / RECORD_NAME).is_file():
        raise InputError(f"{folder}: not a run folder of this platform (no {CONFIG_NAME} and {RECORD_NAME})")
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as the settings of a run: {reason}") from None
    if isinstance(plain, dict) and OF_DECODERS in plain:
        raise InputError(f"{folder}: its networks are decoders; go on with: {resume_command(folder)}")
    if isinstance(plain, dict) and "start" in plain:
        go_on = command_line("serve", resume=folder)
        raise InputError(f"{folder}: its training is elsewhere; go on with: {go_on}")
    try:
        plain = current(plain)
        for move in moves_of(folder):
            plain |= move["settings"]
        return settings_from_plain(at_home(plain))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def stored_overrides(folder: Path) -> list[str]:
    """The words that a run was started with; a resumed one starts from them."""
    header = read_history(folder).header
    if not header:
        raise InputError(
            f"{folder}: was interrupted before anything was recorded; start it again as it was started first"
        )
    overrides: list[str] = header.get("overrides", [])
    for move in moves_of(folder):
        names = {word.partition("=")[0] for word in move["words"]}
        overrides = [word for word in overrides if word.partition("=")[0] not in names] + move["words"]
    return overrides


def moved_places(settings: SearchSettings) -> dict[str, Any]:
    """What a session's event says of what a resumed run finds elsewhere."""
    return {} if settings.resume is None else moves(stored_settings(Path(settings.resume)), settings)


def trained_with(folder: Path) -> dict[str, Any]:
    """The proxy, data and training of its trials, as plain data. Raises InputError if it is no run folder."""
    stored = stored_settings(folder)
    training = replace(stored.training, steps=stored.rungs[-1])
    plain: dict[str, Any] = to_plain({"proxy": stored.proxy, "data": stored.data, "training": training})
    return plain


def winner_of(folder: Path) -> Path:
    """The file of the architecture that leads. Raises InputError where none does yet."""
    if not (folder / BEST_NAME).is_file():
        raise InputError(f"{folder}: has no winner yet (no {BEST_NAME}); name an arch_file=")
    return folder / BEST_NAME


def run_around(file: Path) -> Path | None:
    """The run folder that a file lies in, if in one."""
    above = list(file.resolve().parents)[:3]  # trials/<number>/architecture.yaml is the deepest
    return next((folder for folder in above if (folder / RECORD_NAME).is_file()), None)


def latest_run(runs_folder: Path) -> Path:
    """The run folder whose record was written to last. Raises InputError if there is none."""
    records = list(runs_folder.glob(f"*/{RECORD_NAME}"))
    if not records:
        raise InputError(f"{runs_folder}: holds no run yet; start one with: mdsearch search")
    return max(records, key=lambda path: path.stat().st_mtime).parent


def claim_folder(settings: SearchSettings, digest: str = "") -> Path:
    """The folder that a search will write to: a new one, or the one to go on with. `digest` is its data's.

    Raises:
        InputError: if it is another run's, holds other files, cannot be written, or was made with settings
            that differ in what was measured.
    """
    if settings.resume is not None:
        folder = Path(settings.resume)
        before = stored_settings(folder)
        there = with_places_of(before, settings, read_history(folder), digest, folder)
        if changed := changed_fields(before, there):
            raise InputError(
                f"resume: {', '.join(changed)} differ from what {folder} was made with; a resumed search may "
                "change trials, confirmation, cluster, backend, compute and weights only, and where files lie"
            )
        return folder
    return folder_for(Path(settings.runs_folder), settings.name, resume_command)


def folder_for(runs: Path, name: str | None, go_on: Callable[[Path], str]) -> Path:
    """A folder for a new run; `go_on` says how one that is there already is gone on with.

    Raises:
        InputError: if it is another run's, holds other files or cannot be written.
    """
    if name is None:
        return new_folder(runs)
    folder = runs / name
    if _holds_events(folder / RECORD_NAME):
        raise InputError(f"{folder}: holds a run already; go on with it: {go_on(folder)}; or choose a name=")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not all(_is_left_by_a_start(file.name) for file in folder.iterdir()):
            raise InputError(f"{folder}: holds files that are not a run; choose another name=")
    except OSError as error:
        raise _not_written(folder, error) from None
    return folder


def new_folder(runs: Path, suffix: str = "") -> Path:
    """A folder that nobody else has, named by the time. Raises InputError if it cannot be made."""
    stamp = time.strftime("search-%Y%m%d-%H%M%S")
    try:
        for number in itertools.count(1):
            folder = runs / f"{stamp}{f'_{number}' if number > 1 else ''}{suffix}"
            with suppress(FileExistsError):  # of another search of the same second
                folder.mkdir(parents=True)
                return folder
    except OSError as error:
        raise _not_written(runs, error) from None
    raise AssertionError("numbers have no end")


def _not_written(folder: Path, error: OSError) -> InputError:
    return InputError(f"{folder}: cannot be written: {error.strerror}; choose another runs_folder= or name=")


def _holds_events(record: Path) -> bool:
    return record.is_file() and any(True for _ in read_events(record))


def _is_left_by_a_start(name: str) -> bool:
    """Files of a search that was killed before it recorded anything: its folder is free."""
    starts = (CONFIG_NAME, RECORD_NAME, HOLDER_NAME)
    return name in starts or any(name.startswith(f".{start}.") for start in starts)


def begin_record(settings: object, folder: Path, record: Record, header: Mapping[str, Any]) -> None:
    """Write down what was asked, unless the record holds it already. The settings come first, so that they
    are there whenever the record says that there is a run."""
    if not record.history.header:
        write_whole(folder / CONFIG_NAME, yaml.safe_dump(to_plain(settings), sort_keys=False))
        record.append("run", **header)
