"""The folder that the scores of a set of images go to: whose it is, and what an earlier run left there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from evaluators.protocols.protocol import EvaluationProtocol
from evaluators.protocols.sheet import Sheet
from space.shared.files import write_whole
from space.shared.plain import InputError, to_plain

JOB = "job.json"


def claim(images: str, captions: str | None, out: str | None, protocol: EvaluationProtocol) -> Path:
    """The folder of this job, new or gone on with: `out`, or one named for the images and a key of the job.

    Raises:
        InputError: it belongs to other images or networks, or cannot be written.
    """
    job = {
        "images": str(Path(images).expanduser().absolute()),
        "captions": captions and str(Path(captions).expanduser().absolute()),
        "form": to_plain(protocol.images),
        "features": to_plain(protocol.features),
        "clips": to_plain(protocol.clips),
    }
    key = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:8]
    stem = Path(images).absolute().name.partition(".")[0].strip("{}*") or "images"
    folder = Path(out or f"scores/{stem}-{key}").expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / JOB
        earlier = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else job
        differing = [name for name in job if earlier.get(name) != job[name]]
        if differing:
            raise InputError(
                f"out: {folder} belongs to scores with other {', '.join(differing)}; give another out"
            )
        write_whole(file, json.dumps(job, indent=1), durable=True)
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"out: {folder} cannot be used: {error}") from None
    return folder


def with_earlier(sheet: Sheet, path: Path) -> Sheet:
    """With scores that were made before of the same images under the same protocol, and their pace."""
    if not path.is_file():
        return sheet
    earlier, about = Sheet.load(path), dict(sheet.about)
    if earlier.about["images"]["digest"] != about["images"]["digest"]:
        return sheet
    if not about["pace"]["images"]:
        about["pace"] = earlier.about["pace"]
    id = next(iter(sheet.scores.values())).protocol.id
    kept = {name: score for name, score in earlier.scores.items() if score.protocol.id == id}
    return Sheet({**kept, **sheet.scores}, about)
