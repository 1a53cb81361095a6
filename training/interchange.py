"""How does a trained model become a diffusers pipeline, and a pipeline a model of ours?

What decides images travels along: noise levels and prediction as the scheduler's configuration, and the
frozen autoencoder and text encoder where they are diffusers' and transformers' own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from space.architecture import Architecture
from space.interchange.checkpoints import PIPELINE_FILE
from space.interchange.weight_files import CONFIG_FILE, read_plain
from space.shared.plain import InputError
from training.diffusion import DIFFUSERS_PREDICTION, DIFFUSERS_SCHEDULE, DiffusionSettings, ddim_scheduler
from training.latents import LatentSettings, make_codec
from training.model import ModelSettings
from training.pretrained import load_autoencoder, load_clip_text
from training.settings import TrainingSettings
from training.text import TextSettings

PIPELINE_CLASS = "StableDiffusionPipeline"
PIPELINE_FOLDERS = ("vae", "text_encoder", "tokenizer", "scheduler", "unet")  # folders of a pipeline
OF_SAMPLING = ("timestep_spacing", "set_alpha_to_one", "clip_sample", "thresholding")  # beside noise levels
PIPELINE_GUIDANCE, PIPELINE_STEPS = 7.5, 50  # of Stable Diffusion's pipeline, where a call says nothing else


def save_scheduler(settings: ModelSettings, folder: str | Path) -> dict[str, Any]:
    """Write the scheduler that generates as the model does; returns its configuration."""
    bound = (
        None if settings.latents.codec == "vae" else make_codec(settings.latents, torch.device("cpu")).bound
    )
    scheduler = _scheduler(settings.diffusion, bound)
    scheduler.save_pretrained(folder)
    return {name: value for name, value in scheduler.config.items() if not name.startswith("_")}


def not_of_a_pipeline(settings: ModelSettings) -> list[str]:
    """What keeps a model from being a whole `StableDiffusionPipeline`, a line each; empty: nothing."""
    reasons = []
    if settings.latents.codec != "vae":
        reasons.append(f"latents.codec: {settings.latents.codec} is no autoencoder of diffusers")
    if settings.text.encoder != "clip":
        reasons.append(f"text.encoder: {settings.text.encoder} is no text model of transformers")
    if settings.latents.coordinates:
        reasons.append("latents.coordinates: channels that no pipeline adds")
    if not reasons:
        config = read_plain(Path(str(settings.latents.folder)).expanduser() / CONFIG_FILE)
        moved = [name for name in ("shift_factor", "latents_mean", "latents_std") if config.get(name)]
        reasons += [f"{name}: latents are moved, which StableDiffusionPipeline leaves out" for name in moved]
    return reasons


def save_parts(settings: ModelSettings, folder: str | Path) -> dict[str, Any]:
    """Write all folders of a `StableDiffusionPipeline` but its network; returns its index, without that.

    Raises:
        InputError: parts that do not load.
    """
    import diffusers

    text, tokenizer = load_clip_text(str(settings.text.folder), "text.folder")
    tokenizer.model_max_length = text.config.max_position_embeddings  # captions are cut there
    parts = {
        "vae": load_autoencoder(str(settings.latents.folder), "latents.folder"),
        "text_encoder": text,
        "tokenizer": tokenizer,
        "scheduler": _scheduler(settings.diffusion, None),
    }
    index: dict[str, Any] = {
        "_class_name": PIPELINE_CLASS,
        "_diffusers_version": diffusers.__version__,
        "requires_safety_checker": False,
        **{name: [None, None] for name in ("safety_checker", "feature_extractor", "image_encoder")},
    }
    for name, part in parts.items():
        part.save_pretrained(Path(folder) / name)
        index[name] = [type(part).__module__.split(".")[0], type(part).__name__]
    return index


def _scheduler(settings: DiffusionSettings, bound: float | None) -> Any:
    """Steps that trail are not offset; 1 is what diffusers' pipelines expect to read there."""
    scheduler = ddim_scheduler(settings, bound)
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
    return ModelSettings(
        image_size_px=architecture.latent_size * factor,
        vocabulary=(),
        guidance=PIPELINE_GUIDANCE,
        sampling_steps=PIPELINE_STEPS,
        diffusion=_diffusion(read_plain(folder / "scheduler" / "scheduler_config.json")),
        latents=latents,
        text=TextSettings(encoder="clip", folder=str((folder / "text_encoder").resolve())),
    )


def not_of_our_sampling(folder: str | Path, settings: ModelSettings) -> list[str]:
    """How a pipeline's scheduler samples otherwise than the model made of it, in a line; empty: alike."""
    theirs = _own_scheduler(read_plain(Path(folder) / "scheduler" / "scheduler_config.json"))
    ours = _scheduler(settings.diffusion, None)
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

    kind = getattr(diffusers, str(config.get("_class_name")), None)
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
