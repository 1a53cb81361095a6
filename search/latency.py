"""What price lists mean to a search: a bound, a score beside FID and CLIP, and which lists they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from space.budget import LATENCY, Budget
from space.candidates import Candidate
from space.prices.coverage import check_covers
from space.prices.latency import PriceList
from space.search_space import AnySpace
from space.shared.files import file_digest
from space.shared.plain import InputError

LISTS = "price_lists"  # of a record's header


def check_lists(budget: Budget, space: AnySpace) -> None:
    """Raises InputError: a list cannot be read, or does not price all of the space."""
    try:
        for one in budget.lists:
            check_covers(one, space)
    except InputError as error:
        raise InputError(f"budget.prices: {str(error).removeprefix('prices: ')}") from None


def latency_score(budget: Budget, architecture: Candidate) -> dict[str, float]:
    """Beside the scores that a trial measures; nothing without a list."""
    return {LATENCY: budget.latency(architecture)} if budget.files else {}


def recorded_lists(budget: Budget) -> dict[str, Any]:
    """For a record's header: which lists, in words, their digests, and what was said of each."""
    if not budget.files:
        return {}
    return {
        LISTS: [
            {"file": file, "list": one.describe(), "digest": lists_digest(file), "note": elsewhere_note(one)}
            for file, one in zip(budget.files, budget.lists, strict=True)
        ]
    }


def lists_digest(files: str | Sequence[str]) -> str:
    """Of one file, or of each. Raises InputError for one that cannot be read."""
    each = (files,) if isinstance(files, str) else files
    try:
        return ", ".join(file_digest(Path(file).expanduser()).hex()[:16] for file in each)
    except OSError as error:
        raise InputError(f"budget.prices: {error.filename}: cannot be read: {error.strerror}") from None


def check_same_lists(header: Mapping[str, Any], budget: Budget) -> None:
    """Raises InputError where a run that goes on finds other lists than it was begun with."""
    before = [one["digest"] for one in header.get(LISTS, [])]
    now = [lists_digest(file) for file in budget.files]
    if before != now:
        raise InputError(
            "resume: budget.prices differ from what the run was begun with (by their digests); allowed: the "
            "same price lists"
        )


def lists_differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether milliseconds that two headers record are of different lists, so that they do not compare."""
    ours, theirs = ([each.get("digest") for each in header.get(LISTS, [])] for header in (one, other))
    return ours != theirs


def lists_in_words(header: Mapping[str, Any]) -> list[str]:
    """Each with what the search was warned of."""
    return [", ".join(filter(None, (one["list"], one.get("note")))) for one in header.get(LISTS, [])]


def latency_notes(budget: Budget) -> list[str]:
    """A line for each list of another device, or of other versions, than are here."""
    each = [(one, elsewhere_note(one)) for one in budget.lists]
    return [f"latency: {one.source} is of {one.device}, {note}" for one, note in each if note]


def elsewhere_note(prices: PriceList) -> str:
    """How a list's device, or the versions that it was measured with, differ from here; empty if not."""
    from evaluators.latency.runtimes import places_here, versions_of

    here, versions = places_here(), versions_of(prices.runtime)
    if prices.device not in here:
        return f"another device than this ({' and '.join(here)})"
    others = [
        f"{name} {version} (here {versions[name]})"
        for name, version in prices.versions.items()
        if name in versions and versions[name] != version
    ]
    return f"measured with {', '.join(others)}" if others else ""
