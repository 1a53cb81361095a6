"""Models on the Hugging Face Hub, fetched once, into its own cache, as far as we read them.

Their address is as fsspec has it: `hf://<owner>/<name>[@<revision>][/<folder>]`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from space.interchange.weight_files import CONFIG_FILE, SUFFIXES, WEIGHTS_STEM
from space.shared.hub import hub_caches
from space.shared.plain import InputError

SCHEME = "hf://"
_FORM = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([^/]+))?(?:/(.+?))?/?")
STEMS = (WEIGHTS_STEM, "model", "pytorch_model")  # of weights, by diffusers and transformers
TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))  # either
TOKENIZER_CONFIG = "tokenizer_config.json"
TEXTS = (
    CONFIG_FILE, TOKENIZER_CONFIG, *(name for names in TOKENIZER_FILES for name in names),
    "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip


class HubAddress(NamedTuple):
    repository: str
    revision: str | None
    folder: str  # in it; empty: the whole


def is_address(folder: str | Path) -> bool:
    return str(folder).startswith(SCHEME)


def parsed(address: str, field: str) -> HubAddress:
    """Raises InputError where it is none."""
    found = _FORM.fullmatch(address)
    if found is None:
        raise InputError(
            f"{field}: {address!r} is no address of a model; needed: {SCHEME}<owner>/<name>, then "
            "@<revision> or /<folder> where they are not the usual ones"
        )
    return HubAddress(found[1], found[2] and unquote(found[2]), found[3] or "")


@cache
def fetched(address: str, field: str, is_whole: Callable[[Path, str], bool]) -> Path:
    """The folder in the Hub's cache that has what lies at an address; what lacks is fetched.

    Args:
        is_whole: `is_whole(folder, field)` says whether all that is needed is there.

    Raises:
        InputError: it is no address, or cannot be fetched.
    """
    from huggingface_hub import hf_hub_download, snapshot_download

    at, caches = parsed(address, field), hub_caches()
    config = posixpath.join(at.folder, CONFIG_FILE)
    for place in caches.looked_into:
        with suppress(Exception):  # the client's own: it is not there
            there = hf_hub_download(
                at.repository, config, revision=at.revision, cache_dir=place, local_files_only=True
            )
            if is_whole(folder := Path(there).parent, field):
                return folder
    for suffix in SUFFIXES:
        try:
            snapshot = snapshot_download(
                at.repository,
                revision=at.revision,
                cache_dir=caches.filled,
                allow_patterns=_wanted(at.folder, suffix),
            )
        except Exception as error:  # the client's own, the transport's, the system's
            reason = " ".join(str(error).split())[:150]
            raise InputError(
                f"{field}: {address!r} cannot be fetched from the Hub ({type(error).__name__}: {reason}); "
                "needed: a way there (HF_TOKEN, where a model is gated), or a folder of this machine"
            ) from None
        if is_whole(folder := Path(snapshot, at.folder), field):
            break
    return folder


def is_read(name: str) -> bool:
    """Whether a file of a model's folder is: whatever else somebody fetched makes it no other model."""
    return any(fnmatch(name, each) for suffix in SUFFIXES for each in _names(suffix))


def _names(suffix: str) -> list[str]:
    """Patterns of what is read of a folder whose weights, whole or sharded, are in one form."""
    weights = [f"{stem}{part}{suffix}" for stem in STEMS for part in ("", "-*-of-*")]
    return [*TEXTS, *weights, *(f"{stem}{suffix}.index.json" for stem in STEMS)]


def _wanted(folder: str, suffix: str) -> list[str]:
    """Of a repository: what is read, a tokenizer beside a text encoder, and what tells where models lie."""
    own = [posixpath.join(folder, name) for name in (*_names(suffix), f"*/{CONFIG_FILE}")]
    beside = posixpath.join(posixpath.dirname(folder), "tokenizer*/*")
    return own + ([beside] if posixpath.basename(folder).startswith("text_encoder") else [])
