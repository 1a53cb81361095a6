"""Trainings of every kind that workers share, the same ones in any process."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from space.shared.plain import InputError
from tests.training.test_autoencoder import JUDGED
from tests.training.test_autoencoder import TINY as AUTOENCODER
from training.adapter_kinds import ControlNetSettings, InpaintingSettings
from training.adapters import LoraSettings
from training.adapting import AdapterTrainer
from training.autoencoder import AutoencoderTrainer
from training.data.dataset import Dataset
from training.distillation import Distiller
from training.distributed import fsdp
from training.distributed.ranks import Parallel, RankGroup, join, leave
from training.failures import Collapsed
from training.loop import TrainingLoop
from training.objectives.lcm import LcmSettings
from training.objectives.reconstruction import ReconstructionSettings
from training.objectives.steps import StepsSettings
from training.objectives.ufogen import UfogenObjective, UfogenSettings
from training.settings import TrainingSettings
from training.state import write_state

WORLDS: tuple[Parallel, ...] = ("ddp", "fsdp")
STEPS, BATCH = 3, 7  # two workers take 3 and 4 images of a batch
LORA = LoraSettings(rank=2)
AWAKE = {"zero_last_layer": False, "discriminator_every": 1, "discriminator_learning_rate": 1e-3}

Kind = Callable[["Given", RankGroup | None], TrainingLoop[Any]]


@dataclass(frozen=True)
class Given:
    base: Path
    data: Dataset
    settings: TrainingSettings


def distiller(own: Any) -> Kind:
    return lambda given, ranks: Distiller(given.base, given.data, given.settings, own, seed=1, ranks=ranks)


def adapter(own: Any) -> Kind:
    return lambda given, ranks: AdapterTrainer(
        given.base, given.data, given.settings, own, seed=1, ranks=ranks
    )


def autoencoder(given: Given, ranks: RankGroup | None) -> AutoencoderTrainer:
    judged = replace(JUDGED, from_step=1, adaptive=False)
    settings = ReconstructionSettings(
        steps=STEPS, batch_size=BATCH, warmup_steps=0, device="cpu", perceptual=0, adversarial=judged
    )
    return AutoencoderTrainer(AUTOENCODER, given.data, settings, seed=3, ranks=ranks)


KINDS: Mapping[str, Kind] = {
    "ufogen": distiller(UfogenSettings(reconstruction="ema", **AWAKE)),  # type: ignore[arg-type]
    "ufogen, lora": distiller(
        UfogenSettings(reconstruction="distill", finetune="lora", lora=LORA, **AWAKE)  # type: ignore[arg-type]
    ),
    "steps": distiller(StepsSettings(sampling_steps=2, teacher_steps=4, cfg_probability=0.5)),
    "lcm": distiller(LcmSettings(teacher_steps=4, sampling_steps=2)),
    "controlnet": adapter(ControlNetSettings()),
    "inpainting": adapter(InpaintingSettings()),
    "autoencoder": autoencoder,
}


def share_all(given: Given, folder: Path, micro_batch: int | None) -> None:
    """In a world of copies, and in one of shares."""
    torch.set_num_threads(1)
    fsdp.SHARDED_AT_ONCE = 1
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    for parallel in WORLDS:
        store = distributed.PrefixStore(parallel, distributed.TCPStore(*place, is_master=False))
        ranks = join(torch.device("cpu"), parallel, store=store, rank=rank, size=size)
        train_all(given, folder / parallel, ranks)
        ranks.wait()
        leave()


def train_all(given: Given, folder: Path, ranks: RankGroup) -> None:
    """A state of each kind at its end; what is refused instead is written down."""
    for name, make in KINDS.items():
        trainer, refused = make(given, ranks), ""
        try:
            trainer.train_to(STEPS)
            state = trainer.state()
        except InputError as error:
            refused, state = str(error), trainer.state()
        ranks.first(lambda of=name, held=state: write_state(held.copied(), folder / of) and None)
        (folder / name / f"{ranks.rank}.txt").write_text(refused)
    if not ranks.is_sharded:
        (folder / f"collapsed-{ranks.rank}.txt").write_text(collapsed(given, ranks))


def collapsed(given: Given, ranks: RankGroup) -> str:
    """What a worker says whose own images are not told apart while another's are."""
    trainer = distiller(UfogenSettings(discriminator_every=1, collapse=0.5049, timesteps="last", gap=960))(
        given, ranks
    )
    objective = trainer.objective
    assert isinstance(objective, UfogenObjective)
    critic, watch = objective.discriminator, objective.discriminator.watch
    sign = 1.0 if ranks.rank else -1.0

    def watched(real: Any, fake: Any, *of: Any) -> None:
        watch(sign * real.abs().clamp(min=1), -sign * fake.abs().clamp(min=1), *of)

    critic.watch = watched  # type: ignore[method-assign]
    for step in range(1, 10):
        try:
            trainer.train_to(step)
        except Collapsed as error:
            return f"{step}: {error}"
    return f"{float(critic.told_apart):.17g}"
