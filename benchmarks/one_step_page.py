"""What came out of `benchmarks.one_step`, as a page, with a picture of every way to distil."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from analysis.rendering import render_table, write_text
from benchmarks.lab import Lab
from benchmarks.one_step_records import BASE, Records, joined, load_records, save_records
from benchmarks.one_step_tables import adapter_rows, base_rows, cell_rows, untold_rows
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


def tables_of(records: Records) -> dict[str, list[dict[str, str]]]:
    """By name; only what there are rows of."""
    found = {
        "Base": base_rows(records),
        "Distilled": list(cell_rows(records)),
        "Untold": list(untold_rows(records)),
        "Adapters": list(adapter_rows(records)),
    }
    return {name: rows for name, rows in found.items() if rows}


def as_markdown(tables: Mapping[str, Sequence[Mapping[str, str]]]) -> str:
    parts = [[f"## {_TITLES[name]}", _READ.get(name), _table(rows)] for name, rows in tables.items()]
    return "\n".join("\n\n".join(filter(None, part)) for part in parts)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    return render_table([], rows, "markdown")


def records_file(page: Path) -> Path:
    return page.with_suffix(".jsonl")


def write_page(lab: Lab, found: Records, page: Path) -> None:
    """The tables of what was found here and of what is recorded beside the page, which both then are.

    Raises:
        InputError: of another base, or by other words.
    """
    file = records_file(page)
    records = joined(load_records(file), found) if file.is_file() else found
    save_records(records, file)
    _keep_pictures(lab, page.with_suffix(""))
    write_text(page_of(records, page), str(page))


def page_of(records: Records, page: Path) -> str:
    """The text, of records and of the pictures beside the page."""
    folder = page.with_suffix("")
    names = sorted((file.stem for file in folder.glob("*.png")), key=lambda name: (name != BASE, name))
    rows = [{"model": name, "samples": f"![{name}]({folder.name}/{name}.png)"} for name in names]
    told = " ".join(filter(None, [records.note, records.protocol]))
    text = (
        "# What is one step worth on scenes, and what survives it?\n\n"
        f"Made by `python -m benchmarks.one_step FOLDER --page {page.name}` of {records_file(page).name}, "
        f"which it adds to (`--known {records_file(page).name}` goes on with what is left, if the base comes "
        "out the same; another kind of processor trains another); "
        f"nothing on this page is edited by hand. {told}\n\n"
        f"{as_markdown(tables_of(records))}"
    )
    if not rows:
        return text
    return (
        f"{text}\n## What do they look like?\n\nThe same captions and noise in each row; the base in its own "
        f"steps, seed 0 of each way to distil in the steps it is for.\n\n{_table(rows)}"
    )


def _keep_pictures(lab: Lab, folder: Path) -> None:
    """The first row of samples of each model."""
    for model in [lab.folder / BASE, *sorted(lab.folder.glob("models/*-seed0"))]:
        if (model / SAMPLES_NAME).is_file():
            folder.mkdir(exist_ok=True)
            with Image.open(model / SAMPLES_NAME) as samples:
                row = samples.crop((0, 0, samples.width, samples.width // SHOWN))
                row.save(folder / f"{model.name.removesuffix('-seed0')}.png", optimize=True)
