"""Workers that are killed, run out of memory, or raise: the others begin again or end, with the reason."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from tests.training.distributed.test_many import PRELOAD, check_close, make
from tests.training.distributed.worlds import (
    END,
    Makes,
    in_a_run,
    killed_at,
    short_of_memory,
    trained,
    wrong,
)
from training.checkpoints import Checkpoints
from training.distributed.launch import run_workers
from training.failures import WorkersLost

__all__ = ["make"]


def kept_steps(folder: Path) -> int:
    state = Checkpoints(folder).latest()
    return 0 if state is None else state.step


@pytest.mark.slow  # three processes, then two
def test_where_one_is_killed_the_others_go_on_from_the_last_state(make: Makes, tmp_path: Path) -> None:
    said: list[str] = []
    work = partial(in_a_run, make, tmp_path, partial(killed_at, 3))
    run_workers(work, 3, least=2, restarts=1, say=said.append, preload=PRELOAD)
    assert said == ["worker 1 of 3 was lost (SIGKILL): 2 begin again from the last state"]
    assert json.loads((tmp_path / "world.json").read_text()) == [2, 2]
    state = Checkpoints(tmp_path).latest()
    assert state is not None
    check_close(state, trained(make(), END).state())


@pytest.mark.slow  # three processes each
@pytest.mark.parametrize(("least", "restarts", "field"), [(3, 1, "min_workers: 3"), (1, 0, "restarts: 0")])
def test_where_too_few_are_left_it_ends_with_the_reason(
    make: Makes, tmp_path: Path, least: int, restarts: int, field: str
) -> None:
    work = partial(in_a_run, make, tmp_path, partial(killed_at, 3))
    with pytest.raises(WorkersLost, match=rf"worker 1 of 3 was lost \(SIGKILL\).*{field}"):
        run_workers(work, 3, least=least, restarts=restarts, preload=PRELOAD)
    assert kept_steps(tmp_path) == 2


@pytest.mark.slow  # three processes, twice
def test_out_of_memory_on_one_halves_the_micro_batches_of_all(make: Makes, tmp_path: Path) -> None:
    said: list[str] = []
    whole = Makes(make.architecture, make.data, make.settings)
    work = partial(in_a_run, partial(whole, micro_batch=None), tmp_path, partial(short_of_memory, 3))
    run_workers(work, 3, say=said.append, preload=PRELOAD)
    assert len(said) == 1 and "out of memory on worker 1 of 3" in said[0] and "of 2 images" in said[0]
    assert json.loads((tmp_path / "world.json").read_text()) == [3, 2]  # of the largest share, 4
    assert kept_steps(tmp_path) == END


def test_what_one_raises_ends_all_with_its_reason(make: Makes, tmp_path: Path) -> None:
    work = partial(in_a_run, make, tmp_path, partial(wrong, 3))
    with pytest.raises(RuntimeError) as raised:
        run_workers(work, 2, restarts=1, preload=PRELOAD)
    assert str(raised.value) == "worker 1: ValueError: 3.png: no such thing"
    assert kept_steps(tmp_path) == 2
