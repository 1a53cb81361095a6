"""The diffusion objective: the same batches for everybody, and a validation loss by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from space.architecture import Architecture
from space.shared.plain import InputError
from tests.training.examples import wider
from training.data.dataset import Dataset
from training.objectives.diffusion import DiffusionObjective
from training.settings import TrainingSettings
from training.trainer import Trainer


def objective(
    architecture: Architecture, data: Dataset, settings: TrainingSettings, seed: int
) -> DiffusionObjective:
    made = Trainer(architecture, data, settings, seed=seed).objective
    assert isinstance(made, DiffusionObjective)
    return made


def test_every_architecture_sees_the_same_batches(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    trainer, other = (Trainer(a, scenes, settings, seed=3) for a in (tiny, wider(tiny)))
    trainer.train_to(2)
    torch.rand(7)  # the global state has no say
    one = trainer.objective
    for step in (0, 2, 95):  # the last one crosses epochs
        mine, theirs = one.batch(step), other.objective.batch(step)
        for index in (0, 2, 3):
            assert torch.equal(mine[index], theirs[index])
        assert all(map(torch.equal, mine.tokens, theirs.tokens))
    assert not torch.equal(one.batch(0).noise, one.batch(1).noise)
    assert not torch.equal(one.batch(0).noise, objective(tiny, scenes, settings, 4).batch(0).noise)


def test_captions_are_dropped_at_the_stated_rate(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    made = objective(tiny, scenes, replace(settings, caption_dropout=0.25, batch_size=400), 0)
    tokens, empty = made.batch(0).tokens, made.model.text_encoder.tokenize([""])
    row = next(index for index, ids in enumerate(tokens.ids) if torch.equal(ids, empty.ids[0]))
    assert int((tokens.rows == row).sum()) == pytest.approx(100, abs=35)


def test_validation_loss_is_that_of_the_average_by_hand(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    """Before any step the network predicts zero, so the loss of x0 is the mean square of the images."""
    trainer = Trainer(tiny, scenes, replace(settings, validation_images=20), seed=0)
    images, _ = scenes.held_out(range(20))
    assert trainer.validation_loss() == pytest.approx(float(images.square().mean()), rel=1e-5)


def test_of_a_large_batch_few_images_are_validated_at_once(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a batch that many workers share one device cannot hold all; the loss is that of all at once."""
    large = replace(settings, batch_size=16, validation_images=22)
    whole = Trainer(tiny, scenes, large, seed=0)
    whole.train_to(2)
    expected, seen = whole.validation_loss(), list[int]()
    whole.averaged.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    monkeypatch.setattr("training.objectives.diffusion.VALIDATED_AT_ONCE", 6)
    assert whole.validation_loss() == pytest.approx(expected, rel=1e-5) and seen == [6, 6, 4, 6]
    seen.clear()
    parts = objective(tiny, scenes, replace(large, micro_batch=5), 0)
    assert parts.validation_loss(whole.averaged) == pytest.approx(expected, rel=1e-5)
    assert seen == [5, 5, 5, 1, 5, 1]


def test_the_noise_of_a_part_does_not_keep_that_of_the_batch(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    made = objective(tiny, scenes, settings, 0)
    part = made.batch(3, range(2, 4)).noise
    assert torch.equal(part, made.batch(3).noise[2:4])
    assert part.untyped_storage().nbytes() == part.numel() * part.element_size()


def test_coordinates_tell_the_network_where_a_pixel_is(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings
) -> None:
    """Two more channels go in, across and down from -1 to 1, and the latents' own come out."""
    beside = replace(settings, latents=replace(settings.latents, coordinates=True))
    trainer = Trainer(replace(tiny, latent_channels=14), scenes, beside, seed=0)
    seen: list[torch.Tensor] = []
    trainer.objective.model.unet.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    trainer.train_to(1)
    across, down = seen[0][0, 12], seen[0][0, 13]
    assert across[:, 0].tolist() == [-1.0] * 8 and across[:, -1].tolist() == [1.0] * 8
    assert torch.equal(down, across.T)
    assert trainer.generate(["a large red circle"], seed=0).shape == (1, 16, 16, 3)
    with pytest.raises(InputError, match="the codec makes 14, 2 of them coordinates"):
        Trainer(tiny, scenes, beside, seed=0)
