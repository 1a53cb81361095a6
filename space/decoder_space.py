"""Ranges -> suggestions -> decoders of one encoder, which stays what it is (section 3.5).

As in `space/choices.py` every choice is sampled for every candidate, and inactive ones are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from space.autoencoder import Autoencoder, ImageLevel, ImageMiddle, Way
from space.choices import Space
from space.kinds.stage import ImageConvKind
from space.search_space import AnySpace, SearchSpace
from space.shared.plain import InputError, from_plain


@dataclass(frozen=True)
class DecoderLevelRanges:
    """What one level of a decoder may be."""

    channels: tuple[int, ...]
    blocks: tuple[int, ...] = (1,)
    conv: tuple[ImageConvKind, ...] = ("full",)


@dataclass(frozen=True)
class DecoderSpace(SearchSpace[Autoencoder]):
    """The ranges of a search over decoders; `levels` from the image inwards, under any names that sort that
    way. Of `autoencoder` all but the decoder stays; None: a preset, which a search completes.

    `middle_blocks` 0 is no middle; attention stands between two blocks, so that fewer have none.
    """

    levels: dict[str, DecoderLevelRanges]
    middle_blocks: tuple[int, ...] = (0,)
    middle_attention: tuple[bool, ...] = (False,)
    middle_conv: tuple[ImageConvKind, ...] = ("full",)
    separable_expansion: tuple[int, ...] = (4,)
    separable_kernel: tuple[int, ...] = (3,)
    norm_groups: int = 32
    autoencoder: Autoencoder | None = None

    def __post_init__(self) -> None:
        self.check_values()
        if self.autoencoder is None:
            return
        if (count := len(self.autoencoder.encoder.levels)) != len(self.levels):
            raise InputError(
                f"levels: {len(self.levels)}, but the encoder has {count}; needed: as many "
                "(space=decoder has 3, space=decoder_paper 4)"
            )
        _ = self.first  # which is possible

    @property
    def level_names(self) -> list[str]:
        return list(self.levels)

    @property
    def fixed(self) -> Autoencoder:
        """Raises InputError where nobody has said whose encoder stays."""
        if self.autoencoder is None:
            raise InputError("space.autoencoder: null; needed: the autoencoder whose encoder stays")
        return self.autoencoder

    @cached_property
    def all_choices(self) -> tuple[tuple[str, tuple[Any, ...]], ...]:
        of_levels = [
            (f"{key}.{name}", getattr(self.levels[key], name))
            for key in sorted(self.levels)
            for name in DecoderLevelRanges.__dataclass_fields__
        ]
        return (*of_levels, *((name, getattr(self, name)) for name in _OF_WAY))

    def architecture(self, chosen: Mapping[str, Any]) -> Autoencoder:
        """The autoencoder of a full set of choices, of which ignored ones leave no trace.

        Raises:
            InputError: where a range makes an impossible decoder, or one of other levels than the encoder.
        """
        levels = tuple(
            ImageLevel(**{name: chosen[f"{key}.{name}"] for name in DecoderLevelRanges.__dataclass_fields__})
            for key in sorted(self.levels)
        )
        middle, blocks = None, chosen["middle_blocks"]
        if blocks:
            attention = bool(chosen["middle_attention"]) and blocks > 1
            middle = ImageMiddle(blocks, attention, chosen["middle_conv"])
        separable = {name: chosen[name] for name in _OF_SEPARABLE}
        way = Way(levels, middle, **separable, norm_groups=self.norm_groups)
        return self.with_decoder(way)

    def with_decoder(self, decoder: Way) -> Autoencoder:
        """The autoencoder whose encoder stays, with another decoder. Raises InputError for other levels."""
        return replace(self.fixed, decoder=decoder).simplified()

    def encode(self, architecture: Autoencoder) -> dict[str, Any]:
        keys, decoder = sorted(self.levels), architecture.simplified().decoder
        if len(decoder.levels) != len(keys):
            raise InputError(f"{len(decoder.levels)} levels; the space has {len(keys)}")
        chosen: dict[str, Any] = {
            f"{key}.{name}": getattr(level, name)
            for key, level in zip(keys, decoder.levels, strict=True)
            for name in DecoderLevelRanges.__dataclass_fields__
        }
        middle = decoder.middle
        chosen |= {
            "middle_blocks": 0 if middle is None else middle.blocks,
            "middle_attention": middle is not None and middle.attention,
            "middle_conv": self.middle_conv[0] if middle is None else middle.conv,
        }
        chosen |= {name: getattr(decoder, name) for name in _OF_SEPARABLE}
        for name in self._inactive(decoder):
            chosen[name] = getattr(self, name)[0]
        for name, values in self.choices():
            if chosen[name] not in values:
                raise InputError(f"{name}: {chosen[name]} is not in the space; allowed: {list(values)}")
        if self.architecture(chosen).id != architecture.id:
            raise InputError("differs from the space in what is not searched (encoder, latents, groups, ...)")
        return {name: chosen[name] for name in self.free()}

    def ignored(self, architecture: Autoencoder) -> set[str]:
        return self._inactive(architecture.decoder) & self.free().keys()

    def _inactive(self, decoder: Way) -> set[str]:
        found = set[str]()
        if decoder.middle is None:
            found |= {"middle_conv"}
        if decoder.middle is None or decoder.middle.blocks < 2:
            found |= {"middle_attention"}
        return found if "separable" in decoder.convs else found | set(_OF_SEPARABLE)


_OF_SEPARABLE = ("separable_expansion", "separable_kernel")
_OF_WAY = ("middle_blocks", "middle_attention", "middle_conv", *_OF_SEPARABLE)


def any_space(plain: Any, where: str = "space") -> AnySpace:
    """A space as records and settings hold it: of decoders, or of UNets. Raises InputError."""
    is_of_decoders = isinstance(plain, Mapping) and "middle_blocks" in plain
    found: AnySpace = from_plain(DecoderSpace if is_of_decoders else Space, plain, where)
    return found


def unet_space(space: AnySpace) -> Space:
    """For what searches UNets alone. Raises InputError for any other space."""
    if isinstance(space, Space):
        return space
    raise InputError("space: is of decoders; allowed here: of UNets")
