"""Averages of a length chosen afterwards, beside those kept all along."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import nn

from mdsearch.commands import average
from space.architecture import Architecture
from space.shared.plain import InputError
from tests.training.test_run import run_to
from training.data.dataset import Dataset
from training.model import load_model
from training.power_averages import PowerAverages, average_of, power_of, remove_behind, store, stored_in
from training.settings import TrainingSettings
from training.trainer import Trainer


class Walk(nn.Module):
    """Eight weights that go from place to place."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(8))

    def steps(self, count: int) -> torch.Tensor:
        """(count, 8): a random walk."""
        return torch.randn(count, 8, generator=torch.Generator().manual_seed(1)).cumsum(0)


@pytest.mark.parametrize(("length", "power"), [(0.05, 16.97), (0.1, 6.94)])
def test_the_power_of_a_length_is_that_of_the_paper(length: float, power: float) -> None:
    g = power_of(length)
    assert g == pytest.approx(power, abs=0.005)
    assert ((g + 1) / ((g + 2) ** 2 * (g + 3))) ** 0.5 == pytest.approx(length)


def test_an_average_weighs_every_step_as_its_power_says() -> None:
    """Step i of t weighs (i / t)^(g + 1) - ((i - 1) / t)^(g + 1); where training began weighs nothing."""
    walk = Walk()
    averages, places = PowerAverages(walk, [0.1, 0.2]), walk.steps(5)
    for step, place in enumerate(places, start=1):
        walk.place.data.copy_(place)
        averages.update(step)
    for length, average_ in averages.tensors.items():
        power = power_of(float(length)) + 1
        weights = torch.tensor([(i / 5) ** power - ((i - 1) / 5) ** power for i in range(1, 6)])
        torch.testing.assert_close(average_["place"], weights @ places)


@pytest.mark.parametrize("length", [0.05, 0.07, 0.1, 0.14])
@pytest.mark.parametrize("step", [None, 240])
def test_any_length_is_made_of_two_that_were_stored(tmp_path: Path, length: float, step: int | None) -> None:
    walk = Walk()
    kept, wanted, places = PowerAverages(walk, [0.05, 0.1]), PowerAverages(walk, [length]), walk.steps(400)
    expected = places[0]
    for number, place in enumerate(places, start=1):
        walk.place.data.copy_(place)
        kept.update(number)
        wanted.update(number)
        if number % 20 == 0:
            store(kept, number, tmp_path)
        if number == (step or 400):
            expected = wanted.tensors[f"{length:g}"]["place"].clone()
    at, made = average_of(tmp_path, length, step)
    assert at == (step or 400)
    error = (made["place"] - expected).norm() / expected.norm()
    assert error < (1e-5 if length in (0.05, 0.1) else 0.01)
    last = places[at - 1]  # and it is something else than the weights themselves
    assert (last - expected).norm() / expected.norm() > 10 * error


def test_averages_of_steps_that_are_taken_again_go(tmp_path: Path) -> None:
    averages = PowerAverages(Walk(), [0.05, 0.1])
    for step in (2, 4, 6):
        store(averages, step, tmp_path)
    remove_behind(tmp_path, 4)
    assert {stored.step for stored in stored_in(tmp_path)} == {2, 4}
    with pytest.raises(InputError, match=r"of steps 2 to 4; needed: of two lengths .* at step 6"):
        average_of(tmp_path, 0.07, 6)
    with pytest.raises(InputError, match=r"length: 0\.3 is not possible; allowed: above 0, below 0\.28"):
        average_of(tmp_path, 0.3)


@pytest.mark.parametrize("lengths", [[0.05], [0.05, 0.05], [0.1, 0.3], [0, 0.1]])
def test_lengths_that_span_nothing_are_refused(lengths: list[float]) -> None:
    with pytest.raises(InputError, match=r"ema_lengths: .* allowed: none, or two or more"):
        TrainingSettings(ema_lengths=tuple(lengths))


def test_the_command_makes_a_model(tiny: Architecture, scenes: Dataset, tmp_path: Path) -> None:
    sizes = {"batch_size": 4, "warmup_steps": 1, "sampling_steps": 2, "validation_images": 4}
    settings = TrainingSettings(**sizes, device="cpu", ema_lengths=(0.05, 0.1))  # type: ignore[arg-type]
    trainer, folder, out = Trainer(tiny, scenes, settings, seed=0), tmp_path / "trained", tmp_path / "out"
    folder.mkdir()
    run_to(trainer, folder, 6, state_every_steps=2)
    (folder / "config.yaml").touch()
    killed = mock.patch.object(average.shutil, "copyfile", side_effect=KeyboardInterrupt)
    with killed, pytest.raises(KeyboardInterrupt):
        average.main([f"model={folder}", "length=0.1", f"out={out}"])
    assert [each.name for each in tmp_path.iterdir()] == ["trained"]
    assert average.main([f"model={folder}", "length=0.1", f"out={out}"]) == 0
    made = dict(load_model(out, "cpu").named_parameters())
    assert trainer.power_averages is not None
    for name, tensor in trainer.power_averages.tensors["0.1"].items():
        torch.testing.assert_close(made[name].detach(), tensor, atol=1e-5, rtol=1e-3)
    with pytest.raises(InputError, match=r"out: .* is there already"):
        average.main([f"model={folder}", "length=0.1", f"out={out}"])
    with pytest.raises(InputError, match="holds averages none; needed: of two lengths"):
        average.main([f"model={out}", "length=0.1", f"out={tmp_path / 'other'}"])
