"""What a search scores by the networks of a protocol."""

from __future__ import annotations

from dataclasses import dataclass

from space.shared.plain import InputError, unless


@dataclass(frozen=True)
class ScoringSettings:
    """What a search scores by the networks of a protocol; the embedded evaluator's settings say their own.

    `reference` is a .safetensors of statistics, or images, in place of the search's held-out images;
    `captions` a file of the prompts, in place of those images' captions.
    """

    images: int = 200  # images per score, each with a held-out caption
    reference_images: int = 2000  # held-out images; all of them where there are fewer
    reference: str | None = None
    captions: str | None = unless(None)

    def __post_init__(self) -> None:
        for name in ("images", "reference_images"):
            if getattr(self, name) < 2:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 2 or more")
