"""What a source of captioned images holds, looked at before anything trains on it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from space.shared.decoding import Unreadable, decode_image, has_transparency
from training.data.sheet import small_copy
from training.data.sources.forms import Form
from training.data.sources.index import Index

IMAGES_AT_ONCE = 64  # images
MOST_FREQUENT = 3  # captions that are named


@dataclass
class CaptionSurvey:
    """Of every caption.

    Attributes:
        too_long: how many have more tokens than are read.
        duplicated: how many are the same as an earlier one.
        frequent: those that are most often the same, and how often.
    """

    count: int = 0
    too_long: int = 0
    first_too_long: str = ""
    duplicated: int = 0
    frequent: dict[str, int] = field(default_factory=dict)


@dataclass
class ImageSurvey:
    """Of the images that were read.

    Attributes:
        broken: name and reason of each that cannot be.
        sizes: (N, 2) width and height of the others.
        duplicated: how many have the same bytes as an earlier one.
        transparent: names of those of which something is, so that it is trained on white.
        shown: some of them, made small, with a caption each.
    """

    count: int = 0
    broken: dict[str, str] = field(default_factory=dict)
    sizes: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    duplicated: int = 0
    transparent: list[str] = field(default_factory=list)
    shown: list[tuple[np.ndarray, str]] = field(default_factory=list)


def survey_captions(index: Index, is_too_long: Callable[[str], bool]) -> CaptionSurvey:
    """All captions are read once; eight bytes of each are kept, and the most frequent looked up."""
    found, parts = CaptionSurvey(), list[np.ndarray]()
    for some in _captions(index):
        parts.append(np.array([_hash(text) for text in some], np.uint64))
        for text in some:
            if is_too_long(text):
                found.too_long += 1
                found.first_too_long = found.first_too_long or text
    hashes, times = np.unique(np.concatenate(parts), return_counts=True)
    found.count, found.duplicated = int(times.sum()), int((times - 1).sum())
    most = {int(hashes[at]): int(times[at]) for at in np.argsort(-times, kind="stable")[:MOST_FREQUENT]}
    most = {key: often for key, often in most.items() if often > 1}
    if most:
        found.frequent = _texts_of(index, most)
    return found


def survey_images(
    form: Form,
    index: Index,
    at_most: int | None,
    show: int,
    advance: Callable[[int], None] = lambda count: None,
) -> ImageSurvey:
    """So many images, evenly spread, are read and decoded; all if `at_most` is None.

    Args:
        show: how many are kept to be shown, evenly spread over those.
        advance: told how many more were read.
    """
    count = len(index) if at_most is None else min(at_most, len(index))
    numbers = np.linspace(0, len(index) - 1, count).round().astype(np.int64).tolist()
    shown = {numbers[at] for at in range(0, count, max(1, count // max(1, show)))[:show]}
    found, sizes, seen = ImageSurvey(count=count), list[tuple[int, int]](), Counter[bytes]()
    with ThreadPoolExecutor() as pool:
        for first in range(0, count, IMAGES_AT_ONCE):
            some = numbers[first : first + IMAGES_AT_ONCE]
            contents = form.read([index.located(number) for number in some])
            decoded = pool.map(_decoded, contents, [number in shown for number in some])
            for number, content, image in zip(some, contents, decoded, strict=True):
                if isinstance(image, str):
                    found.broken[index.located(number).name] = image
                    continue
                size, is_transparent, small = image
                sizes.append(size)
                if is_transparent:
                    found.transparent.append(index.located(number).name)
                assert isinstance(content, bytes)
                seen[hashlib.blake2b(content, digest_size=8).digest()] += 1
                if small is not None:
                    found.shown.append((small, index.captions_of(number)[0]))
            advance(len(some))
    found.sizes = np.array(sizes, np.int64).reshape(-1, 2)
    found.duplicated = seen.total() - len(seen)
    return found


def _captions(index: Index) -> Iterator[Sequence[str]]:
    for images in index.every_caption():
        yield [text for captions in images for text in captions]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _texts_of(index: Index, times: dict[int, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in _captions(index):
        found |= {text: times[key] for text in some if (key := _hash(text)) in times}
        if len(found) == len(times):
            break
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def _decoded(content: bytes | str, is_shown: bool) -> tuple[tuple[int, int], bool, np.ndarray | None] | str:
    """Width and height, whether something is transparent, and a small copy of what is shown: whole,
    photographs would fill the memory."""
    if isinstance(content, str):
        return content
    try:
        pixels = decode_image(content, on_white=True)
    except Unreadable as error:
        return str(error)
    size = pixels.shape[1], pixels.shape[0]
    return size, has_transparency(content), small_copy(pixels) if is_shown else None
