"""What every card says alike: whose images were seen, under which licences, and how good the result is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from space.shared.files import write_whole
from space.shared.plain import InputError
from training.data.base import CommonSettings
from training.data.dataset import Dataset
from training.files import CARD_NAME
from training.run import ModelScores

NOT_STATED = "not stated"
# Licences as the Hub names them; of any other it wants a name beside `other`.
HUB_LICENCES = (
    "agpl-3.0", "apache-2.0", "bigscience-openrail-m", "bsd-3-clause", "cc-by-3.0", "cc-by-4.0",
    "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0",
    "cc0-1.0", "creativeml-openrail-m", "gpl-3.0", "lgpl-3.0", "mit", "openrail", "openrail++", "unlicense",
)  # fmt: skip
QUANTILE = 1.96  # of the normal distribution: 95 % lie within so many deviations


@dataclass(frozen=True)
class CardSettings:
    """What only the user can state; null: the card says that it is not stated."""

    licence: str | None = None  # of the weights
    data_licence: str | None = None  # of the images


@dataclass(frozen=True)
class CardImages:
    """A line on the images of a training; an attribution that they oblige to, and the licence that their data
    set states, empty where none is."""

    line: str
    attribution: str
    licence: str


def images_on_card(data: Dataset, settings: CommonSettings) -> CardImages:
    images = f"{data.train_images:,} images of {settings.title}, {data.image_size_px} px, digest"
    line = f"{images} `{data.digest}`; {len(data.held_out_captions):,} are held out"
    return CardImages(line, settings.attribution, settings.licence)


def save_card(folder: Path, text: str) -> None:
    """Of a training that goes on. Raises InputError where it cannot be written."""
    try:
        write_whole(folder / CARD_NAME, text)
    except OSError as error:
        raise InputError(f"out: {str(folder)!r} cannot be written: {error}") from None


def card_document(head: str, lines: Sequence[str], images: CardImages) -> str:
    own = [*lines, "", f"Images: {images.attribution}."] if images.attribution else lines
    return f"---\n{head}\n---\n" + "\n".join(own) + "\n"


def card_head(stated: CardSettings, library: str, tags: Sequence[str], task: str | None) -> str:
    """As the Hugging Face Hub reads it."""
    from huggingface_hub import ModelCardData

    licence = (stated.licence or "").strip()
    known = licence.lower() in HUB_LICENCES
    named: dict[str, Any] = {"license": licence.lower() if known else "other" if licence else "unknown"}
    if licence and not known:
        named["license_name"] = licence
    data = ModelCardData(**named, library_name=library, pipeline_tag=task, tags=list(tags))
    return str(data.to_yaml())


def licence_rows(stated: CardSettings, images: CardImages) -> list[tuple[str, str]]:
    return [
        ("licence of the weights", stated.licence or NOT_STATED),
        ("images", images.line),
        ("licence of the images", stated.data_licence or images.licence or NOT_STATED),
    ]


def score_lines(scored: ModelScores, how: str) -> list[str]:
    """`how` they were measured."""
    if not scored.scores:
        return ["Not measured yet."]
    rows = [
        (name, f"{value:.4g}", _interval(value, scored.deviations.get(name)))
        for name, value in scored.scores.items()
    ]
    return [*card_table(("score", "value", "95 % interval"), rows), "", how]


def _interval(value: float, deviation: float | None) -> str:
    if deviation is None:
        return "-"
    wide = QUANTILE * deviation
    return f"{value - wide:.4g} to {value + wide:.4g}"


def card_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [list(columns), ["---"] * len(columns), *map(list, rows)]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]
