"""Cards of what generates beside others: an adapter, which needs its model, and an autoencoder."""

from __future__ import annotations

from pathlib import Path

from space.interchange.autoencoder_files import OWN_CLASS
from space.interchange.autoencoder_kl import CLASS_NAME, has_kl_layout
from space.shared.command_lines import command_line
from space.shared.plain import to_plain
from training.adapting import AdapterTrainer
from training.autoencoder import AutoencoderTrainer
from training.card_parts import (
    CardSettings,
    card_document,
    card_head,
    card_table,
    images_on_card,
    licence_rows,
    score_lines,
)
from training.data.base import CommonSettings
from training.files import SAMPLES_NAME
from training.run import ModelScores

_TAGS = ("diffusion", "mdsearch", "mobilediffusion")


def adapter_card(
    folder: Path,
    trainer: AdapterTrainer,
    base: Path,
    data: CommonSettings,
    stated: CardSettings,
    scored: ModelScores,
) -> str:
    """Markdown of an adapter's folder.

    Args:
        base: the folder of the model that it belongs to.
        data: the settings of its images.
    """
    own, settings, name = trainer.own, trainer.settings, base.resolve().name
    images, pipeline = images_on_card(trainer.data, data), f"{folder.resolve().name}-pipeline"
    attach = command_line("attach", model=base, folder=folder, out=pipeline)
    sampled = f"num_inference_steps={settings.sampling_steps}, guidance_scale={settings.guidance:g}"
    given = ", ".join(filter(None, (repr(trainer.data.train_captions[0]), own.given, sampled)))
    chosen = ", ".join(f"{field} {value}" for field, value in to_plain(own).items() if field != "name")
    rows = [
        ("base", f"{name}, digest `{trainer.identity['base']}`, architecture `{trainer.architecture.id}`"),
        ("adapter", f"{own.name}: {chosen}"),
        ("learnt", f"{trainer.parameters:,} parameters; the base's own are as they were"),
        *licence_rows(stated, images),
        (
            "training",
            f"{trainer.step:,} steps of {settings.batch_size:,} images, learning rate "
            f"{settings.learning_rate:g}, seed {trainer.seed}",
        ),
    ]
    how = "The loss of the base with the adapter, on held-out images, with the same noise every time."
    lines = [
        f"# {folder.resolve().name}",
        "",
        f"{own.title} for {name}, trained by mdsearch. It works with that model and with what was distilled "
        "from it:",
        "",
        f"    {attach}",
        "",
        "writes a pipeline, which with mdsearch and diffusers installed is used by",
        "",
        "```python",
        "from diffusers import DiffusionPipeline",
        f"pipeline = DiffusionPipeline.from_pretrained({pipeline!r}, trust_remote_code=True)",
        f'pipeline({given}).images[0].save("image.png")',
        "```",
        "",
        f"![Held-out images]({SAMPLES_NAME})",
        "",
        *card_table(("what", "here"), rows),
        "",
        "## Scores",
        "",
        *score_lines(scored, how),
    ]
    tags = ("text-to-image", own.name, *_TAGS)
    return card_document(card_head(stated, "mdsearch", tags, "text-to-image"), lines, images)


def autoencoder_card(
    folder: Path,
    trainer: AutoencoderTrainer,
    data: CommonSettings,
    stated: CardSettings,
    scored: ModelScores,
) -> str:
    """Markdown of an autoencoder's folder; `data` are the settings of its images."""
    a, settings, images = trainer.autoencoder, trainer.reconstruction, images_on_card(trainer.data, data)
    stock = has_kl_layout(a)
    module, name = ("diffusers", CLASS_NAME) if stock else OWN_CLASS
    latents = f"{a.latent_channels} channels, each side / {a.factor}"
    rows = [
        ("autoencoder", f"`{a.id}`, {trainer.parameters:,} parameters; latents of {latents}"),
        *licence_rows(stated, images),
        (
            "training",
            f"{trainer.step:,} steps of {settings.batch_size:,} images, learning rate "
            f"{settings.learning_rate:g}, seed {trainer.seed}",
        ),
        ("looked through", str(trainer.identity.get("perceptual", "no perceptual network"))),
    ]
    if "encoder" in trainer.identity:
        rows.append(("encoder", f"was given, and stays: digest `{trainer.identity['encoder']}`"))
    how = "Of held-out images, by the averaged weights; PSNR is not rounded to 8 bits."
    lines = [
        f"# {folder.resolve().name}",
        "",
        f"An autoencoder of images of {a.image_size} px, trained by mdsearch.",
        "",
        "```python",
        f"from {module} import {name}",
        f'autoencoder = {name}.from_pretrained(".")',
        "```",
        "",
        f"![Held-out images, what comes back, differences]({SAMPLES_NAME})",
        "",
        *card_table(("what", "here"), rows),
        "",
        "## Scores",
        "",
        *score_lines(scored, how),
    ]
    library = "diffusers" if stock else "mdsearch"
    return card_document(card_head(stated, library, ("autoencoder", *_TAGS), None), lines, images)
