"""How does a trained model become a diffusers pipeline, and a pipeline a model of ours?

What decides images travels along: noise levels and prediction as the scheduler's configuration, autoencoder
and text encoder as diffusers' and transformers' own, or the same in their form.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from space.architecture import Architecture
from space.interchange.checkpoints import PIPELINE_FILE
from space.interchange.weight_files import CONFIG_FILE, read_plain
from space.shared.files import readable_as_any_other
from space.shared.plain import InputError
from training.diffusion import DIFFUSERS_PREDICTION, DIFFUSERS_SCHEDULE, DiffusionSettings, ddim_scheduler
from training.interchange.words import clip_text_model, save_text_model, word_tokenizer
from training.latents import LatentSettings, make_codec
from training.model import ModelSettings
from training.pretrained import (
    LATENTS_FOLDER,
    TEXT_FOLDER,
    load_autoencoder,
    load_clip_text,
    local_folder,
)
from training.settings import TrainingSettings
from training.text import SmallTextEncoder, TextSettings

PIPELINE_CLASS = "StableDiffusionPipeline"
PIPELINE_FOLDERS = ("vae", "text_encoder", "tokenizer", "scheduler", "unet")  # folders of a pipeline
OF_SAMPLING = ("timestep_spacing", "set_alpha_to_one", "clip_sample", "thresholding")  # beside noise levels
ONE_STEP_CLASS = "OneStepScheduler"  # of `space.interchange.one_step`, which takes seconds to import
PIPELINE_PIXELS = 8  # images a side are multiples of it
PIPELINE_GUIDANCE, PIPELINE_STEPS = 7.5, 50  # of Stable Diffusion's pipeline, where a call says nothing else
WITHOUT_WORDS = "text.encoder: small, whose words a training state does not hold"
WITHOUT_COORDINATES = (
    "latents.coordinates: channels that UNet2DConditionModel does not add; allowed: to=pipeline_unet"
)


def save_scheduler(settings: ModelSettings, folder: str | Path) -> None:
    """Write the scheduler that generates as the model does."""
    _scheduler(settings).save_pretrained(folder)


def not_of_a_pipeline(settings: ModelSettings, *, has_words: bool) -> list[str]:
    """What keeps a model from being a whole `StableDiffusionPipeline`, a line each; empty: nothing.

    Args:
        has_words: whether weights and vocabulary of a text encoder that was trained along are there.
    """
    reasons, latents = [], settings.latents
    if latents.codec == "vae":
        config = read_plain(local_folder(str(latents.folder), LATENTS_FOLDER) / CONFIG_FILE)
        moved = [name for name in ("shift_factor", "latents_mean", "latents_std") if config.get(name)]
        reasons += [f"{name}: latents are moved, which StableDiffusionPipeline leaves out" for name in moved]
    elif latents.factor & (latents.factor - 1):
        reasons.append(f"latents.factor: {latents.factor}; pipelines know powers of two alone: 1, 2, 4, 8")
    if settings.image_size_px % PIPELINE_PIXELS:
        reasons.append(
            f"image_size_px: {settings.image_size_px}; {PIPELINE_CLASS} takes multiples of {PIPELINE_PIXELS}"
        )
    if settings.text.encoder == "small" and not has_words:
        reasons.append(WITHOUT_WORDS)
    return reasons


def save_parts(settings: ModelSettings, folder: str | Path, words: SmallTextEncoder | None) -> dict[str, Any]:
    """Write all folders of a `StableDiffusionPipeline` but its network; returns its index, without that.

    Args:
        words: the text encoder that was trained along.

    Raises:
        InputError: parts that do not load.
    """
    import diffusers
    import transformers

    transformers.logging.disable_progress_bar()  # its bar would break ours
    folder = Path(folder)
    parts = {"vae": _autoencoder(settings.latents)}
    if words is None:
        text, tokenizer = load_clip_text(str(settings.text.folder), TEXT_FOLDER)
        tokenizer.model_max_length = text.config.max_position_embeddings  # captions are cut there
        parts["text_encoder"] = text
    else:
        text, tokenizer = clip_text_model(words), word_tokenizer(words)
        save_text_model(text, folder / "text_encoder")
    parts |= {"tokenizer": tokenizer, "scheduler": _scheduler(settings)}
    index: dict[str, Any] = {
        "_class_name": PIPELINE_CLASS,
        "_diffusers_version": diffusers.__version__,
        "requires_safety_checker": False,
        **{name: [None, None] for name in ("safety_checker", "feature_extractor", "image_encoder")},
    }
    for name, part in (parts | {"text_encoder": text}).items():
        kind = type(part)
        library = kind.__module__.split(".")[0]
        index[name] = [kind.__module__ if library == "space" else library, kind.__name__]
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    for file in folder.rglob("*.safetensors"):
        readable_as_any_other(file)
    return index


def _autoencoder(settings: LatentSettings) -> Any:
    from space.interchange.pixel_autoencoder import PixelAutoencoder

    if settings.codec == "vae":
        return load_autoencoder(str(settings.folder), LATENTS_FOLDER)
    return PixelAutoencoder(settings.factor)


def _bound(settings: LatentSettings) -> float | None:
    return None if settings.codec == "vae" else make_codec(settings, torch.device("cpu")).bound


def _scheduler(settings: ModelSettings) -> Any:
    """With which a `StableDiffusionPipeline` steps as `Diffusion.sample` does.

    Steps that trail are not offset; 1 is what diffusers' pipelines expect to read there.
    """
    bound = _bound(settings.latents)
    scheduler = ddim_scheduler(settings.diffusion, bound)
    # As clip_sample, which StableDiffusionPipeline turns off.
    clipping = {"clip_sample": False, "thresholding": True, "sample_max_value": bound} if bound else {}
    if settings.one_step:
        from space.interchange.one_step import OneStepScheduler

        scheduler = OneStepScheduler.from_config(dict(scheduler.config), **clipping)
    elif clipping:
        from space.interchange.clipped_ddim import ClippedDDIMScheduler

        scheduler = ClippedDDIMScheduler.from_config(dict(scheduler.config), **clipping)
    scheduler.register_to_config(steps_offset=1)
    return scheduler


def settings_of_training(training: TrainingSettings, architecture: Architecture) -> ModelSettings:
    """Of a network in training, but for the words of a text encoder that is trained along."""
    factor = make_codec(training.latents, torch.device("cpu")).factor
    return ModelSettings(
        image_size_px=architecture.latent_size * factor,
        vocabulary=(),
        guidance=training.guidance,
        sampling_steps=training.sampling_steps,
        diffusion=training.diffusion,
        latents=training.latents,
        text=training.text,
    )


def settings_of_pipeline(folder: str | Path, architecture: Architecture) -> ModelSettings:
    """What a folder of `StableDiffusionPipeline` says of its network beside the weights.

    Raises:
        InputError: a part that a model of ours has no place for.
    """
    folder = Path(folder)
    kind = read_plain(folder / PIPELINE_FILE).get("_class_name")
    if kind != PIPELINE_CLASS:
        raise InputError(f"{folder}: is a {kind}; a model of ours generates as a {PIPELINE_CLASS} does")
    for part in PIPELINE_FOLDERS:
        if not (folder / part).is_dir():
            raise InputError(f"{folder}: has no {part}/; a model of ours needs {', '.join(PIPELINE_FOLDERS)}")
    latents = LatentSettings(codec="vae", folder=str((folder / "vae").resolve()))
    factor = make_codec(latents, torch.device("cpu")).factor
    scheduler = _scheduler_config(folder)
    one_step, is_told = _is_one_step(scheduler), architecture.guidance_width > 0
    return ModelSettings(
        image_size_px=architecture.latent_size * factor,
        vocabulary=(),
        guidance=1.0 if one_step and not is_told else PIPELINE_GUIDANCE,
        sampling_steps=1 if one_step else PIPELINE_STEPS,
        diffusion=_diffusion(scheduler),
        latents=latents,
        text=TextSettings(encoder="clip", folder=str((folder / "text_encoder").resolve())),
        one_step=one_step,
    )


def is_one_step(folder: str | Path) -> bool:
    """Whether a pipeline's scheduler is that of networks distilled to one step."""
    return _is_one_step(_scheduler_config(folder))


