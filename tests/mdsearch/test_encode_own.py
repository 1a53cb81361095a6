"""A network on the latents of an autoencoder that was trained here, at full shape: 64x64x8 of 512 px."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mdsearch.commands import convert
from mdsearch.commands.encode import EncodeCommand, run, spread_lines
from space.autoencoder import Autoencoder, ImageLevel, ImageMiddle, Way
from space.interchange.autoencoder_files import StoredAutoencoder, read_autoencoder
from space.shared.plain import InputError
from tests.training.conftest import tiny_clip
from tests.training.data.forms import shards
from tests.training.examples import TINY, changed_json
from training.autoencoder import AutoencoderTrainer
from training.data.dataset import Dataset
from training.data.encoded import EncodedSettings
from training.data.encoded_files import ENCODING_NAME, LATENTS_TENSOR
from training.data.factory import load_data
from training.data.scenes import ScenesSettings
from training.data.stream import StreamSettings
from training.encoders import check_encoders
from training.frozen_folders import folder_digests
from training.initial import begin_with
from training.latents import LatentSettings, latent_space, make_codec
from training.model import load_model
from training.objectives.reconstruction import ReconstructionSettings
from training.settings import TrainingSettings
from training.text import TextSettings
from training.trainer import Trainer

CPU = torch.device("cpu")
PIXELS, IMAGES = 512, 6
BARE = ImageMiddle(attention=False)  # attention would be over all of a large image's latents
PLAIN = Way((ImageLevel(4, 1, "plain"),) * 4)
WHOLE = Autoencoder(
    Way((ImageLevel(4, 1),) * 4, BARE, norm_groups=4),
    Way((ImageLevel(4, 2),) * 4, BARE, norm_groups=4),
    latent_channels=8,
    image_size=16,
)
LIGHT = replace(WHOLE, decoder=PLAIN)  # which diffusers' class has no layout for
SHORT = ReconstructionSettings(
    steps=1, batch_size=4, warmup_steps=0, validation_images=4, device="cpu", perceptual=0
)
FULL_SHAPE = replace(TINY, latent_channels=8, latent_size=64, context_length=10)


def trained(
    folder: Path, a: Autoencoder, data: Dataset, start: StoredAutoencoder | None = None, seed: int = 3
) -> Path:
    own = replace(SHORT, decoder_only=start is not None)
    AutoencoderTrainer(a, data, own, seed=seed, start=start).save_weights(folder)
    return folder


@pytest.fixture(scope="module")
def scenes() -> Dataset:
    return load_data(ScenesSettings(scenes=720, image_size_px=16))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, scenes: Dataset) -> Path:
    """Captioned images, a CLIP, an autoencoder, another decoder for its encoder, and latents."""
    folder = tmp_path_factory.mktemp("own")
    shards(folder / "data", {f"{n:04}.png": [f"{letter} x"] for n, letter in enumerate("abcdef")})
    tiny_clip(folder / "clip")
    trained(folder / "whole", WHOLE, scenes)
    trained(folder / "light", LIGHT, scenes, read_autoencoder(folder / "whole"))
    run(command(folder, folder / "whole"), folder / "out")
    return folder


def command(folder: Path, latents: Path) -> EncodeCommand:
    return EncodeCommand(
        data=stream(folder),
        latents=LatentSettings("vae", folder=str(latents)),
        text=TextSettings("clip", folder=str(folder / "clip")),
        out="",
        shard_images=3,
        batch_size=4,
        precision="fp32",
        device="cpu",
    )


def stream(folder: Path, **changes: Any) -> StreamSettings:
    given = {"source": str(folder / "data"), "image_size_px": PIXELS, "cache_folder": str(folder / "cache")}
    return StreamSettings(**(given | changes))


def encoded(folder: Path, out: Path | None = None) -> Dataset:
    place = str(out or folder / "out")
    cache = str(folder / "cache")
    return load_data(EncodedSettings(folder=place, image_size_px=PIXELS, cache_folder=cache, block_samples=8))


def settings(folder: Path, latents: Path) -> TrainingSettings:
    return TrainingSettings(
        steps=2,
        batch_size=2,
        warmup_steps=1,
        validation_images=1,
        sampling_steps=1,
        device="cpu",
        latents=LatentSettings("vae", folder=str(latents)),
        text=TextSettings("clip", folder=str(folder / "clip")),
    )


def changed(folder: Path, copy: Path, **changes: object) -> Path:
    shutil.copytree(folder / "whole", copy)
    changed_json(copy / "config.json", **changes)
    return copy


def test_a_network_learns_latents_of_8x64x64_as_if_made_in_the_step(folder: Path, tmp_path: Path) -> None:
    """With either decoder, since its latents are the encoder's; and it generates by the one that it names."""
    data, losses = encoded(folder), list[float]()
    assert data.examples(range(2), seed=0).inputs.shape == (2, 8, 64, 64)
    sources = (load_data(stream(folder, block_samples=8)), "whole"), (data, "whole"), (data, "light")
    for source, name in sources:
        trainer = Trainer(FULL_SHAPE, source, settings(folder, folder / name), seed=0)
        assert trainer.averaged.latent_shape == (8, 64, 64)
        trainer.train_to(1, lambda step, loss: losses.append(loss))
    assert losses[1] == losses[2] == pytest.approx(losses[0], rel=1e-4)
    assert trainer.generate(["a x"], seed=0).shape == (1, PIXELS, PIXELS, 3)
    trainer.save_weights(tmp_path)
    space = json.loads((tmp_path / "model.json").read_text())["latent_space"]
    assert space == latent_space(make_codec(LatentSettings("vae", folder=str(folder / "whole")), CPU))
    assert (space["channels"], space["factor"]) == (8, 8)


