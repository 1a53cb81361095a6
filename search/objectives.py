"""Which scores decide a search."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Objectives:
    """The full names of the two scores that decide: a FID (lower is better) and a CLIP score (higher)."""

    fid: str = "fid_embedded_clip"
    clip: str = "clip_embedded"
