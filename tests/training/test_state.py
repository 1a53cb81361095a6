"""States: training goes on exactly, everything has a name, and what is not of this training is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import nn

from space.architecture import Architecture
from space.shared.plain import InputError
from tests.training.examples import load, save, wider
from training.data.dataset import Dataset
from training.files import STATES_FOLDER
from training.settings import TrainingSettings
from training.state import TrainingState, load_optimizer_state
from training.trainer import Trainer


@pytest.fixture(scope="module")
def trained(tiny: Architecture, scenes: Dataset, settings: TrainingSettings) -> Trainer:
    trainer = Trainer(tiny, scenes, settings, seed=1)
    trainer.train_to(2)
    return trainer


def fresh(trainer: Trainer, seed: int = 1) -> Trainer:
    return Trainer(trainer.architecture, trainer.data, trainer.settings, seed=seed)


def with_others(trainer: Trainer, **changes: Any) -> Trainer:
    return Trainer(trainer.architecture, trainer.data, replace(trainer.settings, **changes), seed=1)


def state_file(folder: Path) -> Path:
    (path,) = (folder / STATES_FOLDER).glob("*.json")
    return path


def tensors_file(folder: Path) -> Path:
    (path,) = (folder / STATES_FOLDER).glob("*.safetensors")
    return path


def test_a_training_goes_on_exactly_from_a_state(trained: Trainer, tmp_path: Path) -> None:
    whole, first, second = (fresh(trained) for _ in range(3))
    whole.train_to(8)
    first.train_to(5)
    save(first, tmp_path)
    load(second, tmp_path)
    losses: list[tuple[int, float]] = []
    second.train_to(8, lambda step, loss: losses.append((step, loss)))
    assert [step for step, _ in losses] == [6, 7, 8]
    ours, theirs = whole.state(), second.state()
    assert ours.plain == theirs.plain and ours.tensors.keys() == theirs.tensors.keys()
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in ours.tensors)
    assert whole.validation_loss() == second.validation_loss()


def test_moments_lie_in_memory_as_their_parameters_do(tmp_path: Path) -> None:
    """A fused optimiser goes through both by their addresses: in another order they are of other weights."""
    torch.manual_seed(0)
    images, convs = torch.randn(2, 3, 5, 5), [nn.Conv2d(3, 4, 3) for _ in range(2)]
    convs[1].load_state_dict(convs[0].state_dict())
    whole, resumed = (conv.to(memory_format=torch.channels_last) for conv in convs)
    steps = [torch.optim.AdamW(conv.parameters(), 0.1, fused=True) for conv in (whole, resumed)]

    def step(conv: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        conv(images).square().mean().backward()
        optimizer.step()

    step(whole, steps[0])
    resumed.load_state_dict(whole.state_dict())
    kept = {
        name: {
            key: value.contiguous().clone() for key, value in steps[0].state[parameter].items()
        }  # as a file holds them
        for name, parameter in whole.named_parameters()
    }
    load_optimizer_state(steps[1], resumed, kept)
    assert steps[1].state[resumed.weight]["exp_avg"].stride() == resumed.weight.stride()
    for conv, optimizer in zip((whole, resumed), steps, strict=True):
        step(conv, optimizer)
    assert torch.equal(whole.weight, resumed.weight)


def test_everything_in_a_state_has_a_name_and_nothing_is_pickled(trained: Trainer, tmp_path: Path) -> None:
    save(trained, tmp_path)
    names = dict(trained.objective.model.named_parameters())
    assert {"unet.conv_in.weight", "text.positions"} < set(names)
    assert {path.suffix for path in (tmp_path / STATES_FOLDER).iterdir()} == {".json", ".safetensors"}
    assert json.loads(state_file(tmp_path).read_text())["step"] == 2
    with safe_open(tensors_file(tmp_path), "pt") as file:
        assert len(file.keys()) == len(names) * 5
        for name, parameter in names.items():
            assert torch.equal(file.get_tensor(f"parts/model/weights/{name}"), parameter)
            assert file.get_slice(f"averaged/{name}").get_shape() == list(parameter.shape)
            assert float(file.get_tensor(f"parts/model/optimizer/{name}/step")) == 2
            assert file.get_slice(f"parts/model/optimizer/{name}/exp_avg").get_shape() == list(
                parameter.shape
            )


def test_a_state_of_something_else_is_refused(trained: Trainer, tmp_path: Path) -> None:
    save(trained, tmp_path)
    with pytest.raises(InputError, match="is of another seed"):
        load(fresh(trained, seed=2), tmp_path)
    other = Trainer(wider(trained.architecture), trained.data, trained.settings, seed=1)
    with pytest.raises(InputError, match="is of another architecture"):
        load(other, tmp_path)


def test_a_state_by_another_text_encoder_is_refused_and_one_that_does_not_say_is_taken(
    trained: Trainer,
) -> None:
    trainer, state = fresh(trained), trained.state()
    ours = trainer.identity | {"text.folder": "0123"}
    trainer.identity = ours
    trainer.restore(state)  # of before such a digest was kept
    state = trainer.state()
    trainer.identity = ours | {"text.folder": "4567"}
    with pytest.raises(InputError, match=r"is of another text\.folder \(0123\) than this training \(4567\)"):
        trainer.restore(state)


def test_a_state_whose_weights_mean_something_else_is_refused(trained: Trainer) -> None:
    """Of the same shapes, all of them."""
    own, state = trained.settings, trained.state()
    for changes, message in (
        (
            {"diffusion": replace(own.diffusion, prediction="v")},
            r"another diffusion \(x0, linear .* \(v, lin",
        ),
        ({"diffusion": replace(own.diffusion, beta_end=0.01)}, "another diffusion"),
        ({"text": replace(own.text, heads=2)}, r"another text\.heads \(4\) than this training \(2\)"),
        ({"ema_lengths": (0.05, 0.1)}, r"training\.ema_lengths: there is no average of 0\.05 since"),
    ):
        with pytest.raises(InputError, match=message):
            with_others(trained, **changes).restore(state)
    with_others(trained, diffusion=replace(own.diffusion, min_snr_gamma=5.0)).restore(state)


@pytest.mark.parametrize(("batch_size", "offset"), [(8, 0), (4, 2), (16, -1), (5, 2)])
def test_batches_of_another_size_begin_behind_the_images_that_were_seen(
    trained: Trainer, batch_size: int, offset: int
) -> None:
    """Two batches of 8, which are four of 4, one of 16, and four of 5, the last of which is begun."""
    trainer = with_others(trained, batch_size=batch_size)
    trainer.restore(trained.state())
    assert (trainer.step, trainer.data_offset) == (2, offset)
    assert (trainer.micro_batches.most, trainer.micro_batches.is_halved) == (batch_size, False)


def test_a_micro_batch_that_is_chosen_anew_counts_and_one_that_memory_forced_stays(trained: Trainer) -> None:
    state = with_others(trained, micro_batch=2).state()
    for chosen, most in ((2, 2), (6, 6), (None, 2)):
        trainer = with_others(trained, micro_batch=chosen)
        trainer.restore(state)
        assert trainer.micro_batches.most == most
    halved, again = with_others(trained), with_others(trained)
    halved.micro_batches.shrink(4)
    again.restore(halved.state())
    assert (again.micro_batches.most, again.micro_batches.is_halved) == (4, True)
    more = with_others(trained, micro_batch=6)
    more.restore(halved.state())
    assert (more.micro_batches.most, more.micro_batches.is_halved) == (6, False)


@pytest.mark.parametrize(
    "name", ["identity", "step", "optimizers", "data_offset", "rollbacks", "micro_batch", "losses"]
)
@pytest.mark.parametrize("wrong", [None, ["a"]])
def test_a_state_that_lacks_something_is_refused_in_one_line(trained: Trainer, name: str, wrong: Any) -> None:
    state = trained.state()
    plain = {key: value for key, value in state.plain.items() if key != name}
    if wrong is not None:
        plain[name] = wrong
    with pytest.raises(InputError, match=r"here it lies: does not hold what is trained here: [^\n]+$"):
        fresh(trained).restore(TrainingState(plain, state.tensors), "here it lies")


@pytest.mark.parametrize("name", ["averaged/unet.conv_in.weight", "parts/model/weights/unet.conv_in.weight"])
def test_a_state_that_lacks_a_tensor_is_refused(trained: Trainer, name: str) -> None:
    state = trained.state()
    tensors = {key: tensor for key, tensor in state.tensors.items() if key != name}
    with pytest.raises(InputError, match=r"state: .*unet\.conv_in\.weight"):
        fresh(trained).restore(TrainingState(state.plain, tensors))
