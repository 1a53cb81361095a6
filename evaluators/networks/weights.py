"""Where a network's weights come from: a file of yours, the cache folder, or the internet, always by digest.

Fetched files go to our cache folder, or, from the Hugging Face Hub, to that library's own; nothing is written
anywhere else. A file there is whole or absent: workers that start at once wait for the one that fetches it.
"""

from __future__ import annotations

import http.client
import re
import shutil
import urllib.request
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from space.shared.caches import cache_folder, usual_cache
from space.shared.files import file_digest, replacing
from space.shared.hub import hub_caches
from space.shared.plain import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class WeightsSettings:
    """Where to look for weights, and whether to fetch what is missing.

    `files` names a file for a network, by its name in the protocol ("vit-g-14"); it goes before the cache.
    """

    cache_folder: str | None = None  # null: ~/.cache/mdsearch/weights
    files: dict[str, str] = field(default_factory=dict)
    download: bool = True

    @property
    def cache(self) -> Path:
        return cache_folder(self.cache_folder, "weights")

    @property
    def caches(self) -> list[Path]:
        """Where to look: the usual one may be there to be read only."""
        usual = [] if self.cache_folder else [usual_cache("weights")]
        return list(dict.fromkeys([self.cache, *usual]))


@dataclass(frozen=True)
class PublishedWeights:
    """One published set of weights: its name in the cache folder, and where it is to be had.

    Attributes:
        files: names it may have in the cache folder; the first is the one that is fetched.
        url: where that one is, or None if it comes from the Hub.
        hub: (repository, names of the file there, the most wanted first), or None.
        sha256: of the file at the address, where it is known.
    """

    files: tuple[str, ...]
    url: str | None = None
    hub: tuple[str, tuple[str, ...]] | None = None
    sha256: str | None = None


class Missing(InputError):
    """Weights that are nowhere; the message says what to put where."""


def find_weights(
    network: str, published: PublishedWeights | None, settings: WeightsSettings, sha256: str | None = None
) -> Path:
    """The file with a network's weights, fetched if need be, of the digest that is wanted if one is.

    Args:
        network: its name in the protocol.
        published: None for weights that nobody publishes: they must be named in `settings.files`.
        sha256: of the file, as the protocol pins it.

    Raises:
        Missing: it is nowhere, and cannot be fetched; the message says what to put where.
        InputError: a file that is there, with another digest.
    """
    wanted = sha256 or (published.sha256 if published else None)
    if network in settings.files:
        path = Path(settings.files[network]).expanduser()
        if not path.is_file():
            raise InputError(f"weights.files.{network}: {str(path)!r} is no file")
        return _checked(path, sha256, f"weights.files.{network}")
    if published is None:
        raise Missing(f"{network}: name its file with weights.files.{network}=<file>")
    for folder in settings.caches:
        for name in published.files:
            if (folder / name).is_file():
                return _checked(folder / name, wanted, network)
    try:
        found = _fetched(published, settings)
        return _checked(found, wanted or _hub_sha256(found), network)
    except _CannotFetch as error:
        raise Missing(_what_to_put_where(network, published, settings, wanted, error)) from None


def load_tensors(path: Path) -> Mapping[str, Tensor]:
    """The named tensors of a .safetensors file, a TorchScript archive, or what torch.save wrote.

    Raises:
        InputError: none of these, or pickled objects beside tensors.
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        if is_torchscript(path):
            return load_torchscript(path).state_dict()
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle, zipfile and safetensors each raise their own on damaged files
        raise InputError(f"{path}: cannot be read as weights: {error}") from None
    held = held.get("state_dict", held) if isinstance(held, Mapping) else held
    if not isinstance(held, Mapping) or not all(isinstance(item, torch.Tensor) for item in held.values()):
        raise InputError(f"{path}: holds no named tensors")
    return {name.removeprefix("module."): item for name, item in held.items()}


def load_torchscript(path: Path, device: str = "cpu") -> torch.jit.ScriptModule:
    """As torch reads it, without its advice to write such files no more."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*torch.jit")
        script: torch.jit.ScriptModule = torch.jit.load(path, map_location=device)
    return script


def is_torchscript(path: Path) -> bool:
    """Whether this is a TorchScript archive, which holds code beside its tensors."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.partition("/")[2].startswith("code/") for name in archive.namelist())


# ---------------------------------------------------------------------- fetching


class _CannotFetch(Exception):
    pass


def _fetched(published: PublishedWeights, settings: WeightsSettings) -> Path:
    if published.hub is not None:
        return _from_hub(*published.hub, download=settings.download)
    if published.url is None or not settings.download:
        raise _CannotFetch("downloads are off (weights.download)" if published.url else "it is not published")
    return _from_address(published.url, settings.cache / published.files[0], published.sha256)


def _from_address(url: str, path: Path, sha256: str | None) -> Path:
    """Fetched by one process; the others wait for it and find the file there."""
    from filelock import FileLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if not path.is_file():
                with (
                    replacing(path, durable=True) as own,
                    urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as source,
                    own.open("wb") as file,
                ):
                    shutil.copyfileobj(source, file, 1 << 20)
                    file.flush()
                    whole = source.headers.get("Content-Length")
                    if whole is not None and own.stat().st_size != int(whole):
                        raise _CannotFetch(
                            f"{url} ended after {own.stat().st_size:,} of {int(whole):,} bytes"
                        )
                    if sha256 is not None and (found := file_digest(own).hex()) != sha256:
                        raise _CannotFetch(f"what {url} sent has the SHA-256 {found}")
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        raise _CannotFetch(f"{url}: {getattr(error, 'reason', error)}") from None
    return path


def _from_hub(repository: str, names: tuple[str, ...], download: bool) -> Path:
    """From the Hub's own cache, which locks and replaces by itself, or fetched into it."""
    from huggingface_hub import hf_hub_download

    reasons, caches = [], hub_caches()
    local = [(place, True) for place in caches.looked_into]
    for place, local_only in [*local, (caches.filled, False)] if download else local:
        for name in names:
            try:
                return Path(hf_hub_download(repository, name, cache_dir=place, local_files_only=local_only))
            except Exception as error:  # the client's own, the transport's, the system's
                reasons.append(f"{type(error).__name__}")
    raise _CannotFetch(f"{repository}: {reasons[-1]}" + ("" if download else "; weights.download is off"))


def _hub_sha256(path: Path) -> str | None:
    """By which the Hub's cache names a large file that it holds; None where it names it otherwise."""
    name = path.resolve().name
    return name if re.fullmatch("[0-9a-f]{64}", name) else None


def _checked(path: Path, sha256: str | None, what: str) -> Path:
    if sha256 is not None and (found := file_digest(path).hex()) != sha256:
        raise InputError(
            f"{what}: {path} has the SHA-256 {found}, not {sha256}; it is another file, or damaged: delete "
            "it, or name the right one"
        )
    return path


def _what_to_put_where(
    network: str, published: PublishedWeights, settings: WeightsSettings, sha256: str | None, error: Exception
) -> str:
    source = published.url or (
        f"{' or '.join(published.hub[1])} of https://huggingface.co/{published.hub[0]}"
        if published.hub
        else "its file"
    )
    digest = f" (SHA-256 {sha256})" if sha256 else ""
    return (
        f"{network}: put {source}{digest} at {settings.cache / published.files[0]}"
        f"{''.join(f' (or {Path(name).suffix})' for name in published.files[1:2])}, or name a file with "
        f"weights.files.{network}=<file> ({error})"
    )
