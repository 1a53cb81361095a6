"""What is one step worth, and what survives it? `python -m benchmarks.one_step FOLDER`: Table 5, small.

base: a diffusion model of rendered scenes, trained with caption dropout; its FID and CLIP score with 1 to 50
DDIM steps, alone and guided (which takes two evaluations of the network a step). Some 10 core-minutes.

cells: it is distilled to one step by each reconstruction term and way of fine-tuning, with each seed; without
such a term; and told `t` as equation 1 prints. How many DDIM steps of the base its single step is worth.
Some 7 core-minutes a cell and seed: 3 hours with three seeds.

few: SnapFusion's 50 to 16 to 8 steps, with its guided loss and without; latent consistency in 4.

adapters: ControlNet, T2I-adapter, LoRA and inpainting, trained with the base; measured beside it, and beside
each model that was fine-tuned whole to one step.

Every part goes on where it was left. Scores are those of a search's trials; FOLDER/run is one of one network.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import stats

from analysis.rendering import render_table
from analysis.sampling_curves.points import CurvePoint, Curves, read_curves
from benchmarks.lab import Lab

PARTS = ("base", "cells", "few", "adapters")
STEPS = (1, 2, 4, 8, 50)  # of the base's DDIM
GUIDED = 2.0
TERMS, WAYS = ("diffusion", "distill", "ema"), ("full", "lora")
KINDS = ("controlnet", "t2i", "lora", "inpainting")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("folder", type=Path)
    words.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    words.add_argument("--steps", type=int, default=12000, help="of the base's training")
    words.add_argument("--distilling", type=int, default=2000, help="steps of a distillation, or an adapter")
    words.add_argument("--tables", action="store_true", help="of what is there, without training any more")
    chosen = words.parse_args()
    lab = OneStep(chosen.folder.resolve(), chosen.steps, chosen.distilling)
    if not chosen.tables:
        for part in PARTS:
            if part in chosen.parts:
                getattr(lab, part)(chosen.seeds)
    for title, rows in (("Base", base_rows(lab)), ("Distilled", list(cell_rows(lab)))):
        if rows:
            print(f"\n{title}\n\n{render_table([], rows, 'markdown')}", end="")


@dataclass(frozen=True)
class Cell:
    """One way to distil: its name and the words that say it."""

    name: str
    words: tuple[str, ...]


CELLS = [
    *(
        Cell(f"{term}-{way}", (f"objective.reconstruction={term}", f"objective.finetune={way}"))
        for term in TERMS
        for way in WAYS
    ),
    Cell("none-full", ("objective.reconstruction=none",)),
    Cell("diffusion-full-t", ("objective.condition=t",)),
]


@dataclass(frozen=True)
class OneStep(Lab):
    """A folder of trained models.

    Attributes:
        steps: of the base's training.
        distilling: steps of a distillation, or of an adapter's training.
    """

    steps: int
    distilling: int

    def base(self, seeds: Sequence[int]) -> None:
        run = ("enqueue=[md]", "trials=1", "rungs=[125]", "stopping=none", "confirmation=none")
        if not self.is_done("run"):  # some seconds: what was interrupted begins anew
            shutil.rmtree(self.folder / "run", ignore_errors=True)
        self.once("run", "search", "name=run", "runs_folder=.", "recorded=false", "backend=inline", *run)
        self.once(
            "base", "train", "out=base", f"training.steps={self.steps}", "training.caption_dropout=0.1",
            "training.learning_rate=2e-3", "training.decay=cosine", "training.warmup_steps=200",
            "training.ema_decay=0.999", "scores=true", "state_every_steps=1000",
        )  # fmt: skip
        steps = ",".join(map(str, STEPS))
        self._curves("base", f"steps={steps}", f"guidance=1,{GUIDED:g}")

    def cells(self, seeds: Sequence[int]) -> None:
        for seed in seeds:
            for cell in CELLS:
                name = f"{cell.name}-seed{seed}"
                self._distilled(name, *cell.words, f"seed={seed}")
                self._curves(name, "steps=1,2", "guidance=1")

    def few(self, seeds: Sequence[int]) -> None:
        for seed in seeds:
            for way, share in (("vanilla", 0), ("guided", 0.1)):
                own = ("objective=steps", f"objective.cfg_probability={share}", f"seed={seed}")
                teacher = f"steps-{way}-16-seed{seed}"
                self._distilled(teacher, *own, "objective.teacher_steps=50", "objective.sampling_steps=16")
                name = f"steps-{way}-8-seed{seed}"
                last = ("objective.teacher_steps=16", "objective.sampling_steps=8")
                self._distilled(name, *own, *last, f"objective.teacher=models/{teacher}")
                self._curves(name, "steps=8,4", f"guidance={GUIDED:g}")
            name = f"lcm-seed{seed}"
            inside = (
                "objective=lcm",
                f"seed={seed}",
                f"objective.cfg_range=[1,{2 * GUIDED:g}]",
                f"objective.guidance={GUIDED:g}",
            )
            self._distilled(name, *inside)
            self._curves(name, "steps=4,2", f"guidance={GUIDED:g}")

    def adapters(self, seeds: Sequence[int]) -> None:
        for seed in seeds:
            for kind in KINDS:
                more = ("data.style=outline",) if kind == "lora" else ()
                self.once(
                    f"adapter-{kind}-seed{seed}", "train", "adapter", "init_from=base", f"adapter={kind}",
                    f"out=adapters/{kind}-seed{seed}", f"seed={seed}", f"training.steps={self.distilling}",
                    "training.learning_rate=1e-3", "training.caption_dropout=0.1", *more,
                )  # fmt: skip
            folders = ",".join(f"adapters/{kind}-seed{seed}" for kind in KINDS)
            for name in ("base", *(f"models/{term}-full-seed{seed}" for term in TERMS)):
                if (self.folder / name).is_dir():
                    self.run("evaluate", "adapter", f"models={name}", f"adapters={folders}", "out=survival")

    def _distilled(self, name: str, *words: str) -> None:
        own = (f"training.steps={self.distilling}", "state_every_steps=500")
        self.once(name, "distill", "init_from=base", f"out=models/{name}", *words, *own)

    def _curves(self, name: str, *words: str) -> None:
        model = name if name == "base" else f"models/{name}"
        self.once(
            f"curves-{name}", "generate", "curves", "run=run", f"model={model}", f"name={name}",
            "out=curves", *words,
        )  # fmt: skip

    def curves(self) -> Curves | None:
        out = self.folder / "curves"
        return read_curves(out, None, None) if any(out.glob("base/*/scores.json")) else None


# ---------------------------------------------------------------------- tables


def base_rows(lab: OneStep) -> list[dict[str, str]]:
    """Steps, evaluations of the network, and both scores with their intervals over images."""
    if (curves := lab.curves()) is None:
        return []
    return [
        {
            "DDIM steps": str(point.steps),
            "guidance": f"{point.guidance:g}",
            "evaluations": str(evaluations(point)),
            "FID": _with_interval(point, curves.fid, 1),
            "CLIP": _with_interval(point, curves.clip, 3),
        }
        for point in curves.points
        if point.model == "base"
    ]


def cell_rows(lab: OneStep) -> Iterator[dict[str, str]]:
    """Each way to distil with each number of steps: mean over seeds, and Student's interval of it."""
    if (curves := lab.curves()) is None:
        return
    points = [point for point in curves.points if "-seed" in point.model]
    guided = [point for point in curves.points if point.model == "base" and point.guidance == GUIDED]
    for name, steps in sorted({(point.model.rpartition("-seed")[0], point.steps) for point in points}):
        own = [
            point for point in points if (point.model.rpartition("-seed")[0], point.steps) == (name, steps)
        ]
        fids, clips = ([point.scores[score].value for point in own] for score in (curves.fid, curves.clip))
        yield {
            "distilled": name,
            "steps": str(steps),
            "evaluations": str(evaluations(own[0])),
            "seeds": str(len(own)),
            "FID": over_seeds(fids, 1),
            "CLIP": over_seeds(clips, 3),
            "as good in FID as the base's guided steps": worth(guided, curves.fid, float(np.mean(fids)), -1),
            "in CLIP": worth(guided, curves.clip, float(np.mean(clips)), 1),
        }


