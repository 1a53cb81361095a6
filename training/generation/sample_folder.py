"""A folder of samples: numbered images, each written whole, their captions, and how they were made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from space.shared.files import replacing
from space.shared.image_files import SAMPLES_MANIFEST
from space.shared.plain import InputError, flat

CAPTIONS_NAME = "captions.jsonl"


@dataclass(frozen=True)
class SampleFolder:
    """`count` images in batches of `batch_size`, 000000.png and on."""

    path: Path
    count: int
    batch_size: int

    @property
    def batches(self) -> int:
        return -(-self.count // self.batch_size)

    def indices(self, batch: int) -> range:
        """The images of a batch; the last one may hold fewer."""
        start = batch * self.batch_size
        return range(start, min(start + self.batch_size, self.count))

    def image(self, index: int) -> Path:
        return self.path / f"{index:06d}.png"

    def missing(self) -> list[int]:
        """Batches of which any image is not there yet."""
        there = set(os.listdir(self.path))
        return [
            batch
            for batch in range(self.batches)
            if not all(self.image(index).name in there for index in self.indices(batch))
        ]

    def claim(self, manifest: dict[str, Any], captions: Sequence[str]) -> None:
        """Make the folder, or go on in one whose samples are made in the same way.

        Raises:
            InputError: it holds samples made otherwise, which differ in the fields named, or other files;
                or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            there = os.listdir(self.path)
            begun = any(name.endswith(".png") for name in there)
            if SAMPLES_MANIFEST not in there and any(not name.startswith(".") for name in there):
                raise InputError(f"out: {self.path} holds files that are not samples; give another out=")
            if begun:
                self.check(manifest)
                return
            rows = ({"file": self.image(i).name, "caption": text} for i, text in enumerate(captions))
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            # The manifest first: whoever finds captions or images finds it too.
            self._write(SAMPLES_MANIFEST, lambda file: file.write(json.dumps(manifest, indent=1).encode()))
            self.check(manifest)  # another shard may have come between
            self._write(CAPTIONS_NAME, lambda file: file.write(lines.encode()))
        except OSError as error:
            raise InputError(f"out: {self.path} cannot be written: {error.strerror}") from None

    def check(self, manifest: dict[str, Any]) -> None:
        """Whether the folder is still that of this manifest: until its first image, another may claim it.

        Raises:
            InputError: it is not, and in which fields, or its manifest cannot be read.
        """
        stored, now = dict(flat(read_manifest(self.path))), dict(flat(manifest))
        differing = [
            f"{name} {stored.get(name)!r} there and {now.get(name)!r} now"
            for name in stored | now
            if stored.get(name) != now.get(name)
        ]
        if differing:
            raise InputError(
                f"out: the samples in {self.path} were made otherwise ({'; '.join(differing)}); "
                "give another out="
            )

    def write(self, index: int, image: np.ndarray) -> None:
        """Image number `index`, (H, W, 3) uint8. Raises InputError where it cannot be written."""
        from PIL import Image

        try:
            self._write(self.image(index).name, lambda file: Image.fromarray(image).save(file, format="png"))
        except OSError as error:
            raise InputError(
                f"out: {self.image(index)} cannot be written: {error.strerror or error}"
            ) from None

    def read(self) -> np.ndarray:
        """All images, (count, H, W, 3) uint8. Raises InputError where one is missing or damaged."""
        from PIL import Image

        images = []
        for index in range(self.count):
            try:
                with Image.open(self.image(index)) as image:
                    images.append(np.asarray(image.convert("RGB")))
            except OSError as error:
                raise InputError(f"{self.image(index)}: cannot be read as an image: {error}") from None
        return np.stack(images)

    def tidy(self) -> None:
        """With all images there, remove what killed workers left half written."""
        if not self.missing():
            for name in ("*.png", SAMPLES_MANIFEST, CAPTIONS_NAME):
                for file in self.path.glob(f".{name}.*"):  # as `replacing` names them
                    file.unlink(missing_ok=True)

    def _write(self, name: str, write: Callable[[IO[bytes]], object]) -> None:
        """Whole or not at all, also where the power is cut."""
        with replacing(self.path / name, durable=True) as own, own.open("wb") as file:
            write(file)


def read_manifest(folder: Path) -> dict[str, Any]:
    """How the samples of a folder were made. Raises InputError where that cannot be read."""
    try:
        manifest = json.loads((folder / SAMPLES_MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"out: {folder / SAMPLES_MANIFEST} cannot be read as a manifest: {error}") from None
    if not isinstance(manifest, dict):
        raise InputError(f"out: {folder / SAMPLES_MANIFEST} is not a manifest: it holds no mapping")
    return manifest
