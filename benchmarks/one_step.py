"""What is one step worth, and what survives it? `python -m benchmarks.one_step FOLDER`: Table 5, small.

base: a diffusion model of rendered scenes, trained with caption dropout; its FID and CLIP score with 1 to 50
DDIM steps, alone and guided (which takes two evaluations of the network a step), and its FID without
captions, as of all that follows. It has to reach a CLIP
score of .95, and three times the FID of real images of the training split, or nothing follows.

cells: it is distilled to one step by each reconstruction term and way of fine-tuning, with each seed; and
otherwise: without such a term, told `t` as equation 1 prints, by a gap of 250, and without a last level of
noise alone. How many evaluations of the base a single step is worth; a cell that fails is named.

few: SnapFusion's 50 to 16 to 8 steps, with its guided loss and without; latent consistency in 4.

adapters: ControlNet, T2I-adapter, LoRA and inpainting, trained with the base; measured beside it, and beside
each model that was fine-tuned whole to one step.

Every part goes on where it was left. Scores are those of a search's trials, of all held-out captions;
FOLDER/run is a search of one network. Intervals of the base are over images, of all else over seeds.

--page FILE.md keeps what was found in FILE.jsonl beside it, with what is there of the same base. With --known
FILE.jsonl a new folder goes on where that ends: once its base is known to be the same, no cell that stands
there is trained again. Another kind of processor trains another base (one step has 19.4 in place of 18.1).
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.lab import Lab
from benchmarks.one_step_page import as_markdown, tables_of, write_page
from benchmarks.one_step_records import (
    BASE,
    Records,
    check_same_base,
    first_fid,
    load_records,
    records_of,
)
from benchmarks.one_step_untold import keep_real, measure_untold
from conf.repeated import without
from evaluators.protocols.sheet import Sheet
from space.shared.plain import InputError

PARTS = ("base", "cells", "few", "adapters")
STEPS = (1, 2, 4, 8, 50)  # of the base's DDIM
GUIDED, SCANNED = 2.0, (1.25, 1.5, 3.0)
BEST = SCANNED[0]  # the guidance by which the base scores best
CFG = "objective.cfg_range=[1,4]"  # beyond 3 the base itself fails
IMAGES = 1440  # all held-out captions of scenes, and as many training images beside
LEAST_CLIP, MOST_FID = 0.95, 3.0  # of the base, the FID as a multiple of real images'
REAL, DROPOUT = "real.npz", "training.caption_dropout=0.1"
TERMS = ("diffusion", "distill", "ema")
# At the rate of all weights LoRA stays where the base is (without captions FID 4,678, at 3e-4 1,117, at 1e-3
# 3,479; seed 0).
WAYS = {
    "full": ("objective.finetune=full",),
    "lora": ("objective.finetune=lora", "training.learning_rate=3e-4"),
}
KINDS = ("controlnet", "t2i", "lora", "inpainting")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("folder", type=Path)
    words.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    words.add_argument("--steps", type=int, default=30000, help="of the base's training")
    words.add_argument("--distilling", type=int, default=1000, help="steps of a distillation")
    words.add_argument("--adapting", type=int, default=2000, help="steps of an adapter's training")
    words.add_argument("--images", type=int, default=IMAGES, help="of each score; all held-out captions")
    words.add_argument(
        "--anyway", action="store_true", help="go on with a base that does not reach its scores"
    )
    words.add_argument("--tables", action="store_true", help="of what is there, without training any more")
    words.add_argument("--page", type=Path, help="likewise, as a Markdown file with records beside it")
    words.add_argument("--known", type=Path, help="records of the same base, which are not made again")
    chosen = words.parse_args()
    known = load_records(chosen.known) if chosen.known else Records("")
    counts = (chosen.steps, chosen.distilling, chosen.adapting, chosen.images)
    lab = OneStep(chosen.folder.resolve(), *counts, known)
    if not (chosen.tables or chosen.page):
        lab.base()
        is_enough, said = lab.of_base()
        print(said)
        if not (is_enough or chosen.anyway):
            sys.exit("the base falls short; needed: another folder and more --steps, or --anyway")
        for part in PARTS[1:]:
            if part in chosen.parts:
                getattr(lab, part)(chosen.seeds)
    if chosen.page:
        write_page(lab, lab.records(), chosen.page)
        print(f"written: {chosen.page}")
    else:
        print(as_markdown(tables_of(lab.records())), end="")


@dataclass(frozen=True)
class Cell:
    """One way to distil: its name and the words that say it."""

    name: str
    words: tuple[str, ...]


CELLS = [
    *(
        Cell(f"{term}-{way}", (f"objective.reconstruction={term}", *WAYS[way]))
        for term in TERMS
        for way in WAYS
    ),
    Cell("none-full", ("objective.reconstruction=none",)),
    Cell("diffusion-full-t", ("objective.condition=t",)),
    Cell("diffusion-full-gap250", ("objective.gap=250",)),
    Cell("diffusion-full-some-signal", ("objective.zero_terminal_snr=false",)),
]
# As objective=ufogen_small, word by word. At 5e-5 the generator evades all that the discriminator
# begins to see (told apart .50 to the end; at 2e-5 .75 after 500 steps). Captions are dropped as the base's
# were, so that adapters can be measured without any.
ONE_STEP = (
    "training.learning_rate=2e-5", "training.decay=cosine", DROPOUT,
    "objective.discriminator_learning_rate=1e-3",
    "objective.discriminator_betas=[0.9,0.999]", "objective.discriminator_every=1",
    "objective.clamp_logits=null", "objective.timesteps=last", "objective.gap=960",
    "objective.reconstruction_weight=3",
)  # fmt: skip
RATE = "training.learning_rate=5e-4"  # of SnapFusion's
# At Huber's c of .001, nearly the sign of each error, 16 images a step make all fade to a blur, at 2e-5, too.
INSIDE = ("training.learning_rate=2e-5", "objective.huber=1")
# By its projections of attention alone, which see coarse maps here, LoRA only fades what is filled.
STYLE = ("data.style=outline", "adapter.layers=all", "adapter.rank=16")


@dataclass(frozen=True)
class OneStep(Lab):
    """A folder of trained models.

    Attributes:
        steps: of the base's training.
        distilling: steps of a distillation.
        adapting: steps of an adapter's training.
        images: of each score.
        known: what was measured elsewhere, of the same base.
    """

    steps: int
    distilling: int
    adapting: int
    images: int
    known: Records = field(default=Records(""))

    def base(self) -> None:
        run = (
            "enqueue=[md]", "trials=1", "rungs=[125]", "stopping=none", "confirmation=none",
            f"evaluators.images={self.images}",
        )  # fmt: skip
        if not self.is_done("run"):  # some seconds: what was interrupted begins anew
            shutil.rmtree(self.folder / "run", ignore_errors=True)
        self.once("run", "search", "name=run", "runs_folder=.", "recorded=false", "backend=inline", *run)
        self.once(
            "base", "train", "out=base", f"training.steps={self.steps}", DROPOUT,
            "training.learning_rate=2e-3", "training.decay=cosine", "training.warmup_steps=200",
            "training.ema_decay=0.999", "scores=true", "state_every_steps=1000",
        )  # fmt: skip
        if self.known.base:
            self.once("curves-base-known", *self._curve_words("base"), "steps=1,2", "guidance=1")
            check_same_base(self.known, records_of(self, ""))
        else:
            self._base_curves()
        if not (self.folder / REAL).is_file():
            keep_real(self.folder / REAL, self.images)
        own = (f"images={REAL}", f"captions={Path(REAL).stem}.txt")
        self.once("real", "evaluate", *own, "evaluator=run", "out=real")
        if not self.known.base:
            self._untold(BASE, STEPS)

    def _base_curves(self) -> None:
        steps = ",".join(map(str, STEPS))
        self._curves("base", f"steps={steps}", f"guidance=1,{GUIDED:g}")
        scanned = ",".join(f"{each:g}" for each in SCANNED)
        self.once("curves-base-guidance", *self._curve_words("base"), "steps=8", f"guidance={scanned}")

    def protocol(self) -> str:
        """What every score is of."""
        return (
            f"A base of {self.steps:,} steps with caption dropout, distilled for {self.distilling:,} and "
            f"adapted for {self.adapting:,} steps of 16 images. FID and CLIP score are those of a search's "
            f"trials, of {self.images:,} images; lower and higher is better. Of the points below, "
            f"{self.of_base()[1]}. Intervals are 95 %: of the base over images, of all else over seeds (of "
            "an FID by its logarithm). Evaluations are passes of the network, two a step with guidance; what "
            "the base needs is its fewest that score so, by whatever guidance, within what its images and "
            f"the seeds leave open.\n\nUFOGen by `{' '.join(ONE_STEP)}`, LoRA by "
            f"`{WAYS['lora'][1]}`; the steps by `{RATE}`, LCM by "
            f"`{' '.join(INSIDE)}`, guided "
            f"and LCM by `{CFG}`, LCM with guidance {BEST:g}."
        )

    def of_base(self) -> tuple[bool, str]:
        """Whether its best scores are those that a base has to have, and what they are."""
        real = Sheet.load(self.folder / "real").scores
        points = self.known.base or records_of(self, "").base
        fid = min(each.fid.value for each in points)
        clip = max(each.clip.value for each in points if each.clip)
        bound = MOST_FID * first_fid(real).value
        return clip >= LEAST_CLIP and fid <= bound, (
            f"the base's best CLIP score is {clip:.3f} (needed: {LEAST_CLIP}), its best FID "
            f"{fid:.1f} (at most {bound:.1f}, {MOST_FID:g} times that of real images)"
        )

    def records(self) -> Records:
        """Of all that is done; without a base nothing is."""
        done = self.is_done("real")
        return records_of(self, self.protocol()) if done else Records("")

    def cells(self, seeds: Sequence[int]) -> None:
        for cell in CELLS:
            for seed in seeds:
                name = f"{cell.name}-seed{seed}"
                if name in self.known.cells:
                    continue
                if self._distilled(name, *of_cell(cell), f"seed={seed}"):
                    self._curves(name, "steps=1,2", "guidance=1")
                    self._untold(name, [1])

    def few(self, seeds: Sequence[int]) -> None:
        for seed in seeds:
            for way, loss in (
                ("vanilla", ("objective.cfg_probability=0",)),
                ("guided", ("objective.cfg_probability=0.1", CFG)),
            ):
                name, teacher = (f"steps-{way}-{count}-seed{seed}" for count in (8, 16))
                if name in self.known.cells:
                    continue
                own = ("objective=steps", *loss, f"seed={seed}", DROPOUT, RATE)
                first = ("objective.teacher_steps=50", "objective.sampling_steps=16")
                if not self._distilled(teacher, *own, *first):
                    continue
                self._curves(teacher, "steps=16,8", "guidance=1")
                last = ("objective.teacher_steps=16", "objective.sampling_steps=8")
                if self._distilled(name, *own, *last, f"objective.teacher=models/{teacher}"):
                    self._curves(name, "steps=8,4", f"guidance=1,{BEST:g},{GUIDED:g}")
                    self._untold(name, [8])
            name = f"lcm-seed{seed}"
            inside = ("objective=lcm", f"seed={seed}", CFG, f"objective.guidance={BEST:g}", *INSIDE)
            if name not in self.known.cells and self._distilled(name, *inside):
                self._curves(name, "steps=4,2", f"guidance=1,{BEST:g}")

    def adapters(self, seeds: Sequence[int]) -> None:
        for seed in seeds:
            for kind in KINDS:
                more = STYLE if kind == "lora" else ()
                self.once(
                    f"adapter-{kind}-seed{seed}", "train", "adapter", "init_from=base", f"adapter={kind}",
                    f"out=adapters/{kind}-seed{seed}", f"seed={seed}", f"training.steps={self.adapting}",
                    "training.learning_rate=1e-3", DROPOUT, *more,
                )  # fmt: skip
            folders = ",".join(f"adapters/{kind}-seed{seed}" for kind in KINDS)
            untold = ",".join(f"adapters/{kind}-seed{seed}" for kind in KINDS if kind != "lora")
            for name in ("base", *(f"models/{term}-full-seed{seed}" for term in TERMS)):
                if self.is_done(Path(name).name):
                    measured = ("evaluate", "adapter", f"models={name}", "out=survival")
                    self.run(*measured, f"adapters={folders}")
                    self.run(*measured, f"adapters={untold}", "captions=nothing")

    def _distilled(self, name: str, *words: str) -> bool:
        own = (f"training.steps={self.distilling}", "state_every_steps=500")
        return self.tried(name, "distill", "init_from=base", f"out=models/{name}", *words, *own)

    def _untold(self, name: str, steps: Sequence[int]) -> None:
        model = self.folder / (name if name == BASE else f"models/{name}")
        measure_untold(self, name, model, steps, f"{Path(REAL).stem}.txt", self.images)

    def _curves(self, name: str, *words: str) -> None:
        self.once(f"curves-{name}", *self._curve_words(name), *words)

    def _curve_words(self, name: str) -> list[str]:
        model = name if name == BASE else f"models/{name}"
        return ["generate", "curves", "run=run", f"model={model}", f"name={name}", "out=curves"]


def of_cell(cell: Cell) -> list[str]:
    """Its own words in place of those that all cells have; without such as have no effect in it."""
    has_term = "objective.reconstruction=none" not in cell.words
    words = [word for word in ONE_STEP if has_term or "reconstruction_weight" not in word]
    return without(words, cell.words) + list(cell.words)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
