"""What a trained model's folder says to whoever is given it: what it is, how good, whose images it saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from space.architecture import Architecture
from space.level_table import LEVEL_COLUMNS, level_rows
from space.prices.macs import price
from space.shared.command_lines import command_line
from space.shared.files import write_whole
from space.shared.plain import InputError
from space.shared.seeds import derived_seed
from training.data.base import CommonSettings
from training.files import CARD_NAME, SAMPLES_NAME
from training.run import ModelScores
from training.trainer import Trainer

NOT_STATED = "not stated"
# Licences as the Hub names them; of any other it wants a name beside `other`.
HUB_LICENCES = (
    "agpl-3.0", "apache-2.0", "bigscience-openrail-m", "bsd-3-clause", "cc-by-3.0", "cc-by-4.0",
    "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0",
    "cc0-1.0", "creativeml-openrail-m", "gpl-3.0", "lgpl-3.0", "mit", "openrail", "openrail++", "unlicense",
)  # fmt: skip
QUANTILE = 1.96  # of the normal distribution: 95 % lie within so many deviations


@dataclass(frozen=True)
class CardSettings:
    """What only the user can state; null: the card says that it is not stated."""

    licence: str | None = None  # of the weights
    data_licence: str | None = None  # of the images


@dataclass(frozen=True)
class Card:
    """All that a card tells beside what is in the folder.

    Attributes:
        parameters, gmacs: of the network as it was trained.
        data: a line on the images; `attribution` one that they oblige to, `data_licence` what they say.
        scored: by the averaged weights.
    """

    name: str
    architecture: Architecture
    parameters: int
    gmacs: float
    data: str
    attribution: str
    data_licence: str
    stated: CardSettings
    protocol: str
    prompt: str
    sampling_steps: int
    guidance: float
    image_size_px: int
    scored: ModelScores


def card_of(
    name: str,
    trainer: Trainer,
    data: CommonSettings,
    stated: CardSettings,
    scored: ModelScores,
    steps: str | None = None,
) -> Card:
    """Of a training as it stands.

    Args:
        data: the settings of its images.
        steps: those that it took, in words; None: all of one batch size.
    """
    own, settings = trainer.data, trainer.settings
    held_out = f"{len(own.held_out_captions):,} are held out"
    images = f"{own.train_images:,} images of {data.title}, {own.image_size_px} px, digest `{own.digest}`"
    rate = f"learning rate {settings.learning_rate:g}"
    return Card(
        name=name,
        architecture=trainer.architecture,
        parameters=trainer.parameters,
        gmacs=price(trainer.architecture).gmacs,
        data=f"{images}; {held_out}",
        attribution=data.attribution,
        data_licence=data.licence,
        stated=stated,
        protocol=f"{steps or f'{trainer.step:,} steps of {settings.batch_size:,} images'}, {rate}, "
        f"{settings.diffusion.prediction} prediction, seed {trainer.seed}",
        prompt=own.train_captions[0],
        sampling_steps=settings.sampling_steps,
        guidance=settings.guidance,
        image_size_px=own.image_size_px,
        scored=scored,
    )


def write_card(folder: Path, card: Card) -> None:
    """That of a training that goes on. Raises InputError where it cannot be written."""
    try:
        write_whole(folder / CARD_NAME, card_text(card, folder, is_pipeline=False))
    except OSError as error:
        raise InputError(f"out: {str(folder)!r} cannot be written: {error}") from None


def card_text(card: Card, folder: Path, *, is_pipeline: bool) -> str:
    """Markdown with a head as the Hugging Face Hub reads it.

    Args:
        folder: of the trained model, for `mdsearch generate`.
        is_pipeline: whether the card lies in a folder that diffusers loads.
    """
    lines = [
        f"# {card.name}",
        "",
        f"A text-to-image network for images of {card.image_size_px} px, trained by mdsearch (architecture "
        "search after MobileDiffusion).",
        "",
        *_usage(card, folder, is_pipeline=is_pipeline),
        "",
        f"![Samples of held-out captions]({SAMPLES_NAME})",
        "",
        "## Architecture",
        "",
        *_table(LEVEL_COLUMNS, level_rows(card.architecture)),
        "",
        f"{card.parameters:,} parameters, {card.gmacs:.4g} GMACs an evaluation (half of its GFLOPs), "
        "without text encoder and autoencoder; id "
        f"`{card.architecture.id}`.",
        "",
        "## Training",
        "",
        *_table(("what", "here"), _facts(card)),
        "",
        "## Scores",
        "",
        *_scores(card),
    ]
    if card.attribution:
        lines += ["", f"Images: {card.attribution}."]
    return f"---\n{_head(card, is_pipeline=is_pipeline)}\n---\n" + "\n".join(lines) + "\n"


def _head(card: Card, *, is_pipeline: bool) -> str:
    from huggingface_hub import ModelCardData

    licence = (card.stated.licence or "").strip()
    known = licence.lower() in HUB_LICENCES
    named: dict[str, Any] = {"license": licence.lower() if known else "other" if licence else "unknown"}
    if licence and not known:
        named["license_name"] = licence
    data = ModelCardData(
        **named,
        library_name="diffusers" if is_pipeline else "mdsearch",
        pipeline_tag="text-to-image",
        tags=["text-to-image", "diffusion", "mdsearch", "mobilediffusion"],
    )
    return str(data.to_yaml())


def _usage(card: Card, folder: Path, *, is_pipeline: bool) -> list[str]:
    command = command_line("generate", model=folder, prompt=card.prompt)
    if not is_pipeline:
        return [f"    {command}"]
    seed = derived_seed("initial noise", 0, 0)
    sampled = f"num_inference_steps={card.sampling_steps}, guidance_scale={card.guidance:g}"
    return [
        "In this folder (or with its name on the Hub for the dot), with mdsearch and diffusers installed:",
        "",
        "```python",
        "from diffusers import DiffusionPipeline",
        'pipeline = DiffusionPipeline.from_pretrained(".", trust_remote_code=True)',
        f'pipeline({card.prompt!r}, {sampled}).images[0].save("image.png")',
        "```",
        "",
        f"With `generator=torch.Generator().manual_seed({seed})` it is, but for rounding, the image of "
        f"`{command} seed=0`.",
    ]


def _facts(card: Card) -> list[tuple[str, str]]:
    stated = card.stated
    return [
        ("licence of the weights", stated.licence or NOT_STATED),
        ("images", card.data),
        ("licence of the images", stated.data_licence or card.data_licence or NOT_STATED),
        ("training", card.protocol),
        ("generates with", f"{card.sampling_steps} steps, guidance {card.guidance:g}"),
    ]


def _scores(card: Card) -> list[str]:
    scored = card.scored
    if not scored.scores:
        return ["Not measured yet."]
    rows = [
        (name, f"{value:.4g}", _interval(value, scored.deviations.get(name)))
        for name, value in scored.scores.items()
    ]
    how = "On held-out images, by the averaged weights. The validation loss has the same noise every time."
    if scored.images:
        how += (
            f" The others are of {scored.images:,} images of one seed, as the search's embedded evaluator "
            "scores them: they compare under its protocol alone. Intervals: resampled images (bootstrap)."
        )
    return [*_table(("score", "value", "95 % interval"), rows), "", how]


def _interval(value: float, deviation: float | None) -> str:
    if deviation is None:
        return "-"
    wide = QUANTILE * deviation
    return f"{value - wide:.4g} to {value + wide:.4g}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [list(columns), ["---"] * len(columns), *map(list, rows)]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]
