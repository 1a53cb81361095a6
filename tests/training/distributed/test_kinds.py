"""Every kind of training by two workers, by copies and by shares of the weights, as by one process."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.training.distributed.shared import BATCH, KINDS, STEPS, Given, share_all
from tests.training.distributed.test_many import check_close
from training.data.dataset import Dataset
from training.distributed.launch import run_workers
from training.objectives.critic import KEPT_SHARE
from training.settings import TrainingSettings
from training.state import TrainingState, read_state

PRELOAD = ("tests.training.distributed.shared",)
TWO_NETWORKS = {"ufogen", "ufogen, lora", "autoencoder"}


@pytest.fixture(scope="session")
def given(base_folder: Path, scenes: Dataset, settings: TrainingSettings) -> Given:
    return Given(base_folder, scenes, replace(settings, batch_size=BATCH, warmup_steps=0))


@pytest.fixture(scope="module")
def worlds(given: Given, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worlds")
    run_workers(partial(share_all, given, folder), 2, preload=PRELOAD)
    return folder


def alone(given: Given, name: str) -> TrainingState:
    trainer = KINDS[name](given, None)
    trainer.train_to(STEPS)
    return trainer.state()


def kept(folder: Path, name: str) -> TrainingState:
    return read_state(folder / name / f"{STEPS:08d}.json")


@pytest.mark.parametrize("name", KINDS)
def test_two_workers_learn_what_one_does(worlds: Path, given: Given, name: str) -> None:
    ours = kept(worlds / "ddp", name)
    check_close(ours, alone(given, name))
    assert ours.plain["step"] == STEPS


@pytest.mark.parametrize("name", sorted(KINDS.keys() - TWO_NETWORKS))
def test_so_they_do_with_shares_of_the_weights(worlds: Path, name: str) -> None:
    check_close(kept(worlds / "fsdp", name), kept(worlds / "ddp", name))


@pytest.mark.parametrize("name", sorted(TWO_NETWORKS))
def test_two_networks_are_not_shared_out(worlds: Path, name: str) -> None:
    for rank in range(2):
        said = (worlds / "fsdp" / name / f"{rank}.txt").read_text()
        assert said.startswith("parallel: fsdp, where ") and said.endswith(
            "trains two networks; allowed: ddp"
        )


def test_what_is_told_apart_is_that_of_all_workers(worlds: Path) -> None:
    """The second worker's 4 of 7 images are: the share goes to 4/7, and ends training where all know it."""
    said = [(worlds / "ddp" / f"collapsed-{rank}.txt").read_text() for rank in range(2)]
    told = 4 / 7 + (0.5 - 4 / 7) * KEPT_SHARE**7
    assert 0.504 < told < 0.5049 < 4 / 7 + (0.5 - 4 / 7) * KEPT_SHARE**8
    assert said[0] == said[1] and said[0].startswith("9: "), said
