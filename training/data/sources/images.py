"""The images of a source as they are trained on, read and decoded when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from space.shared.plain import InputError, first_few
from training.data.pixels import centre_square
from training.data.sources.forms import NOT_THERE, TORN, Form
from training.data.sources.index import Index
from training.data.sources.place import to_stderr

FEWEST_TO_JUDGE = 100  # images read, before too large a share of unreadable ones is an error


class SourceImages:
    """Images by their number in the list.

    Args:
        max_unreadable_share: of the images that were read; of shards, and of files that are named, too.
        keep_bytes: decoded images are kept if all of them fit.

    Attributes:
        unreadable: names of images that could not be read.

    Raises:
        InputError: too many shards are torn, or files not there.
    """

    def __init__(
        self, form: Form, index: Index, image_size_px: int, max_unreadable_share: float, keep_bytes: int
    ) -> None:
        self.index, self.unreadable = index, list[str]()
        self._form, self._size, self._share = form, image_size_px, max_unreadable_share
        self._kept, self._read = dict[int, np.ndarray](), 0
        self._may_keep = len(index) * image_size_px**2 * 3 <= keep_bytes
        for kind, whole in ((TORN, len(index.parts)), (NOT_THERE, len(index))):
            found = index.left_out.counts.get(kind, 0)
            self._check(found, whole + found, kind, ", ".join(index.left_out.first.get(kind, [])))

    def pixels(self, images: Sequence[int]) -> list[np.ndarray | str]:
        """(H, W, 3) uint8 of each; or why it cannot be read."""
        wanted = [image for image in dict.fromkeys(images) if image not in self._kept]
        contents = self._form.read([self.index.located(image) for image in wanted])
        with ThreadPoolExecutor() as pool:  # PIL decodes outside Python's lock
            decoded = dict(zip(wanted, pool.map(self._decoded, contents), strict=True))
        self._read += len(wanted)
        found = [self._kept[image] if image in self._kept else decoded[image] for image in images]
        if self._may_keep:
            self._kept |= {image: each for image, each in decoded.items() if not isinstance(each, str)}
        return found

    def tell_unreadable(self, image: int, why: str) -> None:
        """Name an image once. Raises InputError where too many cannot be read."""
        name = self.index.located(image).name
        if name not in self.unreadable:
            self.unreadable.append(name)
            to_stderr(f"left out, unreadable: {name}: {why}")
        self.check_unreadable(self.unreadable, self._read, f"; {name}: {why}")

    def check_unreadable(self, names: list[str], read: int, why: str) -> None:
        """Raises InputError where, of so many images that were read, too many could not be."""
        said = f"{first_few(names)}{why}"
        self._check(len(names), max(read, FEWEST_TO_JUDGE), "images cannot be read", said)

    def _check(self, found: int, of: int, what: str, names: str) -> None:
        if found > self._share * of:
            raise InputError(
                f"data.source: {found:,} {what} ({names}); allowed: at most {self._share:.0%} of {of:,} "
                "(max_unreadable_share)"
            )

    def _decoded(self, content: bytes | str) -> np.ndarray | str:
        return content if isinstance(content, str) else centre_square(content, self._size, on_white=True)
