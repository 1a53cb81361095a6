"""A GPU in under 12 minutes: a base of the larger proxy, one step of it, and what each objective costs.

    python -m benchmarks.gpu_one_step FOLDER [minutes=11] [device=cuda] [precision=bf16] [batch=64]
    python -m benchmarks.gpu_one_step FOLDER minutes=2 device=cpu precision=fp32 batch=2 size=small

The second runs anywhere. MD of a quarter of the widths is trained on scenes of 64 px for two fifths of the
time; then each objective takes some steps of it, timed, with the most memory that it held; in what is left
UFOGen makes it a one-step generator, scored before and after. Images a second are beside those of plain
training. What is in FOLDER already is not done again; one_step.md there is the table.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from analysis.rendering import render_table
from benchmarks.lab import Lab, in_folder, run_as_command
from benchmarks.one_step import DROPOUT, ONE_STEP
from evaluators.latency.journal import Journal
from evaluators.latency.runtimes import Place, versions_of
from mdsearch.distill_command import distill_command_of
from mdsearch.train_command import command_of
from training.data.factory import load_data
from training.distillation import Distiller
from training.loop import TrainingLoop
from training.run import BEFORE, curve_lines
from training.timing import seconds_of_steps
from training.trainer import Trainer

SIZES = {
    "quarter": ("proxy=quarter", "data.image_size_px=64", "training.latents.factor=4"),
    "small": ("proxy=embedded",),
}
FINE_TUNED, PLAIN = "ufogen, full", "plain training"
OBJECTIVES = {
    FINE_TUNED: ("objective=ufogen", *ONE_STEP),
    "ufogen, LoRA": ("objective=ufogen", *ONE_STEP, "objective.finetune=lora"),
    "ufogen, frozen teacher": ("objective=ufogen", *ONE_STEP, "objective.reconstruction=distill"),
    "steps, vanilla": ("objective=steps", "objective.cfg_probability=0"),
    "steps, guided": ("objective=steps", "objective.cfg_probability=1"),
    "lcm": ("objective=lcm",),
}
OF_BASE, OF_ONE_STEP = 0.4, 0.35  # shares of the time
TIMED_STEPS = 8
LEAST_STEPS = 20
SAME = ("precision", "batch", "size", "minutes")  # of all that one folder holds


@dataclass(frozen=True)
class Chosen:
    """The words; `minutes` in all."""

    folder: str
    device: Literal["cuda", "cpu"] = "cuda"
    precision: Literal["bf16", "fp32"] = "bf16"
    batch: int = 64
    size: Literal["quarter", "small"] = "quarter"
    minutes: float = 11.0

    @property
    def machine(self) -> list[str]:
        return [f"training.{name}={getattr(self, name)}" for name in ("device", "precision")] + [
            f"training.batch_size={self.batch}"
        ]


def main(words: list[str]) -> int:
    print(report(in_folder(Chosen, words)))
    return 0


def report(chosen: Chosen) -> str:
    """Trained and measured where it is not yet; the table, which FOLDER then holds."""
    lab = Lab(Path(chosen.folder).resolve())
    place = Place(chosen.device, 1, chosen.precision)
    about = {"device": place.name(), "versions": versions_of("eager")}
    journal = Journal(lab.folder / "one_step.jsonl", about | {name: vars(chosen)[name] for name in SAME})
    base, result = lab.folder / "base", lab.folder / "one-step"

    of_base = ["arch=md", *SIZES[chosen.size], *chosen.machine, DROPOUT]
    measured(journal, PLAIN, partial(plain_training, [*of_base, f"out={base}"]), chosen)
    steps = steps_in(journal, PLAIN, OF_BASE, chosen)
    lab.once(
        "base", "train", *of_base, "out=base", f"training.steps={steps}", "training.learning_rate=1e-3",
        "training.decay=cosine", "training.ema_decay=0.999", "scores=true",
    )  # fmt: skip

    for name, own in OBJECTIVES.items():
        of_objective = [f"init_from={base}", *own, *chosen.machine, f"out={lab.folder / 'timed'}"]
        measured(journal, name, partial(distillation, of_objective), chosen)

    steps = steps_in(journal, FINE_TUNED, OF_ONE_STEP, chosen)
    words = ("init_from=base", "out=one-step", *chosen.machine, *ONE_STEP, f"training.steps={steps}")
    lab.once("one-step", "distill", *words, "scores=true", "state_every_steps=100000")
    text = "\n".join([f"{date.today()}, {place.name()}, {chosen.precision}, batches of {chosen.batch}", ""])
    text += render_table([], rows(journal, chosen), "markdown") + "\n" + "\n".join(scored(result))
    (lab.folder / "one_step.md").write_text(text + "\n", encoding="utf-8")
    return text


def plain_training(words: list[str]) -> TrainingLoop[Any]:
    command, _ = command_of(words)
    [stage] = command.all_stages()
    return Trainer(command.narrowed(stage), load_data(stage.data), stage.training, seed=command.seed)


def distillation(words: list[str]) -> TrainingLoop[Any]:
    command, _ = distill_command_of(words)
    data = load_data(command.data)
    return Distiller(Path(command.init_from), data, command.training, command.objective, seed=command.seed)


def measured(journal: Journal, name: str, make: Callable[[], TrainingLoop[Any]], chosen: Chosen) -> None:
    """The median seconds of a step, and the most bytes that the GPU held; of a name that has none yet."""
    if name in journal.results:
        return
    on_gpu = chosen.device == "cuda"
    gc.collect()
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    took = seconds_of_steps(make(), TIMED_STEPS)
    most = torch.cuda.max_memory_allocated() if on_gpu else None
    journal.add(name, seconds=sorted(took)[len(took) // 2], bytes=most)
    print(f"{name}: {journal.results[name]}", flush=True)


def steps_in(journal: Journal, name: str, share: float, chosen: Chosen) -> int:
    """That a share of the time holds."""
    return max(LEAST_STEPS, int(60 * chosen.minutes * share / journal.results[name]["seconds"]))


def rows(journal: Journal, chosen: Chosen) -> list[dict[str, str]]:
    plain = journal.results[PLAIN]["seconds"]
    return [
        {
            "objective": name,
            "images a second": f"{chosen.batch / found['seconds']:,.0f}",
            "a step, in plain ones": f"{found['seconds'] / plain:.2f}",
            "GiB at most": "not counted on a CPU"
            if found["bytes"] is None
            else f"{found['bytes'] / 2**30:.1f}",
        }
        for name, found in journal.results.items()
    ]


def scored(folder: Path) -> list[str]:
    """What one step was worth: of the base as it generates, of its single step, and of the result."""
    lines = [json.loads(line) for line in curve_lines(folder)]
    before = next(line for line in lines if BEFORE in line)
    found = {
        "base": before[BEFORE],
        "its single step": before,
        f"after {lines[-1]['step']:,} steps": lines[-1],
    }
    return [
        f"- {name}: "
        + ", ".join(f"{score} {said[score]:.4g}" for score in ("fid_embedded_clip", "clip_embedded"))
        for name, said in found.items()
    ]


if __name__ == "__main__":
    run_as_command(main, __doc__)