def evaluations(point: CurvePoint) -> int:
    """Of the network for an image; guidance takes two a step, unless the network is told it (LCM)."""
    return point.steps * (2 if point.guidance != 1 and not point.model.startswith("lcm") else 1)


def over_seeds(values: Sequence[float], digits: int) -> str:
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.{digits}f}"
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return f"{mean:.{digits}f} ({mean - half:.{digits}f} to {mean + half:.{digits}f})"


def worth(base: Sequence[CurvePoint], score: str, value: float, sign: int) -> str:
    """The steps between which the base reaches a value; `sign` 1: higher is better.

    A number in between is where a line through log steps and scores passes; nothing is extended beyond.
    """
    points = sorted((point.steps, sign * point.scores[score].value) for point in base)
    value *= sign
    if value < points[0][1]:
        return f"fewer than {points[0][0]}"
    for (fewer, low), (more, high) in pairwise(points):
        if low <= value <= high:
            share = (value - low) / (high - low) if high > low else 0.0
            return f"{fewer * (more / fewer) ** share:.1f}"
    return f"more than {points[-1][0]}"


def _with_interval(point: CurvePoint, name: str, digits: int) -> str:
    score = point.scores[name]
    if score.interval is None:
        return f"{score.value:.{digits}f}"
    return f"{score.value:.{digits}f} ({score.interval.low:.{digits}f} to {score.interval.high:.{digits}f})"


if __name__ == "__main__":
    main()
