"""Which images of a list are held out, and in which order the others are trained on."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from space.shared.plain import InputError
from space.shared.seeds import derived_seed
from training.data.base import CommonSettings
from training.data.order import BlockOrder

BLOCK_SAMPLES = 1 << 14  # that are shuffled together, if nothing asks for another number
SPREAD_TEXTS = 1 << 16  # captions whose words a text encoder of ours learns


@dataclass(frozen=True, kw_only=True)
class ListedSettings(CommonSettings, ABC):
    """Settings of images that are listed and not held in memory. `seed` is that of which are held out."""

    held_out_share: float = 0.01
    held_out_at_most: int = 2048
    block_samples: int | None = None  # that are shuffled together; None: as many as is usual

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("held_out_at_most", "block_samples"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"{name}: {value} is not possible; allowed: 1 or more")


class Split:
    """The images of a list in two splits, by their numbers in it. A sample is a training image's number among
    those.

    Args:
        counts: of images in each part of the list.
        block: samples that are shuffled together.

    Attributes:
        held_out: numbers of images, in an order in which any first part is a fair sample.
        train_images: how many the others are.

    Raises:
        InputError: there are too few images.
    """

    def __init__(self, counts: np.ndarray, settings: ListedSettings, block: int) -> None:
        count = int(counts.sum())
        if count < 2:
            raise InputError(f"data: {count} image with a caption; needed: 2 or more (one is held out)")
        held_out = min(max(1, round(count * settings.held_out_share)), settings.held_out_at_most, count - 1)
        rng = np.random.default_rng([settings.seed, 0x5B117])
        self.held_out = rng.choice(count, held_out, replace=False)
        self.train_images = count - held_out
        # How many samples come before each image that is held out: there the numbers of images jump.
        self._jumps = np.sort(self.held_out) - np.arange(held_out)
        ends = np.cumsum(counts)
        trained = ends - np.searchsorted(np.sort(self.held_out), ends)
        self._order = BlockOrder(np.diff(trained, prepend=0), block)

    def image(self, sample: int) -> int:
        """The number of a training image in the list."""
        return sample + int(np.searchsorted(self._jumps, sample, side="right"))

    def at(self, places: Sequence[int] | np.ndarray, seed: int) -> tuple[list[int], list[int]]:
        """The epochs and the samples of these places of the endless order of a seed."""
        epochs, samples = self._order.at(places, seed)
        return epochs.tolist(), samples.tolist()


def chosen_caption(count: int, seed: int, epoch: int, image: int) -> int:
    """Which of an image's captions an epoch shows."""
    return derived_seed("caption", seed, epoch, image) % count if count > 1 else 0


class LazyTexts(Sequence[str]):
    """Texts that are read when they are asked for."""

    def __init__(self, count: int, read: Callable[[int], str]) -> None:
        self._count, self._read = count, read

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._read(each) for each in range(*index.indices(self._count))]
        return self._read(range(self._count)[index])

    def spread(self, at_most: int = SPREAD_TEXTS) -> list[str]:
        """So many of them at most, from all over."""
        return [self._read(index) for index in range(0, self._count, max(1, -(-self._count // at_most)))]
