"""The commands of docs/own-setup.md, on a small likeness of what that page brings along."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mdsearch.__main__ import main
from space.architecture import Architecture
from space.shared.plain import InputError
from tests.mdsearch.own_setup import write_images, write_text_encoder
from tests.test_docs import commands
from tests.training.conftest import tiny_autoencoder

PAGE = Path(__file__).parents[2] / "docs" / "own-setup.md"
SMALLER = {  # what stands in place of the page's words
    "minutes": "0.0001",  # the cheapest proxy alone is measured
    "image_size_px": "64",
    "data.image_size_px": "64",
}
SHORT = (
    "trials=2", "rungs=[1,2]", "confirmation=none", "stopping=none", "backend=inline", "evaluators.images=8",
    "evaluators.clip.steps=3", "training.batch_size=2", "training.sampling_steps=2", "cache_folder=cache",
    "training.validation_images=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own setup")
    write_images(folder / "photos")
    write_text_encoder(folder / "text_encoder", width=1024)
    tiny_autoencoder(folder / "vae", levels=4)
    for block in re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL):
        (folder / block.splitlines()[0].removeprefix("# ")).write_text(block)
    return folder


@pytest.fixture(autouse=True)
def in_its_folder(brought: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    monkeypatch.chdir(brought)
    yield
    torch.set_num_threads(threads)


def words_of(command: str, *more: str) -> list[str]:
    """Those of the page's command, smaller; further words in place of its own."""
    (words,) = [words for words in commands(PAGE.read_text()) if words[0] == command]
    given = [word.partition("=")[0] for word in more]
    kept = [word.partition("=") for word in words if word.partition("=")[0] not in given]
    return [f"{name}{equals}{SMALLER.get(name, value)}" for name, equals, value in kept] + list(more)


@pytest.fixture(scope="module")
def proposed(brought: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(brought)
        assert main(words_of("proxy")) == 0
    return brought / "small.yaml"


def test_a_proxy_and_a_plan_are_made_of_it(proposed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words_of("search", "dry_run=true")) == 0
    plan = capsys.readouterr().out
    assert "150 M parameters, 95 GMACs" in plan and "fid_embedded_clip" in plan
    assert (share := re.search(r"feasible +([\d.]+)%", plan)) and 5 < float(share[1]) < 95


def test_what_does_not_fit_is_refused_with_what_is_needed(proposed: Path) -> None:
    for words, needed in (
        (["data.image_size_px=768"], "needed: data.image_size_px=64"),
        (["space.base.context_width=768"], "context_width=1024"),
        (["training.latents.codec=space_to_depth"], "needed: proxy.latent_channels=12"),
        (["confirmation.references=[md]"], "references: md: "),
    ):
        with pytest.raises(InputError, match=re.escape(needed)):
            main(words_of("search", *words, "dry_run=true"))


@pytest.mark.slow  # a search and a training of their own: 20 s
def test_its_search_runs_and_its_winner_is_trained(proposed: Path, brought: Path) -> None:
    assert main(words_of("search", *SHORT)) == 0
    record = [json.loads(line) for line in (brought / "runs/phone/record.jsonl").read_text().splitlines()]
    assert sum(event.get("state") == "complete" for event in record) == 2
    best = Architecture.load(brought / "runs/phone/best.yaml")
    assert (best.latent_channels, best.latent_size, best.context_width) == (4, 96, 1024)
    small = ("proxy=./small.yaml", "training.steps=1", "training.batch_size=2", "images=1", "out=trained")
    assert main(words_of("train", *small)) == 0
    assert (brought / "trained" / "unet.safetensors").is_file()
