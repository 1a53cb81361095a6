"""One training by 1, 2 and 4 workers, by copies and by shares of the weights: the same samples, and the same
numbers but for the order of sums."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from space.architecture import Architecture
from tests.training.distributed.worlds import (
    HALF,
    LAST,
    Makes,
    Watched,
    all_worlds,
    go_on,
    shared,
    trained,
    two_parts,
)
from training.data.dataset import Dataset
from training.distributed.launch import run_workers
from training.settings import TrainingSettings
from training.state import TrainingState, read_state

BATCH = 10  # four workers take 2, 3, 2 and 3 of it; in micro-batches of 2, some one more than others
PRELOAD = ("tests.training.distributed.worlds",)
WORLDS = {"two": 2, "two shares": 2, "four": 4}


@pytest.fixture(scope="session")
def make(tiny: Architecture, scenes: Dataset, settings: TrainingSettings) -> Makes:
    return Makes(tiny, scenes, replace(settings, batch_size=BATCH, micro_batch=2, caption_dropout=0.3))


@pytest.fixture(scope="module")
def worlds(make: Makes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worlds")
    run_workers(partial(all_worlds, make, folder), 4, preload=PRELOAD)
    return folder


@pytest.fixture(scope="module")
def alone(make: Makes) -> tuple[list[float], TrainingState]:
    losses: list[float] = []
    return losses, trained(make(), LAST, losses).state()


def state(folder: Path) -> TrainingState:
    return read_state(folder / "states" / f"{LAST:08d}.json")


def check_close(ours: TrainingState, theirs: TrainingState) -> None:
    """Attention's bias of keys changes nothing: its gradient is rounding errors, which AdamW makes large."""
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, tensor in ours.tensors.items():
        is_of_keys = "in_proj_bias" in name or "key.bias" in name
        other, atol = theirs.tensors[name], 1e-2 if is_of_keys else 2e-5
        assert (tensor.shape, tensor.dtype) == (other.shape, other.dtype)
        torch.testing.assert_close(
            tensor, other, rtol=1e-3, atol=atol, msg=lambda text, name=name: f"{name}: {text}"
        )


def check_same(ours: TrainingState, theirs: TrainingState) -> None:
    assert ours.plain == theirs.plain and ours.tensors.keys() == theirs.tensors.keys()
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in ours.tensors)


@pytest.mark.parametrize("name", WORLDS)
def test_the_workers_of_a_world_share_the_rows_of_each_batch(worlds: Path, name: str) -> None:
    rows: dict[int, list[int]] = {}
    for rank in range(WORLDS[name]):
        asked = json.loads((worlds / name / f"{rank}.json").read_text())["asked"]
        seen = dict.fromkeys(tuple(each) for each in asked)  # again, for nothing, where others have more
        last: dict[int, int] = {}
        for step, start, stop in seen:
            rows.setdefault(step, []).extend(range(max(start, last.get(step, 0)), stop))
            last[step] = stop
    assert {step: sorted(each) for step, each in rows.items() if step < LAST} == {
        step: list(range(BATCH)) for step in range(LAST)
    }


@pytest.mark.parametrize("name", WORLDS)
def test_losses_weights_and_averages_are_those_of_one_process(
    worlds: Path, alone: tuple[list[float], TrainingState], name: str
) -> None:
    losses, theirs = alone
    told = [
        json.loads((worlds / name / f"{rank}.json").read_text())["losses"] for rank in range(WORLDS[name])
    ]
    assert all(each == told[0] for each in told)  # the same bits on all workers
    torch.testing.assert_close(torch.tensor(told[0]), torch.tensor(losses), rtol=2e-5, atol=0)
    check_close(state(worlds / name), theirs)


def test_shares_of_weights_end_as_copies_do(worlds: Path) -> None:
    check_close(state(worlds / "two shares"), state(worlds / "two"))


@pytest.mark.parametrize("name", WORLDS)
def test_resumed_by_as_many_it_ends_with_the_same_bits(worlds: Path, name: str) -> None:
    check_same(state(worlds / name / "resumed"), state(worlds / name))


def test_what_is_gone_back_to_with_shares_ends_with_the_same_bits(worlds: Path) -> None:
    check_same(state(worlds / "two shares" / "gone back"), state(worlds / "two shares"))


@pytest.mark.parametrize("name", ["two", "two shares"])
def test_a_state_of_two_workers_is_gone_on_with_by_one(
    worlds: Path, make: Makes, alone: tuple[list[float], TrainingState], name: str
) -> None:
    resumed = go_on(make(), worlds / name / "half")
    assert resumed.step == HALF
    check_close(trained(resumed, LAST).state(), alone[1])


def test_a_state_of_two_workers_is_gone_on_with_by_four(
    worlds: Path, alone: tuple[list[float], TrainingState]
) -> None:
    check_close(state(worlds / "four" / "from two"), alone[1])


def test_what_is_no_number_on_one_worker_is_told_by_all_before_the_weights_change(
    worlds: Path, make: Makes
) -> None:
    said = [json.loads((worlds / "four" / f"broken-{rank}.json").read_text()) for rank in range(4)]
    assert said == ["loss is NaN at step 3; 2"] * 4
    kept = read_state(worlds / "four" / "broken" / "states" / "00000002.json")
    check_close(kept, trained(make(), 2).state())
    assert Watched.broken == (-1, -1)


def test_two_parts_are_trained_as_by_one_process_or_refused(worlds: Path, make: Makes) -> None:
    told = [json.loads((worlds / "two" / f"rivals-{rank}.json").read_text()) for rank in range(2)]
    assert told == [pytest.approx(two_parts(make))] * 2 and told[0][0] == pytest.approx(2.25)
    refused = json.loads((worlds / "two shares" / "rivals-0.json").read_text())
    assert refused == "parallel: fsdp, where two-parts trains two networks; allowed: ddp"


def test_rounds_of_shared_training_are_those_of_one_process(worlds: Path, make: Makes) -> None:
    ours, theirs = state(worlds / "two" / "rounds"), shared(make).state()
    assert ours.plain["identity"] == theirs.plain["identity"]
    check_close(ours, theirs)


def test_workers_that_read_other_things_are_refused(worlds: Path) -> None:
    """Alike, so that nobody waits."""
    told = [json.loads((worlds / "two" / f"strangers-{rank}.json").read_text()) for rank in range(2)]
    assert told[0] == told[1] and told[0].startswith(
        "workers: number 1 has another seed (1) than number 0 (0)"
    )