def test_the_encoder_is_known_in_either_form(folder: Path) -> None:
    whole, light = (
        make_codec(LatentSettings("vae", folder=str(folder / name)), CPU) for name in ("whole", "light")
    )
    assert json.loads((folder / "whole" / "config.json").read_text())["_class_name"] == "AutoencoderKL"
    assert json.loads((folder / "light" / "config.json").read_text())["_class_name"] == "PipelineAutoencoder"
    assert latent_space(whole) == latent_space(light) is not None
    images = torch.rand(1, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(whole.encode(images), light.encode(images))
    assert latent_space(make_codec(LatentSettings(), CPU)) is None


def refusal(folder: Path, latents: Path, data: Dataset | None = None) -> str:
    own = settings(folder, latents)
    with pytest.raises(InputError) as caught:
        check_encoders(data or encoded(folder), folder_digests(own), make_codec(own.latents, CPU))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_scale_shift_or_encoder_is_refused_by_name(
    folder: Path, scenes: Dataset, tmp_path: Path
) -> None:
    scale = json.loads((folder / "whole" / "config.json").read_text())["scaling_factor"]
    four = replace(WHOLE, latent_channels=4)
    shallow = Autoencoder(
        replace(WHOLE.encoder, levels=WHOLE.encoder.levels[1:]),
        replace(WHOLE.decoder, levels=WHOLE.decoder.levels[1:]),
        latent_channels=8,
        image_size=16,
    )
    for other, said in (
        (
            changed(folder, tmp_path / "scale", scaling_factor=2 * scale),
            f"scaling_factor {scale}, and {2 * scale}",
        ),
        (changed(folder, tmp_path / "shift", shift_factor=0.5), "shift_factor 0.0, and 0.5 now"),
        (
            changed(folder, tmp_path / "mean", latents_mean=[0.0] * 8, latents_std=[2.0] * 8),
            "latents_std None, and",
        ),
        (changed(folder, tmp_path / "groups", norm_num_groups=2), "(encoder "),
        (trained(tmp_path / "seed", WHOLE, scenes, seed=4), "encoder "),
        (trained(tmp_path / "four", four, scenes), "channels 8, and 4 now"),
        (trained(tmp_path / "shallow", shallow, scenes), "factor 8, and 4 now"),
    ):
        found = refusal(folder, other)
        assert said in found and found.startswith("data: was encoded with another latents.folder than ")
        assert found.endswith("needed: the same, or mdsearch encode again")


def test_an_encoding_of_before_is_known_by_its_folders_alone(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "out", tmp_path / "out")
    plain = json.loads((tmp_path / "out" / ENCODING_NAME).read_text())
    assert plain.pop("latents")["channels"] == 8
    (tmp_path / "out" / ENCODING_NAME).write_text(json.dumps(plain))
    before = encoded(folder, tmp_path / "out")
    assert before.digest == encoded(folder).digest and before.latent_space is None
    assert f"({plain['encoders']['latents.folder']}, and " in refusal(folder, folder / "light", before)
    own = settings(folder, folder / "whole")
    check_encoders(before, folder_digests(own), make_codec(own.latents, CPU))
    assert run(command(folder, folder / "whole"), tmp_path / "out") == 0  # and is gone on with


def test_a_model_is_refused_where_its_autoencoder_has_changed(folder: Path, tmp_path: Path) -> None:
    """Trained further in its folder, say: images would come out wrong, and nothing would say so."""
    data, place = encoded(folder), changed(folder, tmp_path / "ae")
    trainer = Trainer(FULL_SHAPE, data, settings(folder, place), seed=0)
    trainer.save_weights(tmp_path / "model")
    load_model(tmp_path / "model", "cpu")
    other = Trainer(
        FULL_SHAPE,
        load_data(stream(folder)),
        settings(folder, changed(folder, tmp_path / "other", shift_factor=0.5)),
        seed=0,
    )
    with pytest.raises(
        InputError, match=r"^init_from: .*model was trained on other latents: shift_factor 0\.0"
    ):
        begin_with(other, tmp_path / "model")
    assert convert.main([f"model={tmp_path / 'model'}", "to=mdsearch", f"out={tmp_path / 'copy'}"]) == 0
    changed_json(place / "config.json", scaling_factor=123.0)
    for name in ("model", "copy"):
        said = rf"^latents\.folder: not as .*{name}' .*: scaling_factor .*, and 123\.0 now"
        with pytest.raises(InputError, match=said):
            load_model(tmp_path / name, "cpu")
        with pytest.raises(InputError, match=said):
            convert.main([f"model={tmp_path / name}", "to=pipeline_unet", f"out={tmp_path / 'pipeline'}"])
    assert not (tmp_path / "pipeline").exists()


def test_the_spread_of_latents_is_said(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    latents = load_file(folder / "out" / "shard-000000.safetensors")[LATENTS_TENSOR].double()
    mean, deviation = latents.mean().item(), latents.std(correction=0).item()
    assert (
        spread_lines(folder / "out")[0] == f"latents of 3 images: mean {mean:.3g}, deviation {deviation:.3g}"
    )
    far = changed(folder, tmp_path / "far", scaling_factor=1e4)
    run(command(folder, far), tmp_path / "out")
    _, warning = spread_lines(tmp_path / "out")
    assert warning.startswith("warning: ") and "scaling_factor" in warning


def test_an_own_class_that_says_no_scale_is_refused(folder: Path, tmp_path: Path) -> None:
    """Its constructor would take 1."""
    shutil.copytree(folder / "light", tmp_path / "light")
    file = tmp_path / "light" / "config.json"
    config = json.loads(file.read_text())
    del config["scaling_factor"]
    file.write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"latents\.folder: .* has scaling_factor = None; needed: a number"):
        make_codec(LatentSettings("vae", folder=str(tmp_path / "light")), CPU)
