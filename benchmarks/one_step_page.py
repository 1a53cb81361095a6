"""What came out of `benchmarks.one_step`, as a page, with a picture of every way to distil."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image

from analysis.plotting import plot_file
from analysis.rendering import render_table, write_text
from benchmarks.lab import Lab
from benchmarks.one_step_tables import BASE, adapter_rows, base_rows, cell_rows, curves_of
from benchmarks.one_step_untold import untold_rows
from training.files import SAMPLES_NAME

SHOWN = 7  # images of a model: the first row of its samples
_TITLES = {
    "Base": "How good is the base, by DDIM steps and guidance?",
    "Distilled": "What does each way to distil come to?",
    "Untold": "And without captions?",
    "Adapters": "What do adapters of the base still do?",
}
_READ = {  # how a table is to be read
    "Distilled": "By UFOGen: the reconstruction term (*diffusion*, *distill*, *ema*, *none*), and whether "
    "all weights learn or LoRA; *t*: the discriminator is told the generator's level, as equation 1 prints; "
    "*gap250*: it sees images 250 timesteps below; *some-signal*: the last level is not noise alone. "
    "*Steps*: SnapFusion's 50 to 16 to 8, *guided* with its guided loss. *LCM*: latent consistency. "
    "*Told apart*: by the discriminator, at the end; luck tells half, and above 98 % it would be stopped. "
    "Of two steps of UFOGen's the second starts at a level that these did not learn. *<1*: one step of "
    "the base does better.",
    "Untold": "On scenes captions say nearly all that an image shows. Without any, one step of the base is "
    "the mean of all images; 10 % of what all of these learnt from had none.",
    "Adapters": "*Alone* is the same model without the adapter, by the same captions and noise. *No "
    "caption*: what an image then shows of what is asked for is the adapter's doing alone. *Style* is read "
    "of areas that only fade, too: beside *as the caption says*.",
}


def tables_of(lab: Lab) -> dict[str, list[dict[str, str]]]:
    """By name; only what there are rows of."""
    curves = curves_of(lab)
    found = {
        "Base": base_rows(lab),
        "Distilled": list(cell_rows(lab)),
        "Untold": [] if curves is None else list(untold_rows(lab, curves.fid)),
        "Adapters": list(adapter_rows(lab)),
    }
    return {name: rows for name, rows in found.items() if rows}


def as_markdown(tables: Mapping[str, Sequence[Mapping[str, str]]]) -> str:
    parts = [[f"## {_TITLES[name]}", _READ.get(name), _table(rows)] for name, rows in tables.items()]
    return "\n".join("\n\n".join(filter(None, part)) for part in parts)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    return render_table([], rows, "markdown")


def write_page(lab: Lab, page: Path, protocol: str) -> None:
    """The tables, and beside the page a picture that it shows.

    Args:
        protocol: what every score is of, in a paragraph.
    """
    picture = page.with_suffix(".png")
    _draw(lab, picture)
    write_text(
        "# What is one step worth on scenes, and what survives it?\n\n"
        f"Made by `python -m benchmarks.one_step FOLDER --page {page.name}` on {date.today().isoformat()}; "
        f"nothing on this page is edited by hand. {protocol}\n\n{as_markdown(tables_of(lab))}\n"
        "## What do they look like?\n\nThe same captions and noise in each row; the base in its own steps, "
        f"seed 0 of each way to distil in the steps it is for.\n\n![Samples of each]({picture.name})\n",
        str(page),
    )


def _draw(lab: Lab, file: Path) -> None:
    """A row of samples for each model."""
    models = [lab.folder / BASE, *sorted(lab.folder.glob("models/*-seed0"))]
    shown = [model for model in models if (model / SAMPLES_NAME).is_file()]
    with plot_file(file, (8.0, 0.9 * len(shown))) as figure:
        for axes, model in zip(np.ravel(figure.subplots(len(shown), 1)), shown, strict=True):
            with Image.open(model / SAMPLES_NAME) as samples:
                row = samples.crop((0, 0, samples.width, samples.width // SHOWN))
                axes.imshow(row, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(visible=False)
            label = model.name.removesuffix("-seed0")
            axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
