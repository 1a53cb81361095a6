"""A whole search on latents and text features that were encoded ahead, scored by decoded images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mdsearch.api import settings_of as search_settings
from mdsearch.commands.encode import EncodeCommand, run
from search.checks import check
from search.plan import search_plan
from search.run import execute
from search.runs.record import read_history
from search.scoring.evaluator import decoded_note
from search.scoring.inputs import as_uint8
from search.settings import SearchSettings
from space.shared.plain import InputError
from tests.training.conftest import tiny_autoencoder, tiny_clip
from tests.training.data.forms import shards
from training.data.encoded import EncodedSettings
from training.data.factory import load_data
from training.data.stream import StreamSettings
from training.latents import LatentSettings, make_codec
from training.text import TextSettings

IMAGES = 20
FEW = (
    "evaluators.images=4", "evaluators.clip.steps=1", "evaluators.clip.batch_size=4", "trials=1",
    "rungs=[1,2]", "backend=inline", "stopping=none", "confirmation=none", "enqueue=[md_lite]",
    "recorded=false",
    "training.batch_size=2", "training.sampling_steps=1", "training.validation_images=2",
    "training.device=cpu",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captioned images in shards, an autoencoder and a CLIP, and what they were encoded to."""
    folder = tmp_path_factory.mktemp("encoded")
    letters = "abcdefghijklmnopqrstuvw"
    shards(folder / "data", {f"{n:04}.png": [f"{letters[n]} x"] for n in range(IMAGES)})
    tiny_autoencoder(folder / "vae", levels=2)
    tiny_clip(folder / "clip")
    config = (tiny_autoencoder(folder / "other", levels=2) / "config.json").read_text()
    (folder / "other" / "config.json").write_text(config.replace("0.25", "0.125"))
    command = EncodeCommand(
        data=StreamSettings(source=str(folder / "data"), image_size_px=16, cache_folder=str(folder / "c")),
        latents=LatentSettings("vae", folder=str(folder / "vae")),
        text=TextSettings("clip", folder=str(folder / "clip")),
        out="",
        precision="fp32",
        device="cpu",
    )
    run(command, folder / "out")
    return folder


def words(folder: Path, *changes: str) -> list[str]:
    """Of a search on what was encoded; changes win."""
    given = [
        "data=encoded", f"data.folder={folder / 'out'}", "data.image_size_px=16", "data.held_out_share=0.3",
        f"data.cache_folder={folder / 'c'}", "training.latents.codec=vae",
        f"training.latents.folder={folder / 'vae'}", "training.latents.coordinates=false",
        "training.text.encoder=clip", f"training.text.folder={folder / 'clip'}", "proxy.latent_channels=4",
        "proxy.latent_size=8", "proxy.context_length=10", "proxy.context_width=16",
        f"runs_folder={folder / 'runs'}", f"cache_folder={folder / 'cache'}", *FEW,
    ]  # fmt: skip
    named = {word.partition("=")[0] for word in changes}
    return [*(word for word in given if word.partition("=")[0] not in named), *changes]


def settings_of(folder: Path, *changes: str) -> SearchSettings:
    return search_settings(words(folder, *changes))[0]


def test_a_search_trains_on_latents_and_scores_decoded_images(folder: Path) -> None:
    result = execute(settings_of(folder, "name=whole"), words(folder, "name=whole"))
    (trial,) = read_history(result.folder).trials
    assert trial.state == "complete"
    assert all(np.isfinite(trial.score(name)) for name in ("fid_embedded_clip", "clip_embedded"))
    assert (result.folder / "evaluator" / "real.png").is_file()


def test_real_images_are_held_out_latents_decoded(folder: Path) -> None:
    """By the autoencoder that made them: of fp32 latents, what it makes of the images themselves."""
    settings = settings_of(folder)
    data = check(settings)
    assert isinstance(settings.data, EncodedSettings)
    images, captions = data.held_out([2, 0])
    stream = load_data(
        StreamSettings(
            source=str(folder / "data"), image_size_px=16, held_out_share=0.3, cache_folder=str(folder / "c")
        )
    )
    real, same = stream.held_out([2, 0])
    codec = make_codec(settings.training.latents, torch.device("cpu"))
    assert captions == same
    torch.testing.assert_close(images, codec.decode(codec.encode(real)), rtol=1e-4, atol=1e-4)
    assert as_uint8((images, captions))[0].shape == (2, 16, 16, 3)
    shown, texts = data.one_caption_each([3])
    torch.testing.assert_close(data.train([3])[0], shown)
    assert texts == [data.train_captions[3]]
    (note,) = decoded_note(settings, data)
    assert "held-out latents, decoded" in note


def test_a_plan_of_it_refuses_nothing(folder: Path) -> None:
    plan = search_plan(settings_of(folder, "dry_run=true"))
    assert plan.refused == []
    assert (
        plan.figures["disk_bytes"]["latents"] == (folder / "out" / "shard-000000.safetensors").stat().st_size
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.latents.folder={folder}/nowhere", r"latents\.folder: .*nowhere' holds no config\.json"),
        ("training.text.folder={folder}/nowhere", r"text\.folder: .*nowhere' holds no config\.json"),
        ("training.latents.folder={folder}/other", r"encoded with another latents\.folder .* encode again"),
        ("training.text.encoder=small", r"encoded with another text\.folder .*none"),
        ("proxy.latent_channels=8", r"latent_channels: .* needed: proxy\.latent_channels=4"),
        ("proxy.latent_size=4", r"image_size_px: 16 makes latents 8 pixels a side"),
        ("proxy.context_width=32", r"needed, .*context_length=10 context_width=16"),
        ("data.image_size_px=32", r"data\.image_size_px: 32, but .* images of 16"),
        ("data.folder={folder}/data", r"data\.folder: .* holds no encoding\.json"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_before_anything_starts(
    change: str, said: str, folder: Path
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        execute(settings_of(folder, change.format(folder=folder), "name=never"))
    assert "\n" not in str(caught.value) and not (folder / "runs" / "never").exists()


def test_a_search_takes_a_stream_of_images(folder: Path) -> None:
    given = [word for word in words(folder) if not word.startswith("data.folder=")]
    given = [word.replace("data=encoded", "data=stream") for word in given]
    given += [f"data.source={folder / 'data'}", "name=stream"]
    result = execute(search_settings(given)[0], given)
    (trial,) = read_history(result.folder).trials
    assert trial.state == "complete" and np.isfinite(trial.score("fid_embedded_clip"))
