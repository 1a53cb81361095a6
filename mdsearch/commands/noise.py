"""`mdsearch noise runs/a [runs/b ...]`: what is noise at each rung, by repeated seeds."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.noise import exact_row, measured_up_to, preset, table_note
from analysis.rendering import Format, render_table, write_text
from conf.compose import compose
from conf.words import divided
from search.confirmation.repeats import estimated, fid_range, from_repeats, noise_row, refined
from search.confirmation.unmeasured import measure_command, why_unknown
from search.runs.bundle import histories_of
from search.runs.compatibility import protocol_parts
from search.runs.folder import latest_run
from search.runs.header import noise_of, objectives_of, searches_decoders
from search.statistics.noise import FEWEST_REPEATS
from space.shared.plain import InputError, from_plain
from space.shared.retries import resume_command


@dataclass(frozen=True)
class NoiseSettings:
    """How the table is written, and where the preset goes."""

    runs_folder: str = "runs"
    format: Format = "table"
    out: str | None = None
    stated: bool = True
    best: float = 1.0

    def __post_init__(self) -> None:
        if self.out is not None and not self.out.endswith(".yaml"):
            raise InputError(f"out: {self.out!r} is no preset; allowed: a file that ends in .yaml")
        if not 0 < self.best <= 1:
            raise InputError(f"best: {self.best:g} is not a share; allowed: above 0, up to 1")


def main(words: list[str]) -> int:
    sources, chosen = divided(words)
    settings = from_plain(NoiseSettings, compose("noise", chosen))
    sources = sources or [str(latest_run(Path(settings.runs_folder).expanduser()))]
    histories = histories_of(sources)
    first, noise = next((name, noise_of(history)) for name, history in histories.items())
    if settings.out is not None and searches_decoders(histories[first].header):
        raise InputError(
            f"out: {first} searches decoders, for which no noise= can be stated; allowed: null, and "
            "more repeated seeds of the run itself, which say it"
        )
    if noise is None:
        how = f"; first: {resume_command(first)}" if Path(first).is_dir() else ""
        raise InputError(f"{first}: states no noise yet{how}")
    found = estimated(list(histories.values()), noise, settings.best)
    measured_on = fid_range(list(histories.values()), settings.best)
    print(
        render_table(
            [exact_row(each) for each in found], [noise_row(each) for each in found], settings.format
        ),
        end="",
    )
    history = histories[first]
    if settings.format == "table":
        print(table_note(objectives_of(history)))
        if measured_on is not None:
            print(f"Their mean FIDs at the end: {measured_on[0]:,.1f} to {measured_on[1]:,.1f}.")
        if (why := why_unknown(history.header)) and not noise.known(objectives_of(history)):
            print(f"Not stated here: {why}.")
    if settings.out is None:
        return 0
    together = refined(noise, found) if settings.stated else from_repeats(noise, found)
    if not together.known(objectives_of(history)):
        how = f"; first: {measure_command(history, Path(first))}" if Path(first).is_dir() else ""
        raise InputError(f"out: no network of {first} was trained with two seeds, so nothing to write{how}")
    source = f"the repeated seeds of {', '.join(Path(run).name for run in histories)}"
    if settings.best < 1:
        source += f" (the best {settings.best:.0%} of their networks)"
    if settings.stated and noise.known(objectives_of(history)):
        source = f"what was stated and {source}"
    said = protocol_parts(history.header), measured_up_to(noise, measured_on, settings.stated)
    together = replace(together, measured_under=said[0], measured_up_to_fid=said[1])
    write_text(preset(together, source), settings.out)
    if together.degrees_of_freedom < FEWEST_REPEATS:
        repeats = f"{together.degrees_of_freedom:g} repeats"
        print(f"Of {repeats} alone: too few to call one run better than another.", file=sys.stderr)
    return 0
