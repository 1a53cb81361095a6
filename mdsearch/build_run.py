"""The stages of a system one after the other, each in a process of its own; finished ones are passed over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

from analysis.system.record import BuildRecord, MadeStage, read_build
from evaluators.protocols.sheet import FILE as SCORES_NAME
from mdsearch.build_plan import BuildCommand, BuildStage
from search.formats import duration
from search.runs.files import BEST_NAME
from space.shared.image_files import SAMPLES_MANIFEST
from space.shared.plain import InputError
from training.autoencoder import AUTOENCODER_RECORD
from training.files import MODEL_NAME

RunStage = Callable[[str, list[str], Callable[[float], None]], int]
"""Runs a command with its words, telling from time to time for how many seconds; gives its exit status."""
TOLD_EVERY = 5.0  # seconds: at most so much of a killed session is not counted
INTERRUPTED, BY_SIGNAL = 130, 128
# What a command has left, in its folder, once it has ended well; of others the folder, or the file.
LEFT = {
    "search": BEST_NAME,
    "search decoder": BEST_NAME,
    "train": MODEL_NAME,
    "train autoencoder": AUTOENCODER_RECORD,
    "distill": MODEL_NAME,
    "generate samples": SAMPLES_MANIFEST,
    "evaluate": SCORES_NAME,
    "evaluate reconstruction": SCORES_NAME,
}
_WHOLE = ("export",)  # leave their folder whole or not at all, and take none that is there


def run_build(command: BuildCommand, stages: Sequence[BuildStage], run: RunStage) -> int:
    """Run those that are not finished; the exit status of the first that fails, else 0.

    Raises:
        InputError: a folder of other words, or made of what has been made anew since; nothing has started.
    """
    folder = command.folder()
    record = read_build(folder) or BuildRecord(command.name)
    for stage in stages:
        check_same_stage(stage, record)
    for number, stage in enumerate(stages, 1):
        before, where = record.stages.get(stage.name), f"{number} of {len(stages)}, {stage.name}"
        if before is not None and is_finished(stage, before):
            print(f"{where}: finished, in {duration(before.seconds)}")
        else:
            expected = "" if stage.minutes is None else f", about {stage.minutes:g} min"
            print(f"\n=== {where}{expected}\n{stage.line()}", flush=True)
            before = begun(stage, record)
            status, before = _run(stage, before, record, folder, run)
            if status:
                print(f"\n{stage.name}: stopped with status {status}", file=sys.stderr)
                return status
        record = record.with_stage(stage.name, replace(before, finished=True))
        record.ordered({each.name: each for each in stages}).save(folder)
    return 0


def _run(
    stage: BuildStage, before: MadeStage, record: BuildRecord, folder: Path, run: RunStage
) -> tuple[int, MadeStage]:
    """One session of a stage: its status, and what is known of the stage then."""
    now = replace(before, sessions=before.sessions + 1)

    def tell(seconds: float) -> None:
        nonlocal now
        now = replace(now, seconds=before.seconds + seconds)
        record.with_stage(stage.name, now).save(folder)

    tell(0.0)
    status = run(*stage.now(), tell)
    if not status and not has_left(stage):
        raise InputError(f"{stage.name}: ended without {left_by(stage)}; its lines above say why")
    return status, now


def begun(stage: BuildStage, record: BuildRecord) -> MadeStage:
    """As it stands when it begins, or goes on."""
    before = record.stages.get(stage.name)
    if before is not None and stage.leaves.exists():
        return replace(before, finished=False)
    return MadeStage(
        stage.command,
        stage.words,
        str(stage.leaves),
        dict(stage.paths),
        uuid.uuid4().hex[:8],
        {name: _making(name, path, record) for name, path in stage.reads.items()},
    )


def _making(name: str, path: Path, record: BuildRecord) -> str:
    """Of a stage that is read; or where lies what stands in its place."""
    stage = record.stages.get(name)
    return stage.making if stage is not None and stage.folder == str(path) else str(path)


def check_same_stage(stage: BuildStage, record: BuildRecord) -> None:
    """Raises InputError where what a stage has left is of other words, or of another stage before it."""
    before = record.stages.get(stage.name)
    if before is None or not stage.leaves.exists():
        return
    anew = f"another out=, or {stage.leaves} deleted, with what reads it"
    if before.words != stage.words:
        ours, theirs = (" ".join(sorted({*a} - {*b})) or "nothing more" for a, b in _pairs(stage, before))
        raise InputError(f"{stage.name}: {ours}, but {stage.leaves} is of {theirs}; needed: {anew}")
    for name, path in stage.reads.items():
        known = record.stages.get(name)
        is_gone = known is not None and known.folder == str(path) and not path.exists()
        if is_gone or before.reads.get(name) != _making(name, path, record):
            raise InputError(f"{stage.name}: {stage.leaves} was made of another {name}; needed: {anew}")


def _pairs(stage: BuildStage, before: MadeStage) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(stage.words, before.words), (before.words, stage.words)]


def is_finished(stage: BuildStage, before: MadeStage) -> bool:
    return has_left(stage) and (before.finished or stage.command in _WHOLE)


def has_left(stage: BuildStage) -> bool:
    return left_by(stage).exists()


def left_by(stage: BuildStage) -> Path:
    return stage.leaves / LEFT[stage.command] if stage.command in LEFT else stage.leaves


def in_a_process(command: str, words: list[str], tell: Callable[[float], None]) -> int:
    """By a process of its own, which gives back all memory; Ctrl-C reaches it from the terminal, SIGTERM is
    handed on, and its end is waited for."""
    asked = list[int]()

    def remember(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if number == signal.SIGTERM:
            process.terminate()

    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "mdsearch", *command.split(), *words],
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    handlers = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while process.returncode is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(TOLD_EVERY)
            tell(time.monotonic() - started)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    status = process.returncode
    return BY_SIGNAL - status if status < 0 else status or (INTERRUPTED if asked else 0)
