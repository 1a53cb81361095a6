"""HPS v2's networks: CLIP ViT-H-14 that learned from choices of people, in two versions.

Weights are those that its authors publish; images are prepared as in their code: the longer side to 224 px
in floating point, black borders for the rest. That code leaves open whether the resize is anti-aliased:
torchvision does it to tensors from 0.17 (2024) on, and did not when the published tables were made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image
from torch import Tensor

from evaluators.networks.clip_models import HUB_FILES, ImageTransform, OpenClip
from evaluators.networks.weights import PublishedWeights
from evaluators.protocols.protocol import HPS
from space.shared.files import file_digest
from space.shared.plain import InputError, entry_of

HPS_ARCHITECTURE = "ViT-H-14"
HPS_REPOSITORY = "xswu/HPSv2"
HPS_FILES = {"v2.0": "HPS_v2_compressed.pt", "v2.1": "HPS_v2.1_compressed.pt"}
IN_A_NAME = re.compile(r"hps[^a-z0-9]*v?2(?:[._-]?([01]))?(?![0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class HpsSettings:
    """`antialias`: of the resize to 224 px; false as in the published tables, true as their code does now."""

    antialias: bool = False


class HpsClip(OpenClip):
    """One version's network; the score of an image and its prompt is 100 times their cosine."""

    def __init__(
        self,
        version: str,
        weights: Path,
        settings: HpsSettings,
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        _check_name(weights, version)
        transform = partial(longest_side, antialias=settings.antialias)
        super().__init__(HPS_ARCHITECTURE, None, weights, device, precision, transform)
        self.name = HPS


def published_hps(version: str | None) -> PublishedWeights:
    """Where a version's weights are to be had. Raises InputError for a version that there is not."""
    file = entry_of(HPS_FILES, version or "", "weights, the version of hps")
    return PublishedWeights(
        (file, Path(file).with_suffix(".safetensors").name), hub=(HPS_REPOSITORY, (file,))
    )


def longest_side(side: int, antialias: bool) -> tuple[ImageTransform, str]:
    """The transform of Pillow's images, and what it does in words."""
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as vision

    def transform(image: Image.Image) -> Tensor:
        pixels = vision.to_tensor(image)
        scale = side / max(pixels.shape[-2:])
        height, width = (max(1, round(length * scale)) for length in pixels.shape[-2:])
        pixels = vision.resize(pixels, [height, width], InterpolationMode.BICUBIC, antialias=antialias)
        left, top = (side - width) // 2, (side - height) // 2
        whole = vision.pad(pixels, [left, top, side - width - left, side - height - top])
        prepared: Tensor = vision.normalize(whole, list(OPENAI_DATASET_MEAN), list(OPENAI_DATASET_STD))
        return prepared

    said = "anti-aliased" if antialias else "not anti-aliased"
    mean, std = (
        " ".join(f"{value:g}" for value in values) for values in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
    )
    return (
        transform,
        f"torch bicubic to {side} px (longest side, {said}, black borders), less {mean}, over {std}",
    )


def check_told(weights: Path, version: str) -> None:
    """For a file that no digest pins: raises InputError where its name does not tell the version. The digests
    of the published files are not known, and either version fits in the other's place."""
    if not IN_A_NAME.search(weights.name):
        raise InputError(
            f"weights.files.{HPS}: {weights} tells no version of HPS, and no digest pins it; needed: a name "
            f"such as {HPS_FILES[version]}, or in evaluators.clips file_sha256: {file_digest(weights).hex()}"
        )


def _check_name(weights: Path, version: str) -> None:
    """Raises InputError for a file that is named for another version, or for CLIP itself: all of them fit."""
    if weights.name in HUB_FILES:
        raise InputError(
            f"weights.files.{HPS}: {weights} is named as CLIP's own, from which HPS began; needed: "
            f"{HPS_FILES[version]}"
        )
    found = IN_A_NAME.search(weights.name)
    if found and (named := f"v2.{found[1] or 0}") != version:
        raise InputError(
            f"weights.files.{HPS}: {weights} is named for HPS {named}, not for {version}; "
            f"needed: {HPS_FILES[version]}, or weights: {named} in evaluators.clips"
        )
