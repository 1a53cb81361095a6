"""Which images lie in a folder, which of its files are passed over, and how names are told and compared."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from space.shared.captions import READERS
from space.shared.decoding import image_suffixes
from space.shared.plain import NAMED_AT_MOST

SAMPLES_MANIFEST = "manifest.json"  # beside generated images: how they were made
RESOURCE_FORK = "._"  # what macOS lays beside a file, under the file's own suffix


@dataclass
class PassedOver:
    """What lies among the images and is not read as one, by what kind of thing it is: how many, and the first
    names."""

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, name: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self.counts[kind] <= NAMED_AT_MOST:
            self.first.setdefault(kind, []).append(printable(name))

    def add_all(self, other: PassedOver) -> None:
        for kind, count in other.counts.items():
            names = self.first.setdefault(kind, []) + other.first[kind]
            self.first[kind] = names[:NAMED_AT_MOST]
            self.counts[kind] = self.counts.get(kind, 0) + count

    def __str__(self) -> str:
        """One line; empty where there is none."""
        kinds = []
        for kind, count in self.counts.items():
            more = f" and {count - NAMED_AT_MOST:,} more" if count > NAMED_AT_MOST else ""
            kinds.append(f"{count:,} {kind} ({', '.join(self.first[kind])}{more})")
        return f"passed over: {'; '.join(kinds)}" if kinds else ""


@dataclass(frozen=True)
class FolderFiles:
    """The files under a folder and what it links to, by their path from there, with / on every system."""

    images: list[str]
    passed_over: PassedOver


def files_under(folder: Path, but_for: Collection[str] = ()) -> FolderFiles:
    """The image files, and those that are neither images nor captions. Hidden ones are left out, but counted
    where they have an image's suffix.

    Args:
        but_for: files that are read otherwise.

    Raises:
        OSError: a folder that cannot be read.
    """
    images, passed_over = list[str](), PassedOver()
    for name in _walked(folder):
        base = name.rpartition("/")[2]
        suffix = os.path.splitext(base)[1].lower()
        if base.startswith("."):
            if suffix in image_suffixes() and not base.startswith(RESOURCE_FORK):
                passed_over.add("hidden", name)
        elif suffix in image_suffixes():
            images.append(name)
        elif suffix not in READERS and name not in but_for:
            passed_over.add(suffix or "without a suffix", name)
    return FolderFiles(images, passed_over)


def _walked(folder: Path) -> Iterator[str]:
    def complain(error: OSError) -> None:
        raise error

    above = {str(folder): {os.path.realpath(folder)}}  # a link to a folder above would have no end
    for here, folders, files in os.walk(folder, onerror=complain, followlinks=True):
        behind = {name: os.path.realpath(os.path.join(here, name)) for name in folders}
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and behind[name] not in above[here]
        )
        above |= {os.path.join(here, name): above[here] | {behind[name]} for name in folders}
        for name in sorted(files):
            yield (Path(here) / name).relative_to(folder).as_posix()


# ---------------------------------------------------------------------- names


def printable(name: str) -> str:
    r"""A file's name as text: bytes of it that are not UTF-8, which Python keeps as lone surrogates, in hex.

    >>> printable("a\udcff.png")
    'a\\xff.png'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def normal_form(name: str) -> str:
    """In Unicode's form NFC: the same letters, however a system stores their accents."""
    return unicodedata.normalize("NFC", name)


def by_normal_form(names: Iterable[str], part: Callable[[str], str] = str) -> Mapping[str, str]:
    """Names under the NFC form of themselves or a part; of two that have one form, neither."""
    found: dict[str, str | None] = {}
    for name in names:
        form = normal_form(part(name))
        found[form] = None if form in found else name
    return {form: name for form, name in found.items() if name is not None}
