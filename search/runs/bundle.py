"""Records of many runs in one file: to commit beside what was concluded from them, to publish, to replay.

A bundle is JSON lines, compressed: for each run one line that names it (`bundled`: its name, provenance, and
the SHA-256 of the record it was made from), and then the events of its record as they are, but for words that
say where on a machine something was, and copies of what another run of the bundle holds (see
`bundled_prior`), which reading restores. Bundles that hold the same runs are equal byte for byte.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from search.runs.bundled_prior import in_full, prior_as_references
from search.runs.files import PROVENANCE_NAME, RECORD_NAME
from search.runs.header import ELSEWHERE, trained_elsewhere
from search.runs.record import History, folded, read_events, read_history
from space.shared.command_lines import typed_line
from space.shared.files import write_whole
from space.shared.plain import InputError, nearest

T = TypeVar("T")
BUNDLE_SUFFIX = ".jsonl.gz"
RECORDED = "recorded"  # names the bundle that comes with the package
RECORDED_FILE = Path(__file__).parents[1] / (RECORDED + BUNDLE_SUFFIX)
# Words of a command line that say where something is, not what was measured.
PLACES = ("runs_folder", "cache_folder", "weights.cache_folder", "weights.files", "resume", "cluster.address")
_FOLDERS = re.compile(r"(?<![^\s=,\[:'\"])(~|/)[^\s,\]'\"]*/")  # of an absolute path, all but the last part


@dataclass(frozen=True)
class Bundled:
    """One run of a bundle: its events, as plain data, and what its folder said beside them."""

    name: str
    provenance: dict[str, Any]
    digest: str
    events: tuple[Mapping[str, Any], ...] = field(repr=False)

    @property
    def history(self) -> History:
        """Raises InputError where an event is not one of a record."""
        return folded(enumerate(self.events, 1), f"{self.name}: event")


def read_bundle(path: Path) -> dict[str, Bundled]:
    """The runs of a bundle by name, in its order.

    Raises:
        InputError: it cannot be read, or is no bundle.
    """
    try:
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        plain = [json.loads(line) for line in lines]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a bundle of records: {error}") from None
    runs: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    for number, event in enumerate(plain, 1):
        kind = event.get("event") if isinstance(event, dict) else None
        if kind == "bundled" and event.keys() >= {"name", "provenance", "digest"}:
            runs.append((event, []))
        elif runs and kind not in (None, "bundled"):
            runs[-1][1].append(event)
        else:
            raise InputError(f"{path}: line {number} is not of a bundle of records")
    try:
        events_of = in_full({head["name"]: events for head, events in runs})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    heads = {head["name"]: head for head, _ in runs}
    return {
        name: Bundled(name, head["provenance"], head["digest"], tuple(events_of[name]))
        for name, head in heads.items()
    }


def write_bundle(path: Path, runs: Sequence[Bundled]) -> None:
    """Raises OSError where it cannot be written; an older file is then as it was."""
    lines = []
    events_of = prior_as_references({run.name: run.events for run in runs})
    for run in runs:
        head = {"event": "bundled", "name": run.name, "provenance": run.provenance, "digest": run.digest}
        lines += [json.dumps(event, separators=(",", ":")) for event in (head, *events_of[run.name])]
    text = "".join(f"{line}\n" for line in lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, gzip.compress(text.encode(), mtime=0))


def bundled_of(source: str) -> list[Bundled]:
    """The runs that a source names: a run folder, a bundle (`file.jsonl.gz`), or some runs of a bundle
    (`file.jsonl.gz:table*`). `recorded` and `recorded:table*` are those of the package's own bundle.

    Raises:
        InputError: neither, or no run of that name.
    """
    if is_bundle(source):
        file, colon, pattern = _file_of(source).partition(f"{BUNDLE_SUFFIX}:")
        runs = read_bundle(Path(file + BUNDLE_SUFFIX if colon else file))
        chosen = list(of_names(runs, [pattern or "*"]).values())
        if not chosen:
            raise InputError(f"{source}: no run of that name; {nearest(pattern, runs)}")
        return chosen
    return [_of_folder(Path(source))]


def histories_of(sources: Sequence[str]) -> dict[str, History]:
    """What the sources (see `bundled_of`) recorded, by the name to call each run by: its folder as it was
    given, or its name in a bundle.

    Raises:
        InputError: a source that cannot be read, or a run that is named twice.
    """
    found: dict[str, History] = {}
    places: set[str | Path] = set()
    for source in sources:
        in_bundle = is_bundle(source)
        runs = {run.name: run.history for run in bundled_of(source)} if in_bundle else {}
        for name, history in runs.items() if in_bundle else [(source, read_history(Path(source)))]:
            place = name if in_bundle else Path(source).resolve()  # runs/a is also runs/a/
            if name in found or place in places:
                raise InputError(f"{source}: {name} is named twice; allowed: each run once")
            places.add(place)
            found[name] = history
    return found


def gathered(sources: Sequence[str]) -> list[Bundled]:
    """The runs of the sources in order; of two that have one name, the later.

    Raises:
        InputError: a source that cannot be read, or two run folders of one name.
    """
    found: dict[str, Bundled] = {}
    folders: dict[str, str] = {}
    for source in sources:
        for run in bundled_of(source):
            if not is_bundle(source):
                if run.name in folders:
                    raise InputError(
                        f"{folders[run.name]} and {source} have one name, {run.name}; rename one"
                    )
                folders[run.name] = source
            found[run.name] = run
    return list(found.values())


def of_names(runs: Mapping[str, T], patterns: Sequence[str]) -> dict[str, T]:
    """The runs whose names match any of the patterns (`table*`), in their order."""
    return {
        name: run
        for name, run in runs.items()
        if name in patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def is_bundle(source: str) -> bool:
    """Whether a source names a bundle, or runs of one; else it is a run folder, whatever it is called."""
    return BUNDLE_SUFFIX in _file_of(source) and not Path(_file_of(source)).is_dir()


def _file_of(source: str) -> str:
    """With the file of the package's bundle for its name."""
    name, colon, pattern = source.partition(":")
    return f"{RECORDED_FILE}{colon}{pattern}" if name == RECORDED else source


