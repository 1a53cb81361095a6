"""`mdsearch split runs/unet [runs/decoder total_ms=400]`: how UNet and decoder share one latency budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from analysis.rendering import Format, render_table
from analysis.split import ImageSplit, split_of_run, split_of_two, split_rows, split_sentence, split_words
from conf.compose import compose
from conf.words import divided
from search.runs.record import read_history
from space.image_time import ImageTime
from space.shared.plain import InputError, from_plain


@dataclass(frozen=True)
class SplitSettings:
    """The fields of conf/split.yaml; those of an image are a run's own where one is named alone."""

    total_ms: float | None = None
    steps: int = 8
    calls_per_step: int = 1
    text_ms: float = 0.0
    format: Format = "table"

    def within(self) -> ImageTime:
        """Raises InputError, naming the field."""
        if self.total_ms is None:
            raise InputError("total_ms: missing; needed beside two runs: what an image may take")
        return ImageTime(self.total_ms, self.steps, self.calls_per_step, self.text_ms)


def main(words: list[str]) -> int:
    named, chosen = divided(words)
    settings: SplitSettings = from_plain(SplitSettings, compose("split", chosen))
    if len(named) not in (1, 2):
        raise InputError(
            f"runs: {len(named)} named; needed: two, a search over UNets and one over decoders, or one that "
            "had a total_ms"
        )
    folders = [Path(name).expanduser() for name in named]
    split = _of_one(folders[0], chosen) if len(folders) == 1 else _of_two(folders, settings.within())
    print(render_table(split_rows(split), split_words(split), settings.format), end="")
    if settings.format == "table":
        print("", *_said(split), sep="\n")
    return 0


def _said(split: ImageSplit) -> Iterator[str]:
    yield f"Best by its places in all scores: {split_sentence(split)}."
    yield "None of them is beaten in every score, as far as one run of each says."
    if split.beside:
        yield f"With {split.beside}."
    lists = zip(("UNets", "decoders"), split.lists, strict=True)
    yield "; ".join(f"{what} by {'; '.join(words)}" for what, words in lists if words)
    yield from (f"note: {note}" for note in split.notes)


def _of_two(folders: list[Path], within: ImageTime) -> ImageSplit:
    unets, decoders = map(read_history, folders)
    return split_of_two(unets, decoders, within)


def _of_one(run: Path, chosen: list[str]) -> ImageSplit:
    own = [name for word in chosen if (name := word.partition("=")[0]) != "format"]
    if own:
        raise InputError(f"{own[0]}: has no effect beside one run, which has its own; or name two runs")
    split = split_of_run(read_history(run))
    if split is None:
        raise InputError(
            f"{run}: no complete trial within a budget.total_ms; needed: a search that had one, or two runs"
        )
    return split
