"""`mdsearch evaluate`: scores of anybody's images."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conf.compose import compose
from conf.repeated import refuse_beside
from conf.words import as_entries, as_text
from evaluators.measuring.reference import PASSED_OVER
from evaluators.measuring.reference_cache import REFERENCE_SUFFIX, MeasureSettings
from evaluators.networks.loading import ComputeSettings
from evaluators.networks.weights import WeightsSettings
from evaluators.protocols.score import Score
from evaluators.protocols.sheet import Sheet, compare
from evaluators.run import OPINIONS, Request, reference_statistics, score_images
from evaluators.scorers.prepared import from_search
from mdsearch.progress import shown_progress
from mdsearch.second_opinions import print_opinions
from space.shared.console import command_console
from space.shared.plain import InputError, from_plain
from space.shared.second_opinion import SecondOpinion, disagreements

EVALUATE_TEXTS = (
    "images", "captions", "reference",
    "reference_list", "out", "metrics", "evaluator", "statistics", "compare", "but_for",
    "cache_folder", "weights.cache_folder",
)  # fmt: skip
FILES = "weights.files"
OF_SAMPLES = ("images", "captions", "out", "metrics", "intervals", "check")  # of no use to statistics alone
NEEDS = {"but_for": "compare", "statistics_features": "statistics"}


@dataclass(frozen=True)
class EvaluateCommand:
    """The fields of conf/evaluate.yaml."""

    evaluators: dict[str, Any]
    images: str | None = None
    captions: str | None = None
    reference: str | None = None
    reference_list: str | None = None
    out: str | None = None
    metrics: str | None = None
    intervals: bool = True
    check: bool = False
    evaluator: str | None = None
    statistics: str | None = None
    statistics_features: bool = False
    compare: str | None = None
    but_for: str | None = None
    workers: int = 1
    part_images: int = 256
    max_unreadable: int = 0
    cache_folder: str | None = None
    format: Literal["text", "json"] = "text"
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    weights: WeightsSettings = field(default_factory=WeightsSettings)

    def measuring(self) -> MeasureSettings:
        return MeasureSettings(self.workers, self.part_images, self.max_unreadable, self.cache_folder)

    def request(self) -> Request:
        """Raises InputError for metrics that there are not, or a folder that no search prepared."""
        preset, prepared, weights = self.evaluators, None, self.weights
        if self.evaluator is not None:
            preset, prepared, weights = from_search(self.evaluator, self.weights)
        return Request(
            self.images or "",
            preset,
            captions=self.captions,
            reference=self.reference,
            reference_list=self.reference_list,
            metrics=_listed(self.metrics, "metrics") or None,
            prepared=prepared,
            out=self.out,
            intervals=self.intervals,
            check=self.check,
            weights=weights,
            compute=self.compute,
            measuring=self.measuring(),
        )


def evaluate_images(command: EvaluateCommand, console: Console) -> int:
    """Score the images, and print what came out beside its protocol; 1 where a second opinion disagrees."""
    try:
        sheet, file = score_images(command.request(), partial(shown_progress, console))
    except KeyboardInterrupt:
        print("stopped; the same command goes on behind the last finished part")
        raise
    opinions = [SecondOpinion.from_plain(plain) for plain in sheet.about.get(OPINIONS, [])]
    if command.format == "json":
        print(sheet.to_json())
    else:
        console.print(_table(sheet))
        print(next(iter(sheet.scores.values())).protocol)
        print(_pace(sheet))
        print_opinions(opinions)
        print(f"scores: {file}")
    return 1 if disagreements(opinions) else 0


def write_statistics(command: EvaluateCommand, console: Console) -> int:
    """The statistics of the reference images, in a file of their own."""
    assert command.statistics is not None
    out = Path(command.statistics).expanduser()
    if out.suffix != REFERENCE_SUFFIX:
        raise InputError(
            f"statistics: {command.statistics!r} has another ending than {REFERENCE_SUFFIX}, which it needs"
        )
    reference = reference_statistics(command.request(), partial(shown_progress, console))
    try:
        (reference if command.statistics_features else replace(reference, features={})).save(out)
    except OSError as error:
        raise InputError(f"statistics: {str(out)!r} cannot be written: {error}") from None
    images, passed_over = int(reference.about["images"]), reference.about.get(PASSED_OVER, "")
    if command.format == "json":
        print(json.dumps({"images": images, "statistics": str(out), PASSED_OVER: passed_over}))
    else:
        print(f"statistics of {images:,} images: {out}" + (f"; {passed_over}" if passed_over else ""))
    return 0


def print_comparison(command: EvaluateCommand, console: Console) -> int:
    """Which of two sheets is better, score by score."""
    paths = _listed(command.compare, "compare")
    if len(paths) != 2:
        raise InputError(f"compare: {command.compare!r}; two are compared, as compare=first,second")
    one, other = (Sheet.load(Path(path).expanduser()) for path in paths)
    compared = compare(one, other, _listed(command.but_for, "but_for"))
    if command.format == "json":
        print(
            json.dumps(
                {
                    name: {"first": ours.to_plain(), "second": theirs.to_plain(), "the_first_is": verdict}
                    for name, (ours, theirs, verdict) in compared.items()
                },
                indent=1,
            )
        )
        return 0
    table = Table("score", *map(escape, paths), "the first is", header_style="bold")
    for name, (ours, theirs, verdict) in compared.items():
        table.add_row(name, _value(ours), _value(theirs), verdict)
    console.print(table)
    print(next(iter(one.scores.values())).protocol)
    return 0


def _table(sheet: Sheet) -> Table:
    table = Table("score", "value", "samples", "notes", header_style="bold")
    for name, found in sheet.scores.items():
        table.add_row(name, _value(found), f"{found.samples:,}", escape("; ".join(found.notes)))
    return table


def _value(found: Score) -> str:
    interval = found.interval
    return f"{found.value:.5g}" + (
        f" ({interval.level:.0%}: {interval.low:.5g} to {interval.high:.5g})" if interval else ""
    )


def _pace(sheet: Sheet) -> str:
    pace = sheet.about["pace"]
    if not pace["images"]:
        return "every image was measured before"
    return (
        f"{pace['images']:,} images measured in {pace['seconds']:.1f} s: "
        f"{pace['images_per_second']:.1f} a second on {pace['device']}, {pace['workers']} at work"
    )


def _as_meant(words: list[str]) -> list[str]:
    """Paths and lists as text, and files of weights as the new entries that they are."""
    return as_entries(as_text(words, EVALUATE_TEXTS), FILES)


def _listed(text: str | None, field: str) -> tuple[str, ...]:
    """A list as it is written in a shell: a,b or [a,b]."""
    parts = tuple(part.strip() for part in (text or "").strip("[]").split(",") if part.strip())
    if text is not None and not parts:
        raise InputError(f"{field}: {text!r} is empty; write {field}=one or {field}=one,another")
    return parts


def _check_together(words: list[str]) -> None:
    """Raises InputError for a word that another one leaves without effect."""
    parted = (word.lstrip("+~").partition("=") for word in words)
    given = [name for name, _, value in parted if value != "null"]
    others = [name for name in given if name not in ("compare", "but_for", "format")]
    refuse_beside(words, "compare", others, "which reads scores")
    refuse_beside(words, "statistics", OF_SAMPLES, "which measures reference=")
    refuse_beside(words, "evaluator", ["evaluators"], "which is a protocol itself")
    for name in given:
        if name in NEEDS and NEEDS[name] not in given:
            raise InputError(f"{name}: has no effect without {NEEDS[name]}=")


def main(words: list[str]) -> int:
    command: EvaluateCommand = from_plain(EvaluateCommand, compose("evaluate", _as_meant(words)))
    _check_together(words)
    console = command_console(stderr=command.format == "json")
    if command.compare is not None:
        return print_comparison(command, console)
    if command.statistics is not None:
        return write_statistics(command, console)
    if command.images is None:
        raise InputError(
            "images: missing; what is to be scored? images=<folder, .npz or .tar> (--help says more)"
        )
    return evaluate_images(command, console)
