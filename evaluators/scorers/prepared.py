"""What a search prepared to score its candidates, for anybody's images; the embedded needs no download."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluators.measuring.reference import Reference
from evaluators.networks.features import ImageFeatures, RandomConv
from evaluators.networks.weights import WeightsSettings
from evaluators.protocols.protocol import ImageForm
from evaluators.scorers.by_protocol import REFERENCE, stored_protocol
from evaluators.scorers.embedded import CLIP_FOLDER, PROTOCOL, Evaluator
from space.shared.plain import InputError, to_plain


def from_search(folder: str, weights: WeightsSettings) -> tuple[dict[str, Any], Reference, WeightsSettings]:
    """A preset, the statistics of the search's references, and where weights lie, the embedded CLIP's too.

    Args:
        folder: `runs/<name>/evaluator`, or one around it: a run's, or that of a training with scores=true.

    Raises:
        InputError: no such folder, or not one that a search prepared.
    """
    path = _prepared_in(Path(folder).expanduser())
    protocol = stored_protocol(path)
    if protocol is not None:
        open_ended: dict[str, Any] = {"samples": None, "captions": None, "drawing": {}}
        return protocol.to_plain() | open_ended, Reference.load(path / REFERENCE), weights
    evaluator = Evaluator.load(path)
    said = evaluator.protocol
    clip = {"network": evaluator.clip.name, "digest": evaluator.clip.digest}
    random_conv = {
        "network": RandomConv.name,
        "digest": evaluator.random_conv.digest,
        "settings": said["features"][RandomConv.name]["settings"],
    }
    features = [clip, random_conv]
    sets: list[ImageFeatures] = [evaluator.clip, evaluator.random_conv]
    if evaluator.efficientnet is not None:
        settings = said["features"][evaluator.efficientnet.name]["settings"]
        features.append(
            {
                "network": evaluator.efficientnet.name,
                "digest": evaluator.efficientnet.digest,
                "settings": settings,
            }
        )
        sets.append(evaluator.efficientnet)
    real = said["reference"]
    preset = {
        "name": "embedded",
        "samples": None,
        "images": to_plain(ImageForm(size_px=said["image_size_px"])),
        "features": features,
        "clips": [clip],
        "reference": None,
        "captions": None,
        "metrics": ["fid", "clip"],
    }
    reference = Reference(
        evaluator.references,
        {network.name: network.digest for network in sets},
        about={"images": str(real["images"]), "digest": real["digest"]},
    )
    files = dict(weights.files) | {evaluator.clip.name: str(path / CLIP_FOLDER)}
    return preset, reference, replace(weights, files=files)


def _prepared_in(folder: Path) -> Path:
    """The folder, or the only one in it that was prepared. Raises InputError where there are several."""
    if (folder / PROTOCOL).is_file():
        return folder
    found = [file.parent for file in sorted(folder.glob(f"evaluator*/{PROTOCOL}"))]
    if len(found) > 1:
        raise InputError(
            f"evaluator: {folder} holds {', '.join(one.name for one in found)}; name one of them"
        )
    return found[0] if found else folder
