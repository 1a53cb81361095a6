"""`mdsearch evaluate` on images of a test's own: its words, what it made, and what it refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluators.protocols.sheet import Sheet
from mdsearch.commands import evaluate
from space.shared.plain import InputError

SIZE = 16


def write_images(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


def noise(count: int, seed: int, brightest: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, brightest, (count, SIZE, SIZE, 3)).astype(np.uint8)


def with_(words: list[str], *others: str) -> list[str]:
    """The words, with others in the place of those of the same name."""
    names = {other.partition("=")[0] for other in others}
    return [word for word in words if word.partition("=")[0] not in names] + list(others)


def sheet_of(words: list[str]) -> Sheet:
    assert evaluate.main(words) == 0
    return Sheet.load(Path(next(word for word in words if word.startswith("out=")).removeprefix("out=")))


def refusal(words: list[str]) -> str:
    with pytest.raises(InputError) as raised:
        evaluate.main(words)
    return str(raised.value)


def write_lines(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines))
    return path
