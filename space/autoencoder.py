"""The second noun: an autoencoder between images and latents, described level by level as a UNet is.

A level is one resolution: its channels, the kind of its conv blocks and how many they are. Encoder and
decoder each have their own, outermost first, so that one can be pruned while the other stays (section 3.5).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from space.architecture import SCHEMA_VERSION, compact, nearest_multiple
from space.kinds.stage import ImageConvKind
from space.levels import at_least
from space.shared.plain import InputError, check_choices, from_plain, to_plain
from space.shared.strict_yaml import read_yaml

IMAGE_CHANNELS = 3


@dataclass(frozen=True)
class ImageLevel:
    """One resolution of an encoder or a decoder: so many conv blocks of one width and kind."""

    channels: int
    blocks: int
    conv: ImageConvKind = "full"

    def __post_init__(self) -> None:
        check_choices(self)
        at_least("channels", self.channels, 1)
        at_least("blocks", self.blocks, 1)


@dataclass(frozen=True)
class ImageMiddle:
    """Conv blocks at the innermost width, next to the latents, with attention between them or none."""

    blocks: int = 2
    attention: bool = True
    conv: ImageConvKind = "full"

    def __post_init__(self) -> None:
        check_choices(self)
        at_least("blocks", self.blocks, 1)
        if self.attention and self.blocks < 2:
            raise InputError("attention: true with blocks: 1, and it stands between two; allowed: 2 or more")


@dataclass(frozen=True)
class Way:
    """An encoder or a decoder: levels from the image inwards, and a middle or none.

    `separable_*` are of separable conv blocks alone, `norm_groups` of all that are normed.
    """

    levels: tuple[ImageLevel, ...]
    middle: ImageMiddle | None = None
    separable_expansion: int = 4
    separable_kernel: int = 3
    norm_groups: int = 32

    @property
    def convs(self) -> set[ImageConvKind]:
        """The kinds of its conv blocks."""
        middle = set() if self.middle is None else {self.middle.conv}
        return {level.conv for level in self.levels} | middle

    @property
    def attends(self) -> bool:
        return self.middle is not None and self.middle.attention

    @property
    def is_normed(self) -> bool:
        return self.attends or self.convs != {"plain"}

    def canonical(self) -> Way:
        """The same with what nothing acts on at its default."""
        way = self if self.is_normed else replace(self, norm_groups=32)
        if "separable" in self.convs:
            return way
        return replace(way, separable_expansion=4, separable_kernel=3)

    def __post_init__(self) -> None:
        if not self.levels:
            raise InputError("levels: empty; allowed: one level or more, outermost first")
        for name in ("separable_expansion", "separable_kernel", "norm_groups"):
            at_least(name, getattr(self, name), 1)
        if self.separable_kernel % 2 == 0:
            raise InputError(
                f"separable_kernel: {self.separable_kernel} is even; allowed: odd; nearest: "
                f"{self.separable_kernel - 1}, {self.separable_kernel + 1}"
            )
        for index, level in enumerate(self.levels):
            if self.is_normed and level.channels % self.norm_groups:
                raise InputError(
                    f"levels[{index}].channels: {level.channels} does not divide into norm_groups = "
                    f"{self.norm_groups}; nearest: {nearest_multiple(level.channels, self.norm_groups)}"
                )


@dataclass(frozen=True)
class Autoencoder:
    """Images to latents of `latent_channels`, and back.

    Each level but the innermost halves the image (`factor` in all), so encoder and decoder have as many.
    `image_size` is the side, in pixels, of the images that costs are counted for. With `latent_convs` a 1x1
    convolution stands on either side of the latents, as in SD's. The encoder gives a mean and a logarithm
    of a variance for each number of a latent.
    """

    encoder: Way
    decoder: Way
    latent_channels: int = 8
    latent_convs: bool = True
    image_size: int = 512
    schema_version: int = SCHEMA_VERSION

    # ------------------------------------------------------------------ reading and writing

    @classmethod
    def from_plain(cls, data: Any, where: str = "") -> Autoencoder:
        """From what YAML holds. Raises InputError, naming the field."""
        made = from_plain(cls, data, where)
        assert isinstance(made, cls)
        return made

    @classmethod
    def load(cls, path: str | Path) -> Autoencoder:
        """From a YAML file. Raises InputError where the file is missing or wrong."""
        try:
            data = read_yaml(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: cannot be read as an autoencoder: {reason}") from None
        return cls.from_plain(data, str(path))

    def to_plain(self) -> dict[str, Any]:
        return {**to_plain(self, omit_defaults=True), "schema_version": self.schema_version}

    def to_yaml(self) -> str:
        """Short YAML: one line per level, fields at their default left out. Loads back equal."""
        plain = self.to_plain()
        ways = {name: plain.pop(name) for name in ("encoder", "decoder")}
        lines = [f"schema_version: {plain.pop('schema_version')}"]
        lines += [_line({name: value})[1:-1] for name, value in plain.items()]
        for name, way in ways.items():
            levels = way.pop("levels")
            lines += [f"{name}:", *(f"  {_line({key: value})[1:-1]}" for key, value in way.items())]
            lines += ["  levels:", *(f"  - {_line(level)}" for level in levels)]
        return "\n".join(lines) + "\n"

    # ------------------------------------------------------------------ identity

    def canonical(self) -> Autoencoder:
        """The same network with every switch that changes nothing at its default."""
        return replace(self, encoder=self.encoder.canonical(), decoder=self.decoder.canonical())

    def simplified(self) -> Autoencoder:
        """The same as `canonical`: of an autoencoder nothing is fixed around it, as text is around a UNet."""
        return self.canonical()

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits; equal for two descriptions of one network."""
        return hashlib.sha256(compact(self.canonical().to_plain()).encode()).hexdigest()[:12]

    # ------------------------------------------------------------------ derived

    @property
    def factor(self) -> int:
        """Pixels a side of the image for one of the latent."""
        return 1 << (len(self.encoder.levels) - 1)

    @property
    def latent_size(self) -> int:
        return self.image_size // self.factor

    # ------------------------------------------------------------------ checks

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION:
            raise InputError(f"schema_version: {self.schema_version} is not known; allowed: {SCHEMA_VERSION}")
        at_least("latent_channels", self.latent_channels, 1)
        at_least("image_size", self.image_size, 1)
        if len(self.decoder.levels) != len(self.encoder.levels):
            raise InputError(
                f"decoder.levels: {len(self.decoder.levels)}, but the encoder has {len(self.encoder.levels)}"
                "; allowed: as many, since each but the innermost halves the image, or doubles it"
            )
        check_divides(self.factor, self.image_size, "image_size")


def check_divides(factor: int, size_px: int, where: str) -> None:
    """Raises InputError for images whose sides are no whole number of latent pixels."""
    if size_px % factor:
        raise InputError(
            f"{where}: {size_px} px is no multiple of {factor}, the autoencoder's factor; nearest: "
            f"{nearest_multiple(size_px, factor)}"
        )


def _line(item: Any) -> str:
    return yaml.safe_dump(item, default_flow_style=True, sort_keys=False, width=1000).strip()
