"""Frozen encoders by their address on the Hub: out of its cache, or fetched, no more than is read."""

from __future__ import annotations

import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch

from space.shared.plain import InputError
from tests.training.conftest import tiny_autoencoder, tiny_clip
from training import hub
from training.frozen_folders import LATENTS_FOLDER, TEXT_FOLDER, frozen_digest
from training.latents import LatentSettings, make_codec
from training.text import ClipTextEncoder

COMMIT = "0123456789" * 4
NEEDLESS = (
    "README.md", "tf_model.h5", "pytorch_model.bin", "preprocessor_config.json", "model.fp16.safetensors",
)  # fmt: skip


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As Stable Diffusion's: an autoencoder and a text encoder with its tokenizer beside, and much else."""
    folder = tmp_path_factory.mktemp("repository")
    tiny_autoencoder(folder / "vae", levels=2)
    tiny_clip(folder / "text_encoder")
    (folder / "tokenizer").mkdir()
    for file in (folder / "text_encoder").iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            file.rename(folder / "tokenizer" / file.name)
    for name in NEEDLESS:
        (folder / "text_encoder" / name).write_text("{}")
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the client keeps someone/sd, nothing of which is there yet; nobody is reached."""
    hub.fetched.cache_clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.snapshot_download", away)
    return tmp_path / "hub" / "models--someone--sd"


def away(*_: object, **__: object) -> str:
    raise ConnectionError("no route\nto the Hub")


def put(repository: Path, cache: Path, *patterns: str) -> Path:
    """As the client lays it out: a snapshot by its commit, which the name of the branch leads to."""
    snapshot = cache / "snapshots" / COMMIT
    for file in filter(Path.is_file, repository.rglob("*")):
        if any(fnmatch(name := file.relative_to(repository).as_posix(), pattern) for pattern in patterns):
            (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, snapshot / name)
    (cache / "refs").mkdir(exist_ok=True)
    (cache / "refs" / "main").write_text(COMMIT)
    return snapshot


def both(vae: str, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    codec = make_codec(LatentSettings("vae", folder=vae), torch.device("cpu"))
    images = torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)
    return codec.encode(images), ClipTextEncoder(text, 10, 16).encode(["a b", "c"])


def test_what_the_cache_holds_is_used_and_nobody_is_asked(repository: Path, cache: Path) -> None:
    put(repository, cache, "*")
    for address in ("hf://someone/sd", f"hf://someone/sd@{COMMIT}", "hf://someone/sd@main"):
        found = both(f"{address}/vae", f"{address}/text_encoder/")
        expected = both(str(repository / "vae"), str(repository / "text_encoder"))
        assert all(map(torch.equal, found, expected))


def test_what_is_not_there_is_fetched_and_no_more_than_is_read(
    repository: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache has the weights alone, by another program, without a tokenizer."""
    put(repository, cache, "text_encoder/config.json", "text_encoder/model.safetensors")
    asked: list[tuple[str, str | None]] = []

    def fetch(name: str, *, revision: str | None, cache_dir: Any, allow_patterns: list[str]) -> str:
        asked.append((name, revision))
        return str(put(repository, cache, *allow_patterns))

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    vae, text = "hf://someone/sd/vae", "hf://someone/sd@main/text_encoder"
    expected = both(str(repository / "vae"), str(repository / "text_encoder"))
    assert all(map(torch.equal, both(vae, text), expected))
    assert sorted(asked, key=str) == [("someone/sd", "main"), ("someone/sd", None)]
    there = {file.name for file in (cache / "snapshots" / COMMIT / "text_encoder").iterdir()}
    assert there == {"config.json", "model.safetensors"}
    both(vae, text)
    assert len(asked) == 2


def test_the_digest_is_that_of_the_same_folder_here_whatever_else_was_fetched(
    repository: Path, cache: Path, tmp_path: Path
) -> None:
    put(repository, cache, "*")
    here = tmp_path / "here"
    shutil.copytree(repository, here)
    for name in NEEDLESS:
        (here / "text_encoder" / name).unlink()
    for field, name in ((LATENTS_FOLDER, "vae"), (TEXT_FOLDER, "text_encoder")):
        assert frozen_digest(field, f"hf://someone/sd/{name}") == frozen_digest(field, str(here / name))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://someone", r"'hf://someone' is no address of a model; needed: hf://<owner>/<name>"),
        ("hf://someone/sd/vae", r"cannot be fetched from the Hub \(ConnectionError: no route to the Hub\)"),
    ],
)
def test_what_cannot_be_had_is_refused_in_a_line(cache: Path, address: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^latents.folder: .*{message}") as caught:
        make_codec(LatentSettings("vae", folder=address), torch.device("cpu"))
    assert "\n" not in str(caught.value)


def test_a_repository_without_a_model_at_its_root_says_where_some_are(
    repository: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download",
        lambda *_, allow_patterns, **__: str(put(repository, cache, *allow_patterns)),
    )
    with pytest.raises(InputError, match=r"holds no config\.json .*; its folders text_encoder, vae hold one"):
        make_codec(LatentSettings("vae", folder="hf://someone/sd"), torch.device("cpu"))