def _of_folder(folder: Path) -> Bundled:
    history = read_history(folder)  # which says what is wrong with it
    record = folder / RECORD_NAME
    events = tuple(_without_places(event) for event in read_events(record))
    provenance = {} if trained_elsewhere(history) else _provenance(folder)
    digest = hashlib.sha256(record.read_bytes()).hexdigest()
    return Bundled(folder.resolve().name, provenance, digest, events)


def _provenance(folder: Path) -> dict[str, Any]:
    try:
        provenance: dict[str, Any] = json.loads((folder / PROVENANCE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: {PROVENANCE_NAME} cannot be read: {error}") from None
    provenance.pop("protocol", None)  # in the record, and the host's name in neither
    return provenance


def _without_places(event: Mapping[str, Any]) -> dict[str, Any]:
    overrides = event.get("overrides")
    if overrides is None:
        return {name: value for name, value in event.items() if name != "moved"}
    kept = [_FOLDERS.sub("", word) for word in overrides if not _is_place(word)]
    return dict(event) | {"overrides": kept}


def _is_place(word: str) -> bool:
    name = word.lstrip("+").partition("=")[0]
    return any(name == place or name.startswith(f"{place}.") for place in PLACES)


def commands(runs: Sequence[Bundled]) -> Iterator[str]:
    """What each run was started with, as one would type it."""
    for run in runs:
        header = next((event for event in run.events if event["event"] == "run"), {})
        command = "serve" if header.get("training") == ELSEWHERE else "search"
        yield typed_line(command, header.get("overrides", []))
