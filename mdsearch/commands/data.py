"""`mdsearch data`: what captioned images there are, before anything trains on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from conf.compose import compose
from conf.words import as_text, divided
from mdsearch.loaded_data import check_sheet, is_held_in_memory, look_at_loaded
from space.shared.console import command_console
from space.shared.image_files import PassedOver
from space.shared.plain import NAMED_AT_MOST, InputError, first_few, from_plain
from training.data.sheet import save_sheet
from training.data.sources.forms import NO_CAPTION, Form
from training.data.sources.images import SourceImages
from training.data.sources.index import Index, open_index
from training.data.sources.loose import CaptionsFiles
from training.data.sources.recognise import DataFormat
from training.data.sources.survey import CaptionSurvey, ImageSurvey, survey_captions, survey_images
from training.data.split import Split
from training.data.stream import StreamSettings, none_held_out, stream_settings

DATA_TEXTS = ("data.source", "data.captions", "data.images", "sheet")
SHOWN = 48  # images on a contact sheet
ENDS = 2  # tokens that begin and end a caption


@dataclass(frozen=True)
class DataCommand:
    """What conf/data.yaml holds, for data that are listed."""

    data: StreamSettings
    check_images: int | None = 10_000
    text_tokens: int = 77
    sheet: str | None = None
    relist: bool = False
    format: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        if self.check_images is not None and self.check_images < 1:
            raise InputError(
                f"check_images: {self.check_images} is not possible; allowed: 1 or more, or null"
            )
        if self.text_tokens <= ENDS:
            raise InputError(f"text_tokens: {self.text_tokens} is not possible; allowed: above {ENDS}")
        check_sheet(self.sheet)


def main(words: list[str]) -> int:
    plain = _composed(words)
    if is_held_in_memory(plain["data"]):
        return look_at_loaded(plain, words, SHOWN)
    command: DataCommand = from_plain(DataCommand, {**plain, "data": stream_settings(plain["data"])})
    form = command.data.form()
    index = open_index(form, command.data.kept_in(), anew=command.relist)
    captions = survey_captions(index, _too_long(command.text_tokens))
    with _progress() as advance:
        images = survey_images(form, index, command.check_images, SHOWN if command.sheet else 0, advance)
    refused = _refused(command.data, form, index, images)
    if command.sheet is not None and images.shown:
        save_sheet(images.shown, Path(command.sheet).expanduser())
    index.left_out.add_all(form.place.patiently(lambda: _unnamed(form)))
    if command.format == "json":
        print(json.dumps(_as_json(command, index, captions, images) | {"refused": refused}, indent=2))
    else:
        print("\n".join(_as_lines(command, form, index, captions, images)))
        if refused is not None:
            print(f"training would refuse it: {refused}")
    return 0 if refused is None else 1


def _composed(words: list[str]) -> dict[str, Any]:
    """A word without `name=` is the source."""
    named, chosen = divided(words)
    if len(named) > 1:
        raise InputError(
            f"data.source: {', '.join(named)} are {len(named)}; allowed: one, or a pattern in quotes"
        )
    chosen += [f"data.source={source}" for source in named]
    plain = compose("data", as_text(chosen, DATA_TEXTS))
    if (form := plain["format"]) in get_args(DataFormat):
        raise InputError(f"format: {form!r} is a form of data; needed: data.format={form}")
    return plain


def _too_long(tokens: int) -> Callable[[str], bool]:
    """By CLIP's tokenizer; no token is shorter than a letter."""
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    return lambda text: len(text) > tokens - ENDS and len(tokenizer.encode(text)) > tokens - ENDS


def _unnamed(form: Form) -> PassedOver:
    found = PassedOver()
    for name in form.unnamed():
        found.add(NO_CAPTION, name)
    return found


