"""What a resumed run finds elsewhere than it was begun with: the same files may lie anywhere.

A run's header holds a digest of each place that its settings name (`reads`), and its evaluators' protocol one
of the images. Its sessions say where things had moved to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluators.measuring.reference_cache import reference_digest
from evaluators.protocols.protocol import captions_digest
from search.custom import digest_of
from search.latency import LISTS, lists_digest
from search.runs.compatibility import READS, data_digest
from search.runs.files import RECORD_NAME
from search.runs.record import History, read_events
from search.settings import SearchSettings
from space.shared.captions import read_captions
from space.shared.command_lines import setting_word
from space.shared.plain import InputError, to_plain
from training.frozen_folders import LATENTS_FOLDER, TEXT_FOLDER, folder_digests, frozen_digest

TEXT, LATENTS = f"training.{TEXT_FOLDER}", f"training.{LATENTS_FOLDER}"
SCORING_REFERENCE, SCORING_CAPTIONS = "scoring.reference", "scoring.captions"
PRICE_LISTS = "budget.prices"  # digests of these stand in the header, with what is said of each list
USES = ("sampler.use", "stopping.use")  # digests of these stand in sessions, as the files may be put right
DIGEST_OF: Mapping[str, Callable[[Any], str]] = {
    TEXT: lambda folder: frozen_digest(TEXT_FOLDER, folder),
    LATENTS: lambda folder: frozen_digest(LATENTS_FOLDER, folder),
    SCORING_REFERENCE: lambda source: reference_digest(source, SCORING_REFERENCE),
    SCORING_CAPTIONS: lambda file: captions_digest(read_captions(file, SCORING_CAPTIONS).texts),
    PRICE_LISTS: lambda files: lists_digest(files),
    **dict.fromkeys(USES, digest_of),
}


def reads_of(settings: SearchSettings) -> dict[str, str]:
    """Digests of what settings name outside of the run folder, for its header; nothing where they name none.

    Raises:
        InputError: one cannot be read.
    """
    digests = training_reads(settings)
    for name in (SCORING_REFERENCE, SCORING_CAPTIONS):
        if (place := _at(settings, name)) is not None:
            digests[name] = DIGEST_OF[name](place)
    return digests


def training_reads(settings: SearchSettings) -> dict[str, str]:
    """Those of the frozen models that training reads."""
    return {f"training.{field}": digest for field, digest in folder_digests(settings.training).items()}


def with_places_of(
    before: SearchSettings, now: SearchSettings, history: History, digest: str, folder: Path
) -> SearchSettings:
    """The settings of a resumed search, with everything that has only moved back where it was.

    Args:
        digest: of the images that are there now; empty where nobody has looked.

    Raises:
        InputError: other files than the run was begun with, or it recorded no digest to know them by.
    """
    if before.data != now.data or digest:
        known = data_digest(history.header)
        if before.data != now.data or known is not None:
            _check("data", "images and captions", known, digest, folder)
    now = replace(now, data=before.data)
    read = training_reads(now)
    for name in DIGEST_OF:
        old, new = _at(before, name), _at(now, name)
        if old is None or new is None:
            continue
        known = _known(name, old, history)
        if old != new:
            _check(name, "files", known, DIGEST_OF[name](new), folder)
            now = _put(now, name, old)
        elif known is not None and name in read:
            _check(name, "files", known, read[name], folder)
    return now


def moves_of(folder: Path) -> list[dict[str, Any]]:
    """What sessions of a run said of places that were others than before: settings, and words for them."""
    sessions = [event for event in read_events(folder / RECORD_NAME) if event["event"] == "session"]
    return [session["moved"] for session in sessions if "moved" in session]


def moves(before: SearchSettings, now: SearchSettings) -> dict[str, Any]:
    """What a session's event says of what a resumed run finds elsewhere; empty where all is in its place."""
    ours, theirs = to_plain(now.data), to_plain(before.data)
    words = [setting_word(f"data.{name}", ours[name]) for name in ours if ours[name] != theirs.get(name)]
    groups = ["data"] if words else []
    for name in DIGEST_OF:
        if (place := _at(now, name)) != _at(before, name):
            words.append(setting_word(name, place))
            groups.append(name.partition(".")[0])
    settings = {group: to_plain(getattr(now, group)) for group in groups}
    return {"moved": {"settings": settings, "words": words}} if words else {}


def _known(name: str, place: Any, history: History) -> str | None:
    """The digest that a run recorded of what lay in a place."""
    if name == PRICE_LISTS:
        return ", ".join(one["digest"] for one in history.header.get(LISTS, [])) or None
    if name in USES:
        sessions = [session.get("own", {}) for session in history.sessions]
        return next((own[place] for own in reversed(sessions) if place in own), None)
    digest: str | None = history.header.get(READS, {}).get(name)
    return digest


def _check(name: str, what: str, before: str | None, now: str, folder: Path) -> None:
    """Raises InputError unless these are the files that a run was begun with."""
    if before != now:
        said = f"digest {now} against {before}" if before else "and it recorded no digest to know them by"
        raise InputError(
            f"resume: {name} differ from what {folder} was made with ({said}); allowed: the same {what}, "
            "wherever they lie"
        )


def _at(settings: Any, name: str) -> Any:
    for part in name.split("."):
        settings = getattr(settings, part, None)
    return settings


def _put(settings: Any, name: str, value: Any) -> Any:
    field, _, rest = name.partition(".")
    return replace(settings, **{field: _put(getattr(settings, field), rest, value) if rest else value})
