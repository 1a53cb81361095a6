"""All stages of `mdsearch build` with real commands, tiny: the page says what they left, also after kills."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.system.facts import System
from analysis.system.network_sections import system_architecture, system_decoder
from analysis.system.page import write_system_page
from analysis.system.sections import system_latency, system_scores
from mdsearch.__main__ import main
from mdsearch.build_plan import build_command
from mdsearch.build_run import run_build
from search.runs.record import read_history
from space.architecture import Architecture
from tests.mdsearch.small_build import planned
from training.files import MODEL_NAME

AUTOENCODER = "reconstruction.steps=2 reconstruction.batch_size=4 reconstruction.validation_images=8 images=4"
EVALUATOR = (
    "evaluators.images=8 evaluators.reference_images=20 evaluators.retrieval_images=20 "
    "evaluators.clip.steps=2 evaluators.clip.batch_size=8 evaluators.clip.train_images=60"
)
TINY = {
    "autoencoder": f"{AUTOENCODER} data.scenes=120",
    "search": (
        "trials=1 rungs=[1] enqueue=[] backend=inline data.scenes=120 training.batch_size=2 "
        f"training.validation_images=4 {EVALUATOR} cache_folder=cache"
    ),
    "decoder_search": (
        "trials=1 rungs=[1] backend=inline data.scenes=120 scored_images=8 reconstruction.batch_size=4 "
        "reconstruction.validation_images=8 cache_folder=cache"
    ),
    "decoder": f"{AUTOENCODER} data.scenes=120",
    "train": "training.steps=2 training.warmup_steps=1 state_every_steps=1 images=4",
    "distill": "training.steps=2 training.batch_size=2 state_every_steps=2 images=4 scores=false",
    "latency": "runtimes=[eager] rounds=2 threads=1",
    "latency_full": "runtimes=[eager] rounds=2 threads=1",
    "reconstruction": "data.scenes=120 samples=8",
    **{f"samples_{steps}": "count=8 batch_size=8" for steps in (1, 8, 50)},
    **{f"scores_{steps}": "evaluator={search}" for steps in (1, 8, 50)},
}


class Killed:
    """Stages in this process, of which one is killed when it has done a part of its work, once."""

    def __init__(self, stage: str, part: list[str]) -> None:
        self._stage, self._part = stage, part

    def __call__(self, command: str, words: list[str], tell: Callable[[float], None]) -> int:
        if self._stage and any(word.endswith(f"/{self._stage}") for word in words if word.startswith("out=")):
            self._stage = ""
            names = {word.partition("=")[0] for word in self._part}
            kept = [word for word in words if word.partition("=")[0] not in names]
            main([*command.split(), *kept, *self._part])
            return 137
        return main([*command.split(), *words])


@pytest.mark.slow  # sixteen commands, ONNX export among them
def test_the_small_system_is_made_whole_though_its_training_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = build_command([f"words.{name}={text}" for name, text in TINY.items()])
    stages = planned(asked)[0]
    run = Killed("train", ["training.steps=1"])
    assert run_build(asked, stages, run) == 137
    assert run_build(asked, stages, run) == 0
    system = System(asked.folder())
    assert system.record.stages["train"].sessions == 2
    found = system_architecture(system)
    best = Architecture.load(asked.folder() / "search" / "best.yaml")
    assert found is not None and found["id"] == best.id
    assert read_history(asked.folder() / "search").trials[0].architecture == best
    assert system.decoder is not None and system.full_decoder is not None
    assert system.decoder.encoder == system.full_decoder.encoder
    latencies, scores = system_latency(system), system_scores(system)
    assert latencies is not None and len(latencies["table"].rows) == 3
    assert scores is not None and len(scores["table"].rows) == 3
    assert len(system_decoder(system)["table"].rows) == 2 and system.exported.keys() >= {
        "unet",
        "vae_decoder",
    }
    assert write_system_page(asked.folder()).stat().st_size > 20_000


SHORT = """# @package _global_
name: short
stages:
  train: >-
    train arch_file=tiny.yaml proxy=full data.image_size_px=16 data.scenes=60 training.steps=4
    training.batch_size=2 training.validation_images=4 state_every_steps=2 images=2
  distill: >-
    distill init_from={train} training.steps=2 training.batch_size=2 training.validation_images=4
    state_every_steps=2 images=2
  samples: generate samples model={distill} count=4
"""
ARCHITECTURE = """
levels:
- {channels: 8, conv: separable, down: [1], up: [0, 0], cross_attention: true}
head_width: null
heads: 4
norm_groups: 4
time_width: 16
latent_channels: 14
latent_size: 8
context_length: 12
context_width: 16
"""


@pytest.mark.slow  # a training and a distillation, twice
def test_killed_inside_a_stage_and_between_two_it_is_the_same_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("short.yaml").write_text(SHORT)
    Path("tiny.yaml").write_text(ARCHITECTURE)
    images = []
    for out, kills in (("whole", ()), ("killed", ("train", "distill"))):
        asked = build_command(["experiment=./short.yaml", f"out={out}"])
        stages = planned(asked)[0]
        for stage in kills:
            assert run_build(asked, stages, Killed(stage, ["training.steps=2"])) == 137
        assert run_build(asked, stages, Killed("", [])) == 0
        images.append(System(Path(out)).samples[0].images().tobytes())
    assert images[0] == images[1]
    assert Path("killed/distill", MODEL_NAME).read_text() == Path("whole/distill", MODEL_NAME).read_text()
