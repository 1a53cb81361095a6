"""What is one step worth without captions? On scenes they say nearly all that an image shows; without any,
one step of a diffusion model is the mean of all images, and the adversarial term has all to do. And
real images, beside which a base is judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.lab import Lab
from benchmarks.one_step_records import UNTOLD
from training.data.dataset import as_pixels
from training.data.factory import load_data
from training.data.scenes import ScenesSettings
from training.devices import choose_device
from training.model import load_model


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


def keep_real(file: Path, count: int) -> None:
    """Images of the training split, and their captions beside."""
    data = load_data(ScenesSettings())
    examples = data.examples(range(count), seed=0)
    np.savez_compressed(file, arr_0=as_pixels(examples.inputs))
    file.with_suffix(".txt").write_text("\n".join(examples.captions) + "\n", encoding="utf-8")
