"""States in a folder: which stay, which is gone on from, and what a full disk, a kill and damage leave."""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from space.shared.plain import InputError
from tests.training.examples import changed_json, changed_weights
from training.checkpoints import Checkpoints
from training.failures import Diverged
from training.files import EARLIER_STATE_NAME, STATES_FOLDER, has_states, remove_states, states_in
from training.state import TrainingState, read_state, write_state


def state_file(folder: Path) -> Path:
    (path,) = (folder / STATES_FOLDER).glob("*.json")
    return path


def tensors_file(folder: Path) -> Path:
    (path,) = (folder / STATES_FOLDER).glob("*.safetensors")
    return path


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


def test_a_state_for_which_there_was_no_room_is_written_when_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a chosen step is to stay, though a later one takes its place as the last."""
    states, room = Checkpoints(tmp_path, keep_steps=[1]), [False]

    def written(state: TrainingState, folder: Path) -> Path:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_state(state, folder)

    monkeypatch.setattr("training.checkpoints.write_state", written)
    states.save(TrainingState({"step": 1}, {"a": torch.ones(2)}))
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            states.save(TrainingState({"step": 2}, {"a": torch.ones(2)}))
    room[0] = True
    states.save(TrainingState({"step": 2}, {"a": torch.ones(2)}))
    states.close()
    assert [read_state(path).step for path in states_in(tmp_path / STATES_FOLDER)] == [1, 2]


def test_a_state_that_is_no_number_is_not_written(tmp_path: Path) -> None:
    states = Checkpoints(tmp_path)
    states.write(TrainingState({"step": 1}, {"a": torch.ones(2)}))
    with pytest.raises(Diverged, match="a is not finite at step 2"):
        states.write(TrainingState({"step": 2}, {"a": torch.tensor([1.0, float("nan")])}))
    found = states.latest()
    assert found is not None and found.step == 1
