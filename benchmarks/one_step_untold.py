"""What is one step worth without captions? On scenes they say nearly all that an image shows; without any,
one step of a diffusion model is the mean of all images, and the adversarial term has all to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.lab import Lab
from benchmarks.one_step_tables import BASE, base_needs, over_seeds
from evaluators.protocols.score import Score
from evaluators.protocols.sheet import FILE, Sheet
from training.devices import choose_device
from training.model import load_model

UNTOLD = "untold"


def measure_untold(
    lab: Lab, name: str, model: Path, steps: Sequence[int], captions: str, images: int
) -> None:
    """FID of so many images, kept, for each number of steps.

    Args:
        captions: a file of as many as images; what the score of the CLIP is of, which means nothing here.
    """
    for count in steps:
        own = f"{name}-steps{count}"
        file = lab.folder / UNTOLD / f"{own}.npz"
        if not lab.is_done(f"{UNTOLD}-{own}"):
            file.parent.mkdir(exist_ok=True)
            network = load_model(model, str(choose_device("auto")))
            made = network.generate([""] * images, seed=0, steps=count, guidance=1.0)
            np.savez_compressed(file, arr_0=made)
        named = (f"images={UNTOLD}/{own}.npz", f"captions={captions}", f"out={UNTOLD}/{own}")
        lab.once(f"{UNTOLD}-{own}", "evaluate", "evaluator=run", *named)
        file.unlink(missing_ok=True)


def untold_rows(lab: Lab, fid: str) -> Iterator[dict[str, str]]:
    """Of the base by steps, with intervals over images; then of each way to distil, over seeds."""
    found: dict[tuple[str, int], list[Score]] = {}
    for file in sorted(lab.folder.glob(f"{UNTOLD}/*/{FILE}")):
        name, _, number = file.parent.name.rpartition("-steps")
        way = name if name == BASE else name.rpartition("-seed")[0]
        found.setdefault((way, int(number)), []).append(Sheet.load(file.parent).scores[fid])
    base = [(steps, scores[0]) for (way, steps), scores in found.items() if way == BASE]
    for (way, steps), scores in sorted(found.items(), key=lambda item: (item[0][0] != BASE, *item[0])):
        values = [score.value for score in scores]
        row = {
            "model": way,
            "steps": str(steps),
            "seeds": str(len(scores)),
            "FID": over_seeds(values, 0, logarithmic=True),
        }
        if way == BASE:
            yield row | {"FID": _over_images(scores[0]), "the base needs for that FID": "-"}
        else:
            yield row | {"the base needs for that FID": base_needs(base, scores)}


def _over_images(score: Score) -> str:
    if score.interval is None:
        return f"{score.value:.0f}"
    return f"{score.value:.0f} ({score.interval.low:.0f} to {score.interval.high:.0f})"