def _refused(settings: StreamSettings, form: Form, index: Index, images: ImageSurvey) -> str | None:
    """Why training on it would not begin, or would end."""
    try:
        source = SourceImages(form, index, settings.image_size_px, settings.max_unreadable_share, 0)
        source.check_unreadable(list(images.broken), images.count, "")
        held_out = Split(index.counts, settings, 1).held_out.tolist()
    except InputError as error:
        return str(error)
    if all(index.located(image).name in images.broken for image in held_out):
        return str(none_held_out(len(held_out), settings.held_out_share))
    return None


# ---------------------------------------------------------------------- what is printed


def _as_json(
    command: DataCommand, index: Index, captions: CaptionSurvey, images: ImageSurvey
) -> dict[str, Any]:
    return {
        "source": command.data.source,
        "format": index.form,
        "parts": len(index.parts),
        "images": len(index),
        "digest": index.digest,
        "left_out": index.left_out.counts,
        "first_left_out": index.left_out.first,
        "captions": {
            "count": captions.count,
            "too_long": captions.too_long,
            "duplicated": captions.duplicated,
            "most_frequent": captions.frequent,
        },
        "checked": {
            "images": images.count,
            "broken": images.broken,
            "duplicated": images.duplicated,
            "transparent": len(images.transparent),
            "width_and_height": _sizes(images),
            "smaller_than_image_size_px": _smaller(command, images),
        },
    }


def _as_lines(
    command: DataCommand, form: Form, index: Index, captions: CaptionSurvey, images: ImageSurvey
) -> list[str]:
    lines = [
        f"{command.data.source}: {len(index):,} images in {len(index.parts):,} parts, read as {index.form}"
        + (f", of {first_few(form.files())}" if isinstance(form, CaptionsFiles) else "")
    ]
    lines += [
        f"left out: {kind}, {_named(count, index.left_out.first[kind])}"
        for kind, count in index.left_out.counts.items()
    ]
    each = captions.count / len(index)
    lines.append(f"captions: {captions.count:,}, {each:.3g} an image")
    if captions.too_long:
        lines.append(
            f"captions of more than {command.text_tokens} tokens: {captions.too_long:,}, "
            f"such as {captions.first_too_long!r:.100}"
        )
    if captions.duplicated:
        most = ", ".join(f"{text!r:.60} {often:,} times" for text, often in captions.frequent.items())
        lines.append(f"captions that an earlier one repeats: {captions.duplicated:,}; most often {most}")
    lines.append(f"images read: {images.count:,} of {len(index):,}, evenly spread")
    if images.broken:
        names = [f"{name}: {why}" for name, why in images.broken.items()]
        lines.append(f"broken: {_named(len(names), names[:NAMED_AT_MOST])}")
    if images.duplicated:
        lines.append(f"images that are copies of an earlier one: {images.duplicated:,}")
    if names := images.transparent:
        few = _named(len(names), names[:NAMED_AT_MOST])
        lines.append(f"transparent in part: {few}; put on white, but by data=folder, which drops it")
    for name, (width, height) in _sizes(images).items():
        lines.append(f"{name} size: {width} x {height} px")
    if smaller := _smaller(command, images):
        lines.append(f"smaller than data.image_size_px={command.data.image_size_px}: {smaller:,}, enlarged")
    if command.sheet is not None and images.shown:
        lines.append(f"contact sheet: {command.sheet}")
    return lines


def _named(count: int, names: list[str]) -> str:
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    return f"{count:,} ({'; '.join(names)}{more})"


def _sizes(images: ImageSurvey) -> dict[str, list[int]]:
    """Of the images of least, middling and most pixels."""
    if not len(images.sizes):
        return {}
    order = np.argsort(images.sizes.prod(axis=1), kind="stable")
    at = {"smallest": order[0], "median": order[len(order) // 2], "largest": order[-1]}
    return {name: images.sizes[index].tolist() for name, index in at.items()}


def _smaller(command: DataCommand, images: ImageSurvey) -> int:
    return int((images.sizes.min(axis=1) < command.data.image_size_px).sum()) if len(images.sizes) else 0


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    parts = (TextColumn("reading images"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    with Progress(*parts, console=command_console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda count: progress.advance(task, count)
