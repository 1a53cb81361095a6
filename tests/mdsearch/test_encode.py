"""Latents and text features, made once and trained on as if they were made in every step."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from mdsearch.commands import train
from mdsearch.commands.encode import EncodeCommand, main, run
from mdsearch.train_command import command_of
from space.architecture import Architecture, Level
from space.shared.plain import InputError
from tests.training.conftest import tiny_autoencoder, tiny_clip
from tests.training.data.forms import image_bytes, shards, tar
from training.data.dataset import Dataset
from training.data.encoded import EncodedSettings
from training.data.encoded_files import shard_path
from training.data.factory import load_data
from training.data.stream import StreamSettings
from training.latents import LatentSettings, make_codec
from training.settings import TrainingSettings
from training.text import ClipTextEncoder, TextSettings
from training.trainer import Trainer

IMAGES = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captioned images in shards, an autoencoder and a CLIP, and what they were encoded to."""
    folder = tmp_path_factory.mktemp("encoded")
    letters = "abcdefghijklmnopqrstuvw"  # of which the tiny tokenizer knows each
    images = {f"{n:04}.png": [f"{letters[n]} {other}" for other in "xyz"] for n in range(IMAGES)}
    shards(folder / "data", images)
    tiny_autoencoder(folder / "vae", levels=2)
    tiny_clip(folder / "clip")
    run(command(folder), folder / "out")
    return folder


def command(folder: Path, **changes: Any) -> EncodeCommand:
    given = {"latents": LatentSettings("vae", folder=str(folder / "vae")), "shard_images": 6, "batch_size": 4}
    given |= {
        "text": TextSettings("clip", folder=str(folder / "clip")),
        "data": source(folder),
        "device": "cpu",
    }
    return EncodeCommand(out="", **(given | changes))


def source(folder: Path) -> StreamSettings:
    return StreamSettings(source=str(folder / "data"), image_size_px=16, cache_folder=str(folder / "cache"))


def encoded(folder: Path, out: str = "out", **changes: Any) -> Dataset:
    given = {"folder": str(folder / out), "image_size_px": 16, "cache_folder": str(folder / "cache")}
    return load_data(EncodedSettings(**(given | changes)))


def encoders(folder: Path) -> tuple[Any, ClipTextEncoder]:
    codec = make_codec(LatentSettings("vae", folder=str(folder / "vae")), torch.device("cpu"))
    return codec, ClipTextEncoder(str(folder / "clip"), 10, 16)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 2**-8), ("fp16", 2**-10)])
