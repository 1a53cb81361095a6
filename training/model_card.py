"""What a trained model's folder says to whoever is given it: what it is, how good, whose images it saw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from space.architecture import Architecture
from space.level_table import LEVEL_COLUMNS, level_rows
from space.prices.macs import price
from space.shared.command_lines import command_line
from space.shared.seeds import derived_seed
from training.card_parts import (
    CardImages,
    CardSettings,
    card_document,
    card_head,
    card_table,
    images_on_card,
    licence_rows,
    save_card,
    score_lines,
)
from training.data.base import CommonSettings
from training.files import SAMPLES_NAME
from training.run import ModelScores
from training.trainer import Trainer

TASK = "text-to-image"
TAGS = ("text-to-image", "diffusion", "mdsearch", "mobilediffusion")


@dataclass(frozen=True)
class Card:
    """All that a card tells beside what is in the folder.

    Attributes:
        parameters, gmacs: of the network as it was trained.
        scored: by the averaged weights.
    """

    name: str
    architecture: Architecture
    parameters: int
    gmacs: float
    images: CardImages
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
    rate = f"learning rate {settings.learning_rate:g}"
    return Card(
        name=name,
        architecture=trainer.architecture,
        parameters=trainer.parameters,
        gmacs=price(trainer.architecture).gmacs,
        images=images_on_card(own, data),
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
    save_card(folder, card_text(card, folder, is_pipeline=False))


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
        *card_table(LEVEL_COLUMNS, level_rows(card.architecture)),
        "",
        f"{card.parameters:,} parameters, {card.gmacs:.4g} GMACs an evaluation (half of its GFLOPs), "
        "without text encoder and autoencoder; id "
        f"`{card.architecture.id}`.",
        "",
        "## Training",
        "",
        *card_table(("what", "here"), _facts(card)),
        "",
        "## Scores",
        "",
        *score_lines(card.scored, _how_scored(card)),
    ]
    library = "diffusers" if is_pipeline else "mdsearch"
    return card_document(card_head(card.stated, library, TAGS, TASK), lines, card.images)


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
    return [
        *licence_rows(card.stated, card.images),
        ("training", card.protocol),
        ("generates with", f"{card.sampling_steps} steps, guidance {card.guidance:g}"),
    ]


def _how_scored(card: Card) -> str:
    how = "On held-out images, by the averaged weights. The validation loss has the same noise every time."
    if card.scored.images:
        how += (
            f" The others are of {card.scored.images:,} images of one seed, as the search's embedded "
            "evaluator scores them: they compare under its protocol alone. Intervals: resampled images "
            "(bootstrap)."
        )
    return how
