"""An autoencoder in training: exact when resumed, its encoder left alone if asked, measured when kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from space.architecture import Architecture
from space.autoencoder import Autoencoder, ImageLevel, ImageMiddle, Way
from space.interchange.autoencoder_files import read_autoencoder
from space.shared.plain import InputError
from tests.training.examples import load, save
from training.autoencoder import AutoencoderTrainer, largest_activation, measure_latents, reconstructed
from training.data.dataset import Dataset
from training.failures import Diverged
from training.latents import LatentSettings, make_codec
from training.objectives.discriminator import ADVERSARIAL_LOSSES, AdversarialSettings
from training.objectives.reconstruction import ReconstructionObjective, ReconstructionSettings
from training.settings import TrainingSettings
from training.trainer import Trainer

TINY = Autoencoder(
    Way((ImageLevel(8, 1), ImageLevel(8, 1)), ImageMiddle(), norm_groups=4),
    Way((ImageLevel(8, 2), ImageLevel(8, 2)), ImageMiddle(), norm_groups=4),
    latent_channels=2,
    image_size=16,
)
LIGHT = replace(TINY, decoder=Way((ImageLevel(4, 1, "plain"), ImageLevel(4, 1, "plain"))))
JUDGED = AdversarialSettings("hinge", from_step=2, width=4, layers=1)
SETTINGS = ReconstructionSettings(
    steps=4, batch_size=4, warmup_steps=0, validation_images=8, device="cpu", perceptual=0
)


def trainer(data: Dataset, a: Autoencoder = TINY, start: Any = None, **changes: Any) -> AutoencoderTrainer:
    return AutoencoderTrainer(a, data, replace(SETTINGS, **changes), seed=3, start=start)


def all_weights(made: AutoencoderTrainer) -> list[Tensor]:
    modules = [part.module for part in made.objective.parts.values()]
    return [p.detach().clone() for module in (*modules, made.averaged) for p in module.parameters()]


def test_resumed_it_is_the_same_to_the_last_bit(scenes: Dataset, tmp_path: Path) -> None:
    whole = trainer(scenes, adversarial=JUDGED)
    whole.train_to(4)
    first, second = trainer(scenes, adversarial=JUDGED), trainer(scenes, adversarial=JUDGED)
    first.train_to(3)
    save(first, tmp_path)  # type: ignore[arg-type]
    load(second, tmp_path)  # type: ignore[arg-type]
    second.train_to(4)
    assert all(
        torch.equal(one, other) for one, other in zip(all_weights(whole), all_weights(second), strict=True)
    )
    with pytest.raises(InputError, match="is of another seed"):
        load(AutoencoderTrainer(TINY, scenes, replace(SETTINGS, adversarial=JUDGED), seed=4), tmp_path)  # type: ignore[arg-type]


def test_the_discriminator_waits_for_its_step(scenes: Dataset) -> None:
    made = trainer(scenes, adversarial=JUDGED)
    assert [made.objective.turns(step) for step in (1, 2)] == [
        ("autoencoder",),
        ("autoencoder", "discriminator"),
    ]
    before = [p.clone() for p in made.objective.parts["discriminator"].module.parameters()]
    made.train_to(2)
    after = list(made.objective.parts["discriminator"].module.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert made.objective.terms().keys() == {"distance", "divergence"}
    made.train_to(3)
    assert not all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    judged = {"adversarial", "adversarial_weight", "discriminator"}
    assert made.objective.terms().keys() == {"distance", "divergence"} | judged


def test_the_loss_by_hand(scenes: Dataset) -> None:
    made = trainer(scenes, kl=0.5, pixel="l1")
    objective = made.objective
    batch = objective.batch(0)
    posterior = objective.model.encode(batch.images)
    given = objective.model.decode(posterior.sample(batch.noise))
    divergence = posterior.kl().mean() / (3 * 16 * 16)
    expected = (given - batch.images).abs().mean() + 0.5 * divergence
    torch.testing.assert_close(objective.loss("autoencoder", batch), expected)


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_adversarial_term_by_hand(scenes: Dataset, adaptive: bool) -> None:
    judged = replace(JUDGED, kind="non_saturating", weight=0.3, adaptive=adaptive)
    objective = trainer(scenes, adversarial=judged, kl=0).objective
    assert isinstance(objective, ReconstructionObjective)
    batch, last = objective.batch(0), objective.model.decoder.last_weight

    def terms() -> tuple[Tensor, Tensor]:
        given = objective.model.decode(objective.model.encode(batch.images).sample(batch.noise))
        logits = objective.discriminator(given)
        return (given - batch.images).square().mean(), (1 + (-logits).exp()).log().mean()

    error, against = (torch.autograd.grad(terms()[n], last)[0].norm() for n in range(2))
    weight = 0.3 * (error / (against + 1e-4) if adaptive else 1)
    objective.turns(2)
    pixel, term = terms()
    torch.testing.assert_close(objective.loss("autoencoder", batch), pixel + weight * term)


def test_losses_of_both_sides_by_hand() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    hinge = ADVERSARIAL_LOSSES["hinge"]
    assert hinge.discriminator(real, fake).item() == pytest.approx(0.5 * (0.25 + 0.5))
    assert hinge.generator(fake).item() == pytest.approx(1.5)


def test_decoder_only_leaves_the_encoder_and_its_scale(scenes: Dataset, tmp_path: Path) -> None:
    full = trainer(scenes)
    full.train_to(1)
    full.save_weights(tmp_path / "full")
    start = read_autoencoder(tmp_path / "full")
    start.scale["shift_factor"] = 0.125
    light = trainer(scenes, LIGHT, start, decoder_only=True)
    before = [p.clone() for p in light.objective.model.decoder.parameters()]
    light.train_to(2)
    light.save_weights(tmp_path / "light")
    stored = read_autoencoder(tmp_path / "light")
    assert stored.scale == start.scale
    for name, tensor in stored.network.encoder.state_dict().items():
        assert torch.equal(tensor, start.network.encoder.state_dict()[name])
    after = light.objective.model.decoder.parameters()
    assert not all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_its_folder_is_diffusers_own_and_a_codec(scenes: Dataset, tmp_path: Path) -> None:
    made, light = trainer(scenes), trainer(scenes, LIGHT)
    images = scenes.held_out(range(2))[0]
    for each, name in ((made, "kl"), (light, "own")):
        each.save_weights(tmp_path / name)
        codec = make_codec(LatentSettings("vae", folder=str(tmp_path / name)), torch.device("cpu"))
        latents = codec.encode(images)
        assert (codec.channels, codec.factor, latents.shape) == (2, 2, (2, 2, 8, 8))
        expected = reconstructed(each.averaged, images, torch.device("cpu"))
        torch.testing.assert_close(codec.decode(latents), expected, rtol=1e-4, atol=1e-4)
    stock = AutoencoderKL.from_pretrained(tmp_path / "kl")
    measured = measure_latents(made.averaged, scenes, torch.device("cpu"), seed=3)
    assert stock.config.scaling_factor == pytest.approx(measured.scaling_factor)
    assert stock.config.force_upcast is False
    made.save_images(tmp_path / "kl", 2, 0)
    assert (tmp_path / "kl" / "samples.png").is_file()


def test_a_network_for_other_channels_is_refused(scenes: Dataset, tiny: Architecture, tmp_path: Path) -> None:
    trainer(scenes, LIGHT).save_weights(tmp_path)
    latents = LatentSettings("vae", folder=str(tmp_path))
    with pytest.raises(InputError, match="latent_channels: the architecture has 12, but the codec makes 2"):
        Trainer(tiny, scenes, TrainingSettings(latents=latents, device="cpu"), seed=0)


def test_in_half_precision_the_divergence_is_whole(scenes: Dataset) -> None:
    full, half = (trainer(scenes, precision=each, kl=1.0).objective for each in ("fp32", "bf16"))
    batch = full.batch(0)
    assert half.loss("autoencoder", batch).dtype == torch.float32
    torch.testing.assert_close(
        half.loss("autoencoder", batch), full.loss("autoencoder", batch), rtol=0.02, atol=0
    )


def test_the_curve_holds_decibels(scenes: Dataset) -> None:
    made = trainer(scenes)
    images = scenes.held_out(range(8))[0]
    given = reconstructed(made.averaged, images, made.device)
    expected = [10 * np.log10(4 / float((a - b).square().mean())) for a, b in zip(given, images, strict=True)]
    scored = made.scores(made.averaged)
    assert scored.scores["psnr"] == pytest.approx(np.mean(expected), rel=1e-5)
    assert scored.deviations["psnr"] == pytest.approx(np.std(expected, ddof=1) / 8**0.5, rel=1e-4)
    assert scored.images == 8


def test_latents_are_measured(scenes: Dataset) -> None:
    network = trainer(scenes).averaged
    found = measure_latents(network, scenes, torch.device("cpu"))
    count = min(256, scenes.train_images)
    with torch.no_grad():
        mean = network.encode(scenes.at(range(count), 0)[0]).mean
    assert found.images == count
    assert found.mean == pytest.approx(mean.mean((0, 2, 3)).tolist(), abs=1e-5)
    assert found.deviation == pytest.approx(
        mean.transpose(0, 1).flatten(1).std(1, correction=0).tolist(), rel=1e-4
    )
    assert found.scaling_factor == pytest.approx(1 / mean.std(correction=0).item(), rel=1e-4)
    with torch.no_grad():
        for parameter in network.encoder.places["out"].parameters():
            parameter.zero_()
    with pytest.raises(Diverged, match="no spread"):
        measure_latents(network, scenes, torch.device("cpu"))


def test_an_overflow_in_fp16_is_found_and_said(scenes: Dataset, tmp_path: Path) -> None:
    made = trainer(scenes)
    assert made.warnings() == []
    block = made.averaged.decoder.places["1"][1]
    with torch.no_grad():
        block.conv2.weight.mul_(1e7)
    largest = largest_activation(made.averaged, scenes, made.device)
    assert largest.overflows_fp16
    assert largest.where.startswith("decoder-1.1")
    assert "overflows in fp16: decoder-1.1" in made.warnings()[0]
    made.save_weights(tmp_path)
    assert AutoencoderKL.from_pretrained(tmp_path).config.force_upcast is True


def test_what_does_not_fit_is_refused(scenes: Dataset, tmp_path: Path) -> None:
    six = Way((ImageLevel(4, 1, "plain"),) * 6)
    deep = Autoencoder(six, six, image_size=32)
    full = trainer(scenes)
    full.save_weights(tmp_path)
    start = read_autoencoder(tmp_path)
    for make, found in (
        (lambda: trainer(scenes, deep), r"data\.image_size_px: 16 px .* 32"),
        (lambda: trainer(scenes, replace(TINY, latent_channels=3), start), "latent channels: 2 -> 3"),
        (lambda: trainer(scenes, LIGHT, start), "another decoder: .*decoder_only=true"),
        (lambda: trainer(scenes, decoder_only=True), "decoder_only: true needs .*init_from"),
        (
            lambda: trainer(scenes, adversarial=replace(JUDGED, layers=3)),
            r"adversarial\.layers: 3 .* 24 px.*take 2",
        ),
        (lambda: JUDGED.check_data(100, 64), "100 training images.*256 or more"),
        (lambda: replace(SETTINGS, kl=-1.0), "kl: -1"),
        (lambda: replace(SETTINGS, kl=float("inf")), "kl: inf .* finite"),
        (lambda: replace(SETTINGS, weight_decay=float("inf")), "weight_decay: inf .* finite"),
        (lambda: replace(JUDGED, weight=float("inf")), "weight: inf .* finite"),
        (lambda: replace(SETTINGS, spike_factor=5.0, adversarial=JUDGED), "spike_factor: 5 .*allowed: null"),
        (lambda: replace(SETTINGS, pixel="l3"), "pixel: 'l3'"),
        (lambda: replace(SETTINGS, learning_rate=0.0), "learning_rate: 0"),
    ):
        with pytest.raises(InputError, match=found):
            make()


def test_images_of_a_single_colour_are_refused(scenes: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    colours = torch.linspace(-1, 1, 64)[:, None, None, None].expand(-1, 3, 16, 16)
    monkeypatch.setattr(scenes, "at", lambda places, seed: (colours[: len(places)], [""]))
    with pytest.raises(InputError, match="of a single colour each"):
        trainer(scenes)
