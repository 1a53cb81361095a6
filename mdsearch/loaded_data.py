"""What `mdsearch data data=emoji` prints: of a data set that is held in memory, split as training has it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from space.shared.plain import InputError, from_plain
from training.data.base import CommonSettings
from training.data.captions import words
from training.data.dataset import SplitImages, as_pixels
from training.data.factory import DATA_SETS, DataSettings, load_data
from training.data.sheet import save_sheet, small_copy
from training.data.stream import StreamSettings

FREQUENT = 5  # words that are named
SHEETS = (".png", ".jpg", ".jpeg", ".webp")
LISTED = ("encoded", StreamSettings.name)  # kinds that are never held in memory


@dataclass(frozen=True)
class LoadedDataCommand:
    """What conf/data.yaml holds for such data."""

    data: DataSettings
    sheet: str | None = None
    format: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        check_sheet(self.sheet)


def check_sheet(sheet: str | None) -> None:
    """Raises InputError unless it is to be an image."""
    if sheet is not None and Path(sheet).suffix.lower() not in SHEETS:
        raise InputError(f"sheet: {sheet!r} is no image; allowed: a file in {', '.join(SHEETS)}")


def is_held_in_memory(data: Mapping[str, Any]) -> bool:
    return data.get("name") in DATA_SETS and data["name"] not in LISTED


def look_at_loaded(plain: Mapping[str, Any], words_given: Sequence[str], shown: int) -> int:
    """Print what there is to know; `shown` images go onto the sheet, if one is asked for.

    Raises:
        InputError: the data cannot be loaded, or a word has no effect on it.
    """
    known = [each.name for each in fields(LoadedDataCommand)]
    for name in (word.lstrip("+~").partition("=")[0] for word in words_given):
        if name in plain and name not in known:
            raise InputError(
                f"{name}: has no effect on data={plain['data']['name']}, which is read whole; leave it out"
            )
    command: LoadedDataCommand = from_plain(LoadedDataCommand, {name: plain[name] for name in known})
    data = load_data(command.data)
    assert isinstance(data, SplitImages)
    if command.sheet is not None:
        save_sheet(_some(data, shown), Path(command.sheet).expanduser())
    told = _told(command.data, data)
    if command.format == "json":
        print(json.dumps(told, indent=2))
        return 0
    sheet = [] if command.sheet is None else [f"contact sheet: {command.sheet}"]
    print("\n".join([*_as_lines(told), *sheet]))
    return 0


def _told(settings: CommonSettings, data: SplitImages) -> dict[str, Any]:
    captions = [*data.train_captions, *data.held_out_captions]
    often = Counter(word for caption in captions for word in words(caption))
    return {
        "source": settings.title,
        "image_size_px": data.image_size_px,
        "train_images": data.train_images,
        "held_out": len(data.held_out_captions),
        "digest": data.digest,
        "captions": {
            "count": len(captions),
            "longest": max(captions, key=lambda text: len(words(text))),
            "words": len(often),
            "most_frequent": dict(often.most_common(FREQUENT)),
        },
        "notes": data.notes(),
        "attribution": settings.attribution,
    }


def _as_lines(told: Mapping[str, Any]) -> list[str]:
    captions = told["captions"]
    often = ", ".join(f"{word} {count:,}" for word, count in captions["most_frequent"].items())
    return [
        f"{told['source']}: {told['train_images']:,} images of {told['image_size_px']} px to train on, "
        f"{told['held_out']:,} held out (digest {told['digest']})",
        f"captions: {captions['count']:,}, of {captions['words']:,} different words; most often {often}; the "
        f"longest: {captions['longest']!r:.100}",
        *told["notes"],
        *([told["attribution"]] if told["attribution"] else []),
    ]


def _some(data: SplitImages, count: int) -> list[tuple[np.ndarray, str]]:
    """Of those that are trained on, evenly spread."""
    places = np.linspace(0, data.train_images - 1, min(count, data.train_images)).round().astype(int)
    images, captions = data.one_caption_each(places.tolist())
    return [(small_copy(each), caption) for each, caption in zip(as_pixels(images), captions, strict=True)]
