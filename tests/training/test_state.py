"""States: everything by a name, exact resumption, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from space.architecture import Architecture
from space.shared.plain import InputError
from tests.training.examples import weights, wider
from training.data.dataset import Dataset
from training.settings import TrainingSettings
from training.trainer import Trainer


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


def test_everything_in_a_state_has_a_name(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path: Path
) -> None:
    trainer = Trainer(tiny, scenes, settings, seed=1)
    trainer.train_to(2)
    trainer.save_state(tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt")
    names = dict(trainer.objective.model.named_parameters())
    assert set(state["parts"]) == {"model"} and state["step"] == 2
    part = state["parts"]["model"]
    assert set(part["optimizer"]) == set(names) == set(part["weights"]) == set(state["averaged"])
    assert {"unet.conv_in.weight", "text.positions"} < set(names)
    for name, parameter in names.items():
        assert torch.equal(part["weights"][name], parameter)
        assert part["optimizer"][name]["exp_avg"].shape == parameter.shape
        assert float(part["optimizer"][name]["step"]) == 2


def test_what_the_order_of_the_names_is_does_not_matter(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path: Path
) -> None:
    trainer, other = (Trainer(tiny, scenes, settings, seed=1) for _ in range(2))
    trainer.train_to(3)
    trainer.save_state(tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt")
    part = state["parts"]["model"]
    for names in (part["weights"], part["optimizer"], state["averaged"]):
        turned = dict(reversed(names.items()))
        names.clear()
        names.update(turned)
    torch.save(state, tmp_path / "state.pt")
    other.load_state(tmp_path / "state.pt")
    for training in (trainer, other):
        training.train_to(5)
    assert all(map(torch.equal, weights(trainer), weights(other)))


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


def test_a_state_by_another_text_encoder_is_refused_and_one_that_does_not_say_is_taken(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path: Path
) -> None:
    trainer, path = Trainer(tiny, scenes, settings, seed=1), tmp_path / "state.pt"
    trainer.save_state(path)
    ours = trainer.identity | {"text.folder": "0123"}
    trainer.identity = ours
    trainer.load_state(path)  # of before such a digest was kept
    trainer.save_state(path)
    trainer.identity = ours | {"text.folder": "4567"}
    with pytest.raises(InputError, match=r"is of another text\.folder \(0123\) than this training \(4567\)"):
        trainer.load_state(path)


@pytest.mark.parametrize("name", ["identity", "step", "averaged", "parts"])
@pytest.mark.parametrize("wrong", [None, [1]])
def test_a_state_that_lacks_something_is_refused_in_one_line(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path: Path, name: str, wrong: Any
) -> None:
    trainer = Trainer(tiny, scenes, settings, seed=1)
    trainer.save_state(tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt")
    state.pop(name)
    torch.save(state if wrong is None else state | {name: wrong}, tmp_path / "state.pt")
    with pytest.raises(InputError, match=r"state\.pt: does not hold what is trained here: [^\n]+$"):
        trainer.load_state(tmp_path / "state.pt")


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps({"a": Path("x")})])
def test_a_file_that_is_no_state_is_refused_in_one_line_with_a_reason(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read as a training state: [^\n]+$"):
        Trainer(tiny, scenes, settings, seed=1).load_state(tmp_path / "state.pt")


def test_a_state_of_an_earlier_version_is_refused(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path: Path
) -> None:
    """Its form: lists of tensors in the order of the parameters."""
    trainer = Trainer(tiny, scenes, settings, seed=1)
    identity = {"architecture": tiny.id, "data": scenes.digest, "seed": 1}
    listed = list(trainer.objective.model.state_dict().values())
    before = {"identity": identity, "step": 7, "weights": listed, "averaged": listed, "optimizer": {}}
    torch.save(before, tmp_path / "state.pt")
    with pytest.raises(InputError, match=r"state\.pt: .* earlier version"):
        trainer.load_state(tmp_path / "state.pt")
    assert trainer.step == 0


def test_a_state_that_lacks_a_tensor_is_refused(
    tiny: Architecture, scenes: Dataset, settings: TrainingSettings, tmp_path: Path
) -> None:
    trainer = Trainer(tiny, scenes, settings, seed=1)
    trainer.train_to(1)
    trainer.save_state(tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt")
    del state["parts"]["model"]["weights"]["unet.conv_in.weight"]
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(InputError, match=r"state\.pt: .*unet\.conv_in\.weight"):
        trainer.load_state(tmp_path / "state.pt")
