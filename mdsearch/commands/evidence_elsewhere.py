"""`mdsearch evidence elsewhere recorded runs/emoji-seed-0 ... out=page.md`: does the order carry over?"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.evidence.elsewhere import elsewhere
from analysis.evidence.elsewhere_text import page
from analysis.evidence.metrics import check_tells_sound
from analysis.evidence.sources import complete_table
from analysis.rendering import write_text
from analysis.replay.table import RecordedTable
from conf.compose import compose
from conf.words import divided
from search.runs.bundle import Bundled, gathered, of_names
from space.shared.command_lines import typed_line
from space.shared.plain import InputError, from_plain


@dataclass(frozen=True)
class ElsewhereSettings:
    """What conf/evidence_elsewhere.yaml holds."""

    out: str
    here: tuple[str, ...]
    there: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.out.endswith(".md"):
            raise InputError(f"out: {self.out!r} is no page; allowed: a file that ends in .md")
        for name in ("here", "there"):
            if not getattr(self, name):
                raise InputError(f"{name}: empty; allowed: one pattern of names or more")


def main(words: list[str]) -> int:
    sources, chosen = divided(words)
    settings: ElsewhereSettings = from_plain(ElsewhereSettings, compose("evidence_elsewhere", chosen))
    if not sources:
        raise InputError(
            "no run named; for example: mdsearch evidence elsewhere recorded runs/emoji-seed-0 out=emoji.md"
        )
    runs = {run.name: run for run in gathered(sources)}
    if both := sorted({*of_names(runs, settings.here)} & {*of_names(runs, settings.there)}):
        raise InputError(
            f"there: {both[0]} is one of here, too; allowed: a run on one side of the comparison"
        )
    here, there = _table(runs, "here", settings.here), _table(runs, "there", settings.there)
    if (images := here.header.get("data")) is not None and images == there.header.get("data"):
        raise InputError(
            f"there: {' and '.join(settings.there)} saw the same images as here ({images['name']}); allowed: "
            "runs on others (other training of the same images: mdsearch evidence)"
        )
    check_tells_sound(here, "here")
    used = [runs[name] for name in of_names(runs, (*settings.here, *settings.there))]
    text = page(elsewhere(here, there), (here, there), used, typed_line("evidence elsewhere", words))
    write_text(text, settings.out)
    print(f"written: {settings.out}")
    return 0


def _table(runs: dict[str, Bundled], name: str, patterns: tuple[str, ...]) -> RecordedTable:
    found = complete_table({run: runs[run].history for run in of_names(runs, patterns)})
    if found is None:
        raise InputError(f"{name}: no run of full length is called {' or '.join(patterns)}")
    return found
