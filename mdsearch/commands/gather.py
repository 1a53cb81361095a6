"""`mdsearch gather runs/a runs/b out=recorded.jsonl.gz`: records of many runs in one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from conf.compose import compose
from conf.words import divided
from search.formats import counted
from search.runs.bundle import BUNDLE_SUFFIX, Bundled, gathered, write_bundle
from search.runs.header import trained_elsewhere
from space.shared.plain import InputError, from_plain


@dataclass(frozen=True)
class GatherSettings:
    """Where the file goes."""

    out: str

    def __post_init__(self) -> None:
        if not self.out.endswith(BUNDLE_SUFFIX):
            raise InputError(f"out: {self.out!r} is no bundle; allowed: a file that ends in {BUNDLE_SUFFIX}")


def main(words: list[str]) -> int:
    sources, chosen = divided(words)
    settings = from_plain(GatherSettings, compose("gather", chosen))
    if not sources:
        raise InputError("no run named; for example: mdsearch gather runs/a out=recorded.jsonl.gz")
    runs = gathered(sources)
    out = Path(settings.out)
    try:
        write_bundle(out, runs)
    except OSError as error:
        raise InputError(f"out: {out} cannot be written: {error.strerror}") from None
    for run in runs:
        print(f"{run.name}: {_contents(run)}")
    print(f"written: {out}, {counted(len(runs), 'run')}, {out.stat().st_size / 1024:,.0f} KiB")
    return 0


def _contents(run: Bundled) -> str:
    history = run.history
    complete = sum(t.state == "complete" for t in [*history.trials, *history.confirmations])
    others = len(history.trials) + len(history.confirmations) - complete
    text = f"{counted(complete, 'run')} of full length"
    text = f"{text}, {others} others" if others else text
    elsewhere = "; its training was elsewhere, so there is no provenance"
    return text + elsewhere * trained_elsewhere(history)
