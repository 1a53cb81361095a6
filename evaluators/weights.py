"""Where a network's weights come from: a file, the cache folder or the network, always by their digest.

Nothing is written outside the cache folder. A file there is whole or absent: workers that start at once wait
for the one that fetches it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WeightsSettings:
    """Where to look for weights, and whether to fetch what is missing.

    `files` names a file for a network (by its name in a protocol, "vit-g-14" say), which comes before the
    cache folder.
    """

    cache_folder: str | None = None  # null: ~/.cache/mdsearch/weights
    files: dict[str, str] | None = None
    download: bool = True

    @property
    def cache(self) -> Path:
        folder = (
            Path(self.cache_folder) if self.cache_folder else Path.home() / ".cache" / "mdsearch" / "weights"
        )
        return folder.expanduser()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
