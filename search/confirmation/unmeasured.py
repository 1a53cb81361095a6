"""Where nobody has measured what noise is under a run's protocol: why, and the commands that measure it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

from search.confirmation.confirmation import ConfirmationSettings
from search.confirmation.repeats import estimated
from search.formats import counted
from search.runs.header import foreign_to, noise_of
from search.runs.record import History
from search.statistics.noise import FEWEST_REPEATS, noise_from_plain
from space.shared.command_lines import command_line

MORE_SEEDS = 2  # of each network: as many again would change nothing


def why_unknown(header: Mapping[str, Any]) -> str:
    """Why the stated noise says nothing of a header's protocol, or not of its full length; empty where it
    decides."""
    if "noise" not in header:
        return "no noise is stated"
    foreign = foreign_to(noise_from_plain(header["noise"]).measured_under, header)
    if foreign is None:
        return "the stated noise does not say what it was measured under (measured_under)"
    if foreign:
        return f"the stated noise was measured under other {_listed(foreign)}"
    rungs, missing = header.get("rungs") or [], _not_stated(header)
    return f"no noise is stated for step {rungs[-1]}" if rungs and rungs[-1] in missing else ""


def noise_note(header: Mapping[str, Any]) -> str:
    """What a search is told of its noise before it begins; empty where all is stated."""
    if why := why_unknown(header):
        return (
            f"{why}; it stops no trial, and verdicts are undecided until repeated seeds show what it is here"
        )
    missing = _listed(list(map(str, _not_stated(header))))
    return f"none is stated for step {missing}, where it stops no trial" if missing else ""


def _not_stated(header: Mapping[str, Any]) -> list[int]:
    known = {rung.step for rung in noise_from_plain(header["noise"]).rungs}
    return [step for step in header.get("rungs") or [] if step not in known]


def repeats_of(history: History) -> int:
    """Runs beyond the first of each network at the last rung: what a record says of noise itself."""
    noise = noise_of(history)
    found = estimated([history], noise) if noise is not None else []
    return int(found[-1].seeds.degrees_of_freedom) if found and found[-1].seeds else 0


def measure_command(history: History, folder: Path) -> str:
    """More seeds for the finalists and reference points, which say what noise is and so decide."""
    seeds = Counter(trial.name for trial in history.confirmations if trial.state == "complete")
    references = tuple(history.header.get("references", ()))
    finalists = min(ConfirmationSettings().best, sum(trial.state == "complete" for trial in history.trials))
    enough = 1 + ceil(FEWEST_REPEATS / max(1, finalists + len(references)))
    most = max(enough, max(seeds.values(), default=0) + MORE_SEEDS)
    own = {} if references == ConfirmationSettings().references else {"references": references}
    return command_line("confirm", folder, seeds=most, minutes=None, **own)


def keep_command(folder: Path) -> str:
    """What writes the noise that a run's repeated seeds show, for the next search of its protocol."""
    return command_line("noise", folder, out=f"{folder.name}-noise.yaml")


def what_to_measure(history: History, folder: Path) -> str:
    """What says, or would say, what is noise in a run that states none for itself, and the command for it."""
    repeats = repeats_of(history)
    if repeats >= FEWEST_REPEATS:
        return (
            f"what is noise here is known from {repeats} repeated runs of this search alone; to keep it for "
            f"the next one: {keep_command(folder)}"
        )
    known = f"known from {counted(repeats, 'repeated run')} alone, too few" if repeats else "not known"
    return f"what is noise here is {known}; to measure it: {measure_command(history, folder)}"


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
