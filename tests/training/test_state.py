"""States: training goes on exactly, everything has a name, and what is not of this training is refused."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import nn

from space.architecture import Architecture
from space.shared.plain import InputError
from tests.training.examples import changed_json, changed_weights, load, save, wider
from training.checkpoints import Checkpoints
from training.data.dataset import Dataset
from training.failures import Diverged
from training.files import EARLIER_STATE_NAME, STATES_FOLDER, has_states, remove_states, states_in
from training.settings import TrainingSettings
from training.state import TrainingState, load_optimizer_state, read_state, write_state
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


def _cut(folder: Path) -> None:
    file = tensors_file(folder)
    file.write_bytes(file.read_bytes()[:-1])


def _changed(folder: Path) -> None:
    changed_weights(tensors_file(folder), lambda tensors: {name: t + 1 for name, t in tensors.items()})


SPOILT: dict[str, Callable[[Path], object]] = {
    "cut": _cut,
    "changed": _changed,
    "no tensors": lambda folder: tensors_file(folder).unlink(),
    "empty": lambda folder: state_file(folder).write_bytes(b""),
    "no JSON": lambda folder: state_file(folder).write_bytes(b"hello"),
    "a pickle": lambda folder: state_file(folder).write_bytes(pickle.dumps({"a": Path("x")})),
    "a list": lambda folder: state_file(folder).write_text("[1]"),
    "another form": lambda folder: changed_json(state_file(folder), form=9),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_damaged_state_is_refused_in_one_line_and_the_one_before_it_taken(how: str, tmp_path: Path) -> None:
    one = TrainingState({"step": 3}, {"a": torch.ones(2)})
    write_state(one, tmp_path / STATES_FOLDER)
    SPOILT[how](tmp_path)
    states = Checkpoints(tmp_path, keep_last=2)
    with pytest.raises(InputError, match=r"00000003\.json: [^\n]+$"):
        states.latest()
    write_state(TrainingState({"step": 2}, {"a": torch.zeros(2)}), tmp_path / STATES_FOLDER)
    found = states.latest()
    assert found is not None and found.step == 2 and len(states.damaged) == 1
    states.write(TrainingState({"step": 4}, {"a": torch.zeros(2)}))  # the damaged one is in nobody's way
    states.close()
    assert read_state(tmp_path / STATES_FOLDER / "00000004.json").step == 4


def test_a_state_of_an_earlier_version_is_refused_unread_and_removed_with_the_others(tmp_path: Path) -> None:
    earlier = tmp_path / EARLIER_STATE_NAME

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "unpickled"),)

    earlier.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match=r"state\.pt: is of an earlier version"):
        Checkpoints(tmp_path).latest()
    assert has_states(tmp_path) and not (tmp_path / "unpickled").exists()
    write_state(TrainingState({"step": 2}, {"a": torch.zeros(2)}), tmp_path / STATES_FOLDER)
    assert Checkpoints(tmp_path).latest() is not None
    remove_states(tmp_path)
    assert list(tmp_path.iterdir()) == [] and not has_states(tmp_path)
    assert Checkpoints(tmp_path).latest() is None


def test_the_last_states_stay_and_those_of_chosen_steps(tmp_path: Path) -> None:
    states = Checkpoints(tmp_path, keep_last=2, keep_steps=[2])
    (tmp_path / STATES_FOLDER).mkdir()
    (tmp_path / STATES_FOLDER / ".00000001.abcd").write_bytes(b"half")  # a killed process left it
    for step in range(1, 6):
        states.save(TrainingState({"step": step}, {"a": torch.full((2,), float(step))}))
    states.close()
    folder = tmp_path / STATES_FOLDER
    assert sorted(path.name for path in folder.glob("*.json")) == [
        f"0000000{step}.json" for step in (2, 4, 5)
    ]
    assert len(list(folder.iterdir())) == 6
    assert [read_state(path).tensors["a"][0] for path in states_in(folder)] == [2, 4, 5]


def test_what_is_written_is_the_state_of_then(tmp_path: Path) -> None:
    """And not what training has made of it since."""
    tensor, states = torch.ones(3), Checkpoints(tmp_path)
    states.save(TrainingState({"step": 1}, {"a": tensor}))
    tensor.zero_()
    states.close()
    assert read_state(tmp_path / STATES_FOLDER / "00000001.json").tensors["a"].tolist() == [1, 1, 1]


def test_a_state_that_is_no_number_is_not_written(tmp_path: Path) -> None:
    states = Checkpoints(tmp_path)
    states.write(TrainingState({"step": 1}, {"a": torch.ones(2)}))
    with pytest.raises(Diverged, match="a is not finite at step 2"):
        states.write(TrainingState({"step": 2}, {"a": torch.tensor([1.0, float("nan")])}))
    found = states.latest()
    assert found is not None and found.step == 1
