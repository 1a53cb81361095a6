"""Which caption, and which style of a benchmark's prompts, each image has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from evaluators.images.captions import captions_of
from evaluators.images.image_set import ImageSet
from space.shared.captions import captions_beside
from space.shared.plain import InputError, first_few
from space.shared.prompt_styles import PROMPT_STYLES, StylePrompts, style_prompts

StylePrompt = tuple[str, int]
"""Its style, and its number in the style's file, from 0."""


@dataclass(frozen=True)
class ImageCaptions:
    """One caption an image, in the order of the images; of a benchmark's prompts the style of each too."""

    texts: tuple[str, ...]
    styles: tuple[str, ...] = ()


def captions_and_styles(
    images: ImageSet, source: str, file: str | None, *, of_benchmark: bool
) -> ImageCaptions:
    """Of a benchmark's prompts where `file` is the folder of its files (`of_benchmark`: or one); else as
    `captions_of`, by the file beside the images where none is given.

    Raises:
        InputError: no captions, or images and captions that lack their partner, with the first few.
    """
    folder = Path(source).expanduser()
    if file is None and folder.is_dir():
        beside = captions_beside(folder)
        file = None if beside is None else str(beside)
    prompts = None
    if file is not None and (of_benchmark or Path(file).expanduser().is_dir()):
        prompts = style_prompts(file)
    if prompts is None:
        return ImageCaptions(tuple(captions_of(images, file)))
    found = benchmark_prompts(images, prompts)
    texts = tuple(prompts.by_style[style][number] for style, number in found)
    return ImageCaptions(texts, tuple(style for style, _ in found))


def check_prompts(images: ImageSet, file: str | None) -> None:
    """Where `file` is the folder of a benchmark's prompts, raises InputError as `benchmark_prompts`: images
    that lack, by name, say more than their count."""
    if file is not None and Path(file).expanduser().is_dir() and (prompts := style_prompts(file)):
        benchmark_prompts(images, prompts)


def benchmark_prompts(images: ImageSet, prompts: StylePrompts) -> list[StylePrompt]:
    """By the images' names: <style>/<number>, or, without folders, numbers through all styles from 0.

    Raises:
        InputError: prompts without an image, images without a prompt, or two of one.
    """
    every = [(style, number) for style, texts in prompts.by_style.items() for number in range(len(texts))]
    flat = all("/" not in name for name in images.names)
    named = [(name, _prompt_of(name, every if flat else None)) for name in images.names]
    wanted, first = set(every), dict[StylePrompt, str]()
    foreign, twice = list[str](), list[str]()
    for name, prompt in named:
        if prompt not in wanted:
            foreign.append(name)
        elif first.setdefault(prompt, name) != name:
            twice.append(name)
    _check_none(foreign, "are of none of the benchmark's prompts")
    _check_none(twice, "are of a prompt that has its image")
    missing = [f"{style}/{number:05d}" for style, number in every if (style, number) not in first]
    if missing:
        raise InputError(
            f"images: {len(missing):,} of the benchmark's {len(every):,} prompts lack their image: "
            f"{first_few(missing)}"
        )
    return [prompt for _, prompt in named if prompt is not None]


def _prompt_of(name: str, every: list[StylePrompt] | None) -> StylePrompt | None:
    """Of an image's name; `every` prompt in turn is given where the number goes through all of them."""
    path = PurePosixPath(name)
    if not path.stem.isdecimal():
        return None
    number = int(path.stem)
    if every is None:
        return path.parent.name, number
    return every[number] if number < len(every) else None


def _check_none(names: list[str], what: str) -> None:
    if names:
        raise InputError(
            f"images: {len(names):,} {what}: {first_few(names)}; needed: <style>/<number>, as "
            f"{PROMPT_STYLES[0]}/00000, or numbers through all styles, as 00000, from 0"
        )