def test_what_is_stored_is_what_encoding_in_the_step_gives(
    precision: Any, tolerance: float, folder: Path, tmp_path: Path
) -> None:
    run(command(folder, precision=precision), tmp_path / "out")
    stored = encoded(folder, str(tmp_path / "out"), held_out_share=0.1, block_samples=5)
    stream = load_data(StreamSettings(**(vars(source(folder)) | {"held_out_share": 0.1})))
    codec, text = encoders(folder)
    images, captions = stream.held_out(range(2))
    found = stored.held_out_examples(range(2))
    expected = codec.encode(images), text.encode(captions)
    assert found.captions == captions and found.features is not None and found.empty is not None
    for mine, theirs in zip((found.inputs, found.features), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(found.empty, text.encode([""])[0], rtol=tolerance, atol=tolerance)


def test_an_epoch_shows_every_image_once_with_one_of_its_captions(folder: Path) -> None:
    data, (_, text) = encoded(folder), encoders(folder)
    examples = data.examples(range(data.train_images), seed=0)
    later = data.examples(range(data.train_images, 2 * data.train_images), seed=0)
    assert len({caption[0] for caption in examples.captions}) == data.train_images
    assert sorted(examples.captions) != sorted(later.captions)
    assert examples.features is not None
    torch.testing.assert_close(examples.features, text.encode(examples.captions), rtol=2**-7, atol=2**-7)
    tail = encoded(folder).examples(range(7, data.train_images), seed=0)
    assert torch.equal(tail.inputs, examples.inputs[7:]) and tail.captions == examples.captions[7:]


def test_shards_that_are_missing_are_made_again_and_others_left(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(command(folder), out) == IMAGES
    contents = {file.name: file.read_bytes() for file in sorted(out.glob("shard-*"))}
    assert list(contents) == [f"shard-{number:06}.safetensors" for number in range(4)]
    shard_path(out, 2).unlink()
    with pytest.raises(InputError, match=r"holds 3 of 4 shards; mdsearch encode"):
        encoded(folder, str(out))
    assert run(command(folder), out) == 6
    assert {file.name: file.read_bytes() for file in sorted(out.glob("shard-*"))} == contents


def test_another_encoding_in_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"of another precision \(bf16\) than this one \(fp16\)"):
        run(command(folder, precision="fp16"), folder / "out")
    left = tmp_path / "killed"  # as its encoding.json was to be written
    left.mkdir()
    for name in (".encoding.json.1234", "empty.safetensors"):
        (left / name).write_bytes(b"")
    assert run(command(folder), left) == IMAGES
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        run(command(folder), tmp_path)


def test_images_that_cannot_be_read_are_named_and_left_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = [
        (f"{n}{end}", content)
        for n in range(8)
        for end, content in ((".png", image_bytes(n)), (".txt", b"a"))
    ]
    members[4] = ("2.png", b"no image")
    tar(tmp_path / "0.tar", members)
    data = StreamSettings(
        source=str(tmp_path / "0.tar"), image_size_px=16, cache_folder=str(tmp_path / "cache")
    )
    assert run(command(folder, data=data), tmp_path / "out") == 7
    assert "unreadable: 0.tar/2.png" in capsys.readouterr().err
    found = encoded(folder, str(tmp_path / "out"))
    assert found.train_images + len(found.held_out_captions) == 7


@pytest.mark.parametrize("coordinates", ["false", "true"])
def test_the_command_that_is_printed_trains(
    coordinates: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names what the network has to have: without, training refuses the latents."""
    given = {
        "data.source": folder / "data",
        "data.image_size_px": 16,
        "data.cache_folder": tmp_path / "cache",
        "latents.coordinates": coordinates,
    }
    given |= {"latents.folder": folder / "vae", "text.folder": folder / "clip", "device": "cpu"}
    assert main([f"{name}={value}" for name, value in given.items()] + [f"out={tmp_path / 'my out'}"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "mdsearch train" in line)
    _, _, *words = shlex.split(line.partition(": ")[2])
    command, _ = command_of(words)
    assert isinstance(command.data, EncodedSettings) and command.data.folder == str(tmp_path / "my out")
    data = encoded(folder, str(tmp_path / "my out"))
    architecture = command.narrowed(command.all_stages()[0])
    assert Trainer(architecture, data, command.training, seed=0).validation_loss() > 0
    assert train.main([*words, "dry_run=true"]) == 0
    others = [word for word in words if not word.startswith("proxy.latent_channels=")]
    assert train.main([*others, "proxy.latent_channels=8", "dry_run=true"]) == 1
    assert "refused    latent_channels: the architecture has 8" in capsys.readouterr().out


def architecture() -> Architecture:
    """8x8x4 latents of 16 px images, 10 x 16 context."""
    levels = (
        Level(8, "full", (0,), (0, 0)),
        Level(16, "separable", (1,), (1, 0), self_attention=True, cross_attention=True),
    )
    sizes = {"latent_channels": 4, "latent_size": 8, "context_length": 10, "context_width": 16}
    return Architecture(levels, head_width=None, heads=2, norm_groups=4, time_width=16, **sizes)


def settings(folder: Path, **changes: Any) -> TrainingSettings:
    given: dict[str, Any] = {"steps": 4, "batch_size": 4, "warmup_steps": 1, "caption_dropout": 0.5}
    given |= {"validation_images": 2, "sampling_steps": 2, "device": "cpu"}
    given |= {"latents": LatentSettings("vae", folder=str(folder / "vae"))}
    given |= {"text": TextSettings("clip", folder=str(folder / "clip"))}
    return TrainingSettings(**(given | changes))


def test_a_training_sees_the_same_either_way(folder: Path, tmp_path: Path) -> None:
    """The same images, captions, dropped captions and noise in the same order: of fp32, losses are equal."""
    run(command(folder, precision="fp32", shard_images=3), tmp_path / "out")  # as in the shards of images
    losses: list[list[float]] = []
    for data in (
        load_data(StreamSettings(**(vars(source(folder)) | {"block_samples": 8}))),
        encoded(folder, str(tmp_path / "out"), block_samples=8),
    ):
        trainer = Trainer(architecture(), data, settings(folder), seed=0)
        losses.append([])
        trainer.train_to(4, lambda step, loss: losses[-1].append(loss))
        losses[-1].append(trainer.validation_loss())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_other_encoders_than_those_of_the_training_are_refused(folder: Path, tmp_path: Path) -> None:
    data = encoded(folder)
    torch.manual_seed(5)
    other = tmp_path / "vae"
    tiny_autoencoder(other, levels=2)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"scaling_factor": 0.25}))
    with pytest.raises(
        InputError, match=r"another latents\.folder .* needed: the same, or mdsearch encode again"
    ):
        Trainer(
            architecture(), data, settings(folder, latents=LatentSettings("vae", folder=str(other))), seed=0
        )


def test_what_needs_images_is_refused(folder: Path) -> None:
    data = encoded(folder)
    for ask in (data.train, data.held_out, data.one_caption_each):
        with pytest.raises(InputError, match=r"holds latents, and images are asked for"):
            ask([0])
    with pytest.raises(InputError, match=r"image_size_px: 24, but .* encoded from images of 16; needed: 16"):
        encoded(folder, image_size_px=24)
    with pytest.raises(InputError, match=r"holds no encoding\.json"):
        encoded(folder, "data")


def test_a_torn_shard_of_latents_is_named(folder: Path, tmp_path: Path) -> None:
    run(command(folder), tmp_path / "out")
    torn = shard_path(tmp_path / "out", 1)
    torn.write_bytes(torn.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"shard-000001\.safetensors: is torn .*; deleted, mdsearch encode"):
        encoded(folder, str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["text.encoder=small"], r"text\.encoder: 'small' learns with the network"),
        (["latents.codec=space_to_depth"], r"latents\.codec: 'space_to_depth' takes no time"),
        (["latents.folder=null"], r"latents.folder: missing"),
        (["data.image_size_px=17"], r"data\.image_size_px: 17 is no multiple of 2, .*nearest: 16"),
        (["precision=int8"], r"precision: 'int8' is not a choice"),
        (["shard_images=0"], r"shard_images: 0"),
    ],
)
def test_what_cannot_be_is_said_with_its_field(
    words: list[str], message: str, folder: Path, tmp_path: Path
) -> None:
    given = [
        f"data.source={folder / 'data'}",
        f"latents.folder={folder / 'vae'}",
        f"text.folder={folder / 'clip'}",
        f"out={tmp_path / 'out'}",
        "data.image_size_px=16",
    ]
    with pytest.raises(InputError, match=message):
        main([*(word for word in given if word.partition("=")[0] != words[0].partition("=")[0]), *words])


def test_the_command_says_how_many_a_second(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        f"data.source={folder / 'data'}",
        f"latents.folder={folder / 'vae'}",
        f"text.folder={folder / 'clip'}",
    ]
    given += [f"out={tmp_path / 'out'}", "data.image_size_px=16", f"data.cache_folder={folder / 'cache'}"]
    assert main([*given, "device=cpu"]) == 0
    assert f"encoded {IMAGES} images in " in (out := capsys.readouterr().out) and " images a second: " in out
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mdsearch.commands.encode.run", lambda *arguments: torch.empty(2**55))
        with pytest.raises(InputError, match=r"batch_size: 16 images do not fit in memory .* a smaller one"):
            main([*given, "device=cpu"])
