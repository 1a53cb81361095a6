"""`mdsearch split runs/unet runs/decoder total_ms=400`: how UNet and decoder share one latency budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analysis.rendering import Format, render_table
from analysis.split import ImageTime, price_lists_of, split_rows, split_words, splits
from conf.compose import compose
from conf.words import divided
from search.runs.record import read_history
from space.shared.plain import InputError, from_plain


@dataclass(frozen=True)
class SplitSettings:
    """The fields of conf/split.yaml."""

    total_ms: float
    steps: int = 8
    text_ms: float = 0.0
    format: Format = "table"

    def __post_init__(self) -> None:
        if not self.total_ms > 0:
            raise InputError(f"total_ms: {self.total_ms:g} is no time; allowed: above 0")
        if self.steps < 1:
            raise InputError(f"steps: {self.steps} is too few; allowed: 1 or more")
        if not self.text_ms >= 0:
            raise InputError(f"text_ms: {self.text_ms:g} is no time; allowed: 0 or more")


def main(words: list[str]) -> int:
    named, chosen = divided(words)
    settings: SplitSettings = from_plain(SplitSettings, compose("split", chosen))
    if len(named) != 2:
        raise InputError(f"runs: {len(named)} named; needed: two, a search over UNets and one over decoders")
    unets, decoders = (read_history(Path(name).expanduser()) for name in named)
    within = ImageTime(settings.total_ms, settings.steps, settings.text_ms)
    found = splits(unets, decoders, within)
    print(render_table(split_rows(found, within), split_words(found, within), settings.format), end="")
    if settings.format == "table":
        print("\nThe first is best by its places in all scores; none of them is beaten in every score.")
        print(
            f"UNets by {'; '.join(price_lists_of(unets))}; decoders by {'; '.join(price_lists_of(decoders))}"
        )
    return 0