def _is_one_step(config: Mapping[str, Any]) -> bool:
    return config.get("_class_name") == ONE_STEP_CLASS


def _scheduler_config(folder: str | Path) -> dict[str, Any]:
    """Empty where there is none."""
    file = Path(folder) / "scheduler" / "scheduler_config.json"
    return read_plain(file) if file.is_file() else {}


def not_of_our_sampling(folder: str | Path, settings: ModelSettings) -> list[str]:
    """How a pipeline's scheduler samples otherwise than the model made of it, in a line; empty: alike."""
    theirs = _own_scheduler(_scheduler_config(folder))
    ours = _scheduler(settings)
    others = [
        f"{name} {theirs.config[name]} (ours {ours.config[name]})"
        for name in OF_SAMPLING
        if name in theirs.config and theirs.config[name] != ours.config[name]
    ]
    if type(theirs) is type(ours) and not others:
        return []
    said = ", ".join([type(theirs).__name__, *others])
    return [f"scheduler: {said}; a model of ours samples by {type(ours).__name__}, to=pipeline_unet keeps it"]


def _own_scheduler(config: Mapping[str, Any]) -> Any:
    """Keys that a configuration lacks have the defaults of its own class."""
    import diffusers

    from space.interchange.one_step import OneStepScheduler

    kind = (
        OneStepScheduler if _is_one_step(config) else getattr(diffusers, str(config.get("_class_name")), None)
    )
    if kind is None:
        raise InputError(f"scheduler: {config.get('_class_name')!r} is no class of diffusers")
    return kind.from_config(dict(config))


def _diffusion(config: Mapping[str, Any]) -> DiffusionSettings:
    scheduler = _own_scheduler(config)
    kind, full = type(scheduler), scheduler.config
    for name in ("beta_start", "beta_end", "beta_schedule", "prediction_type"):
        if name not in full:
            raise InputError(f"scheduler: {kind.__name__} has no {name}, which a model of ours needs")
    if full.get("trained_betas") is not None:
        raise InputError("scheduler.trained_betas: a model of ours has none; allowed: null")
    return DiffusionSettings(
        prediction=_ours(DIFFUSERS_PREDICTION, full["prediction_type"], "prediction_type"),  # type: ignore[arg-type]
        schedule=_ours(DIFFUSERS_SCHEDULE, full["beta_schedule"], "beta_schedule"),  # type: ignore[arg-type]
        beta_start=full["beta_start"],
        beta_end=full["beta_end"],
        timesteps=full["num_train_timesteps"],
        zero_terminal_snr=bool(full.get("rescale_betas_zero_snr", False)),
    )


def _ours(table: Mapping[str, str], theirs: str, key: str) -> str:
    for name, value in table.items():
        if value == theirs:
            return name
    raise InputError(f"scheduler.{key}: {theirs!r}; allowed: {', '.join(table.values())}")
