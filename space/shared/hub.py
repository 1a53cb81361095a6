"""Where the Hugging Face Hub's client keeps what it fetches, and where it may if that cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from space.shared.caches import can_be_written, own_temporary


class HubCaches(NamedTuple):
    """Folders of its client; None: its usual one."""

    looked_into: list[Path | None]
    filled: Path | None


def hub_caches() -> HubCaches:
    from huggingface_hub import constants

    own = None if can_be_written(Path(constants.HF_HUB_CACHE)) else own_temporary("hub")
    return HubCaches(list(dict.fromkeys((None, own))), own)
