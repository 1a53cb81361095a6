"""The embedded CLIP of some data and settings: shipped, kept by content, or trained.

Those of the default data and of emoji come along (`SHIPPED`): processors round differently, and a model
trained anew on another one would be another metric network, by which runs of two machines do not compare.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evaluators.networks.embedded import ABOUT, EmbeddedClip, seen_through
from evaluators.networks.embedded_model import EmbeddedSettings, model_config
from evaluators.networks.embedded_training import ReadPairs, train_clip
from evaluators.networks.features import ImageFeatures
from space.shared.files import making_folder
from space.shared.plain import to_plain
from space.shared.retries import storage_error

CLIP_FORMAT = (
    1  # of the cached files and of the training; raised when an old file would no longer be the same
)
OPEN_CLIP = "open_clip_torch"
SHIPPED = Path(__file__).parent / "shipped"  # laid out as a cache folder; docs/evaluators.md: how it is made


def embedded_clip(
    train: ReadPairs,
    count: int,
    held_out_images: np.ndarray,
    held_out_captions: Sequence[str],
    data_digest: str,
    settings: EmbeddedSettings,
    cache_folder: Path,
    on_step: Callable[[int, int, float], None] | None = None,
) -> EmbeddedClip:
    """The small CLIP of these data and settings: shipped, from the cache folder, or trained and left there.

    Args:
        train: reads from the training split, which has `count` images.
        held_out_images: (N, H, W, 3) uint8, with one caption each, never trained on: for the accuracy.
        data_digest: of images and captions; with the settings and open_clip's version it is the key.
        on_step: told the step, the steps in all, and the loss.

    Two processes at once may both train; whichever finishes first is kept, and both return that one.
    """
    size = held_out_images.shape[1]
    frozen = seen_through(settings.efficientnet_px)
    folder = _folder_of(folder_name(data_digest, count, size, settings, frozen), cache_folder)
    if not (folder / ABOUT).is_file():
        model, vocabulary = train_clip(train, count, size, settings, on_step, frozen)
        about: dict[str, Any] = {"model_cfg": model_config(settings, vocabulary, size)}
        about |= {"vocabulary": vocabulary.known, "efficientnet_px": settings.efficientnet_px}
        found = EmbeddedClip(model, vocabulary, about, frozen).retrieve(held_out_images, held_out_captions)
        about |= {"retrieval_accuracy": found, "data_digest": data_digest}
        about |= {"settings": to_plain(settings), "open_clip": version(OPEN_CLIP)}
        clip = kept(EmbeddedClip(model, vocabulary, about, frozen), folder)
    else:
        clip = EmbeddedClip.load(folder)
    clip.about.setdefault("retrieval_captions", len(set(held_out_captions)))
    return clip


def where_it_is(
    data_digest: str, count: int, image_size_px: int, settings: EmbeddedSettings, cache_folder: Path
) -> Literal["shipped", "cached", "nowhere"]:
    """The small CLIP of these data and settings, before `embedded_clip` makes it or reads it."""
    frozen = seen_through(settings.efficientnet_px)
    folder = _folder_of(folder_name(data_digest, count, image_size_px, settings, frozen), cache_folder)
    if not (folder / ABOUT).is_file():
        return "nowhere"
    return "shipped" if folder.parent == SHIPPED else "cached"


def _folder_of(name: str, cache_folder: Path) -> Path:
    return (SHIPPED if (SHIPPED / name).is_dir() else cache_folder) / name


def folder_name(
    data_digest: str,
    count: int,
    image_size_px: int,
    settings: EmbeddedSettings,
    frozen: ImageFeatures | None = None,
) -> str:
    """By all that decides the weights."""
    own = to_plain(settings)
    del own["efficientnet_px"]  # what it stands for decides
    stamp = [CLIP_FORMAT, data_digest, count, image_size_px, own, version(OPEN_CLIP)]
    if frozen is not None:
        stamp += [frozen.digest, frozen.preparation]
    return f"embedded-clip-{hashlib.sha256(json.dumps(stamp, sort_keys=True).encode()).hexdigest()[:16]}"


def kept(clip: EmbeddedClip, folder: Path) -> EmbeddedClip:
    """What is in the folder then, by whichever process; the clip itself where nothing can be."""
    try:
        publish(clip, folder)
    except Exception as error:
        reason = storage_error(error) or (error if isinstance(error, OSError) else None)
        if reason is None:
            raise
        print(f"note: the CLIP is not kept, since {folder} cannot be written: {reason}", file=sys.stderr)
        return clip
    return EmbeddedClip.load(folder)


def publish(clip: EmbeddedClip, folder: Path) -> None:
    """The folder is there whole or not at all."""
    try:
        with making_folder(folder) as own:
            clip.save(own)
    except Exception:  # another process was first, or no room
        if not (folder / ABOUT).is_file():
            raise
