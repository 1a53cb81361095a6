"""Training: the same batches for everybody, exact resumption, and pictures that don't depend on the batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from space.architecture import Architecture
from space.shared.plain import InputError
from training.data import Dataset, DataSettings, load_data
from training.latents import LatentSettings
from training.loop import Diverged, Trainer, TrainingSettings
from training.model import load_model
from training.text import TextSettings


def wider(architecture: Architecture) -> Architecture:
    outer, inner = architecture.levels
    return replace(architecture, levels=(outer, replace(inner, channels=24, self_attention=False)))


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in trainer._trained + trainer._averaged]


def test_every_architecture_sees_the_same_batches(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    one, other = (Trainer(a, scenes, settings, seed=3) for a in (tiny, wider(tiny)))
    one.train_to(2)
    torch.rand(7)  # the global state has no say
    for step in (0, 2, 95):  # the last one crosses epochs
        mine, theirs = one.batch(step), other.batch(step)
        assert mine[1] == theirs[1]
        for index in (0, 2, 3):
            assert torch.equal(mine[index], theirs[index])
    assert not torch.equal(one.batch(0)[2], one.batch(1)[2])
    assert not torch.equal(one.batch(0)[2], Trainer(tiny, scenes, settings, seed=4).batch(0)[2])


def test_an_epoch_shows_every_picture_once(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    trainer = Trainer(tiny, scenes, settings, seed=0)
    batches = len(scenes.train_captions) // settings.batch_size
    seen = np.concatenate([trainer._order(step) for step in range(batches)])
    assert sorted(seen) == list(range(len(scenes.train_captions)))
    later = np.concatenate([trainer._order(step) for step in range(batches, 2 * batches)])
    assert sorted(later) == sorted(seen) and (later != seen).any()


def test_captions_are_dropped_at_the_stated_rate(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    trainer = Trainer(tiny, scenes, replace(settings, caption_dropout=0.25, batch_size=400), seed=0)
    assert sum(caption == "" for caption in trainer.batch(0)[1]) == pytest.approx(100, abs=35)


def test_training_does_not_touch_the_global_random_state(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    before = torch.random.get_rng_state()
    trainer = Trainer(tiny, scenes, settings, seed=0)
    trainer.train_to(1)
    trainer.draw(["a"], seed=0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_resumed_training_is_bit_identical(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path: Path
) -> None:
    whole = Trainer(tiny, scenes, settings, seed=1)
    whole.train_to(8)
    first = Trainer(tiny, scenes, settings, seed=1)
    first.train_to(5)
    first.save_state(tmp_path / "state.pt")
    second = Trainer(tiny, scenes, settings, seed=1)
    second.load_state(tmp_path / "state.pt")
    losses: list[tuple[int, float]] = []
    second.train_to(8, lambda step, loss: losses.append((step, loss)))
    assert [step for step, _ in losses] == [6, 7, 8]
    assert all(map(torch.equal, weights(whole), weights(second)))
    assert whole.validation_loss() == second.validation_loss()
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_a_state_of_something_else_is_refused(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path: Path
) -> None:
    Trainer(tiny, scenes, settings, seed=1).save_state(tmp_path / "state.pt")
    with pytest.raises(InputError, match="is of another seed"):
        Trainer(tiny, scenes, settings, seed=2).load_state(tmp_path / "state.pt")
    with pytest.raises(InputError, match="is of another architecture"):
        Trainer(wider(tiny), scenes, settings, seed=1).load_state(tmp_path / "state.pt")
    (tmp_path / "broken.pt").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="cannot be read as a training state"):
        Trainer(tiny, scenes, settings, seed=1).load_state(tmp_path / "broken.pt")


def test_loss_falls(tiny: Architecture, scenes: Dataset, settings: TrainingSettings) -> None:
    trainer = Trainer(tiny, scenes, settings, seed=0)
    before = trainer.validation_loss()
    trainer.train_to(40)
    assert trainer.validation_loss() < 0.6 * before


def test_validation_loss_is_that_of_the_average_by_hand(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    """Before any step the network predicts zero, so the loss of x0 is the mean square of the pictures."""
    trainer = Trainer(tiny, scenes, replace(settings, validation_images=20), seed=0)
    images, _ = scenes.held_out(range(20))
    assert trainer.validation_loss() == pytest.approx(float(images.square().mean()), rel=1e-5)


def test_averaging_forgets_the_start(tiny: Architecture, scenes: Dataset, settings: TrainingSettings) -> None:
    """Its decay after step n is (1 + n) / (10 + n) until that exceeds the stated one."""
    trainer = Trainer(tiny, scenes, settings, seed=0)
    expected, decays = [p.detach().clone() for p in trainer._averaged], [0.1, 2 / 11, 3 / 12]
    for index, decay in enumerate(decays):
        trainer.train_to(index + 1)
        expected = [
            decay * e + (1 - decay) * p.detach() for e, p in zip(expected, trainer._trained, strict=True)
        ]
    for mine, theirs in zip(expected, trainer._averaged, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_learning_rate_warms_up_and_decays(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    s = replace(settings, steps=44, warmup_steps=4, learning_rate=1.0)
    for decay, half_way in (("none", 1.0), ("linear", 0.5), ("cosine", 0.5)):
        trainer = Trainer(tiny, scenes, replace(s, decay=decay), seed=0)  # type: ignore[arg-type]
        assert trainer._learning_rate(0) == 0.25 and trainer._learning_rate(3) == 1.0
        assert trainer._learning_rate(24) == pytest.approx(half_way)
        assert trainer._learning_rate(44) == pytest.approx(1.0 if decay == "none" else 0.0)


def test_a_diverged_loss_is_raised_with_its_step(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    trainer = Trainer(tiny, scenes, settings, seed=0)
    trainer.train_to(2)
    with torch.no_grad():
        trainer._model.unet.conv_in.weight.fill_(float("nan"))
    with pytest.raises(Diverged, match="loss is NaN at step 3"):
        trainer.train_to(5)
    assert trainer.step == 2


# ---------------------------------------------------------------------- drawing


def test_pictures_do_not_depend_on_the_batch_size(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    trainer = Trainer(tiny, scenes, settings, seed=0)
    trainer.train_to(5)
    captions = scenes.held_out_captions[:6]
    together, apart = (trainer.draw(captions, seed=2, batch_size=size) for size in (6, 4))
    assert together.shape == (6, 16, 16, 3) and together.dtype == np.uint8
    assert abs(together.astype(int) - apart).max() <= 1
    assert abs(together.astype(int) - trainer.draw(captions, seed=3)).max() > 4
    assert trainer.draw([], seed=0).shape == (0, 16, 16, 3)


def test_initial_noise_is_the_same_for_every_architecture(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    """Untrained networks predict an empty picture, but noise enters: it is the same."""
    one, other = (Trainer(a, scenes, settings, seed=s)._model for a, s in ((tiny, 0), (wider(tiny), 1)))
    assert torch.equal(one.initial_noise(5, range(3)), other.initial_noise(5, range(3)))
    assert torch.equal(one.initial_noise(5, range(3))[2], one.initial_noise(5, [2])[0])


def test_saved_weights_draw_the_same_pictures(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path: Path
) -> None:
    trainer = Trainer(tiny, scenes, settings, seed=0)
    trainer.train_to(5)
    trainer.save_weights(tmp_path / "model")
    model = load_model(tmp_path / "model", "cpu")
    captions = scenes.held_out_captions[:3]
    assert (model.draw(captions, seed=7) == trainer.draw(captions, seed=7)).all()
    assert {file.name for file in (tmp_path / "model").iterdir()} == {
        "model.json",
        "text.safetensors",
        "unet.safetensors",
    }


def test_a_folder_without_a_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no trained model"):
        load_model(tmp_path)


# ---------------------------------------------------------------------- settings


def test_parts_that_do_not_fit_are_said(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    with pytest.raises(InputError, match="latent_channels: the architecture has 8, but the codec makes 12"):
        Trainer(replace(tiny, latent_channels=8), scenes, settings, seed=0)
    with pytest.raises(InputError, match="needed: image_size_px = 32"):
        Trainer(replace(tiny, latent_size=16), scenes, settings, seed=0)
    with pytest.raises(InputError, match=r"text.heads: 3 does not divide the context width 16"):
        Trainer(tiny, scenes, replace(settings, text=TextSettings(heads=3)), seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps: 0"),
        ({"learning_rate": 0.0}, "learning_rate: 0.0"),
        ({"ema_decay": 1.0}, "ema_decay: 1.0"),
        ({"betas": (0.9,)}, "allowed: two numbers"),
        ({"betas": (0.9, 1.0)}, "from 0 up to below 1"),
        ({"weight_decay": -0.1}, "weight_decay: -0.1 is not possible; allowed: 0 or more"),
        ({"sampling_steps": 1001}, "sampling_steps: 1001"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainingSettings(**change)  # type: ignore[arg-type]


def test_digits_and_other_factors_train_through_the_same_path(
    tiny: Architecture, settings: TrainingSettings
) -> None:
    data = load_data(DataSettings(name="digits", image_size_px=32))
    architecture = replace(tiny, latent_channels=48)
    trainer = Trainer(architecture, data, replace(settings, latents=LatentSettings(factor=4)), seed=0)
    trainer.train_to(2)
    assert trainer.draw(["a handwritten seven"], seed=0).shape == (1, 32, 32, 3)


def test_coordinates_tell_the_network_where_a_pixel_is(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    """Two more channels go in, across and down from -1 to 1, and the latents' own come out."""
    beside = replace(settings, latents=replace(settings.latents, coordinates=True))
    trainer = Trainer(replace(tiny, latent_channels=14), scenes, beside, seed=0)
    seen: list[torch.Tensor] = []
    trainer._model.unet.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    trainer.train_to(1)
    across, down = seen[0][0, 12], seen[0][0, 13]
    assert across[:, 0].tolist() == [-1.0] * 8 and across[:, -1].tolist() == [1.0] * 8
    assert torch.equal(down, across.T)
    assert trainer.draw(["a large red circle"], seed=0).shape == (1, 16, 16, 3)
    with pytest.raises(InputError, match="the codec makes 14, 2 of them coordinates"):
        Trainer(tiny, scenes, beside, seed=0)
