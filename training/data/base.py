"""What every data set says of itself, and what it gives: images beside their captions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from space.shared.image_files import PassedOver
from space.shared.plain import InputError


class ImageSource(Protocol):
    """Where the images of a data set come from: `pixels(indices)` is (B, H, W, 3) uint8.

    Attributes:
        captions: of all images; an image may have several.
        unreadable: images that were left out.
        variant_of: a number for each image, the same for near copies, which stay on one side of the split.
        remarks: lines on where the images come from that a user should know.
    """

    captions: list[str]
    unreadable: list[str]
    variant_of: Sequence[int]
    remarks: Sequence[str]

    @property
    def image_of(self) -> Sequence[int]:
        """The number of the image that each caption is of; all numbers from 0 on."""
        ...

    def passed_over(self) -> PassedOver:
        """What lies among the images and is not read; found when it is asked for."""
        ...

    def copies(self) -> Mapping[int, tuple[str, Sequence[int]]]:
        """Of each image whose pixels another one has too: its name, and the numbers of all that have them."""
        ...

    def pixels(self, indices: Sequence[int]) -> np.ndarray: ...

    def content(self) -> Iterable[bytes | memoryview]:
        """What identifies the images, for the digest."""
        ...


class InMemory:
    """Images rendered or decoded once, (N, H, W, 3) uint8, with a caption each."""

    def __init__(self, pixels: np.ndarray, captions: list[str]) -> None:
        self._pixels, self.captions, self.image_of = pixels, captions, range(len(captions))
        self.unreadable: list[str] = []
        self.variant_of: Sequence[int] = range(len(captions))
        self.remarks: Sequence[str] = ()

    def passed_over(self) -> PassedOver:
        return PassedOver()

    def copies(self) -> dict[int, tuple[str, Sequence[int]]]:
        return {}  # rendered scenes may be alike; they have no names

    def pixels(self, indices: Sequence[int]) -> np.ndarray:
        return self._pixels[np.asarray(indices, dtype=np.int64)]

    def content(self) -> Iterable[bytes | memoryview]:
        return [np.ascontiguousarray(self._pixels).data]


@dataclass(frozen=True, kw_only=True)
class CommonSettings(ABC):
    """The settings that every kind of data set has. A kind gives `name` its own literal."""

    name: str
    image_size_px: int = 24
    held_out_share: float = 0.25  # of the images, never trained on
    seed: int = 0  # of which images are held out

    # Held out are the last ones as they stand, where any last part is a fair sample already.
    held_out_as_they_stand: ClassVar[bool] = False
    # Whether an image is trained on where its caption has a word that no caption of the others has.
    held_out_words_are_taught: ClassVar[bool] = False
    # Whom the images are by, where showing them obliges to say so; their licence, where it is known.
    attribution: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    # The experiment that was measured on it; "": the default's fits as well as any.
    experiment: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if self.image_size_px < 8:
            raise InputError(f"image_size_px: {self.image_size_px} is not possible; allowed: 8 or more")
        if not 0 < self.held_out_share < 1:
            raise InputError(f"held_out_share: {self.held_out_share}; allowed: between 0 and 1")
        if self.seed < 0:
            raise InputError(f"seed: {self.seed} is not possible; allowed: 0 or more")

    @abstractmethod
    def load(self) -> Any:
        """An `ImageSource`, or a data set of its own kind. Raises InputError where there are no images."""

    @property
    def title(self) -> str:
        """What the data is called beside scores."""
        return self.name

    def absolute(self) -> Self:
        """The same with absolute paths, for a process that starts in another folder."""
        return self
