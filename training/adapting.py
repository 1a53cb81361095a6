"""A trained diffusion model that gets an adapter: any of `training/adapter_kinds.py`, one trainer.

What is trained works with the model that it was trained with, and with whatever was distilled from that one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from space.architecture import Architecture
from space.shared.files import file_digest, folders_beside, write_whole
from space.shared.plain import InputError, from_plain, nearest, to_plain
from space.shared.seeds import generator
from training.adapter_kinds import ADAPTERS, AdapterKind
from training.data.dataset import Dataset
from training.distributed.ranks import RankGroup
from training.files import SAMPLES_NAME, TEXT_WEIGHTS
from training.frozen_folders import LATENTS_FOLDER, frozen_digest
from training.generation.grid import save_grid
from training.generation.identity import model_identity
from training.initial import check_same
from training.latents import Codec, LatentSettings, latent_space
from training.model import Model, ModelSettings, load_model
from training.objectives.adapter import AdapterObjective
from training.settings import TrainingSettings
from training.teachers import describe_base
from training.trainer import Trainer

ADAPTER_RECORD = "adapter.json"
SHOWN_AT_ONCE = 16  # images


@dataclass(frozen=True)
class AdapterRecord:
    """What an adapter's folder says of it.

    Attributes:
        adapter: its kind, whose name is that of the folder inside, too.
        architecture: of the network that it was trained with.
        latents: of that network, as `latents_of` tells them.
        base: digest of the model.
        diffusion: how that model predicts, and its noise levels; None where a folder of before does not say.
        reader: digest of what read its captions; likewise.
    """

    adapter: str
    architecture: Architecture
    latents: dict[str, Any]
    base: str
    step: int
    settings: dict[str, Any]
    diffusion: dict[str, Any] | None = None
    reader: str | None = None


def beside_base(training: TrainingSettings, base: ModelSettings) -> TrainingSettings:
    """Settings of a training beside a model: noise, latents, text and how it generates are the model's."""
    return replace(
        training,
        diffusion=base.diffusion,
        latents=base.latents,
        text=base.text,
        guidance=base.guidance,
        sampling_steps=base.sampling_steps,
    )


def latents_of(settings: LatentSettings, codec: Codec) -> dict[str, Any]:
    """What tells one latent space from another, as JSON gives it back: not the autoencoder's decoder."""
    own = {"codec": settings.codec, "factor": codec.factor, "coordinates": settings.coordinates}
    space = latent_space(codec)
    if space is None and settings.codec == "vae":  # of an autoencoder that is described nowhere
        space = {"folder": frozen_digest(LATENTS_FOLDER, str(settings.folder))}
    plain: dict[str, Any] = json.loads(json.dumps(own | (space or {})))
    return plain


class AdapterTrainer(Trainer):
    """Training of an adapter for the model of a folder; keeps that folder's digest in its states.

    Raises:
        InputError: the folder holds no diffusion model, or one that does not fit the data; there are no
            images to see; as `Trainer`.
    """

    command: ClassVar[str] = "train adapter"

    def __init__(
        self,
        base: Path,
        data: Dataset,
        settings: TrainingSettings,
        own: AdapterKind,
        *,
        seed: int,
        ranks: RankGroup | None = None,
    ) -> None:
        if own.sees_images and (data.encoders or data.name == "encoded"):
            raise InputError(f"data: encoded holds latents; adapter={own.name} learns from images")
        self.own, self.base = own, _load(base, settings.device)
        self._reader = reader_of(base, self.base.settings)
        own.check(self.base)
        super().__init__(
            self.base.architecture,
            data,
            beside_base(settings, self.base.settings),
            seed=seed,
            network=lambda architecture: own.network(self.base),
            objective=partial(_objective, base=self.base, folder=base, own=own),
            identity={"base": model_identity(base)["digest"], "adapter": own.name},
            vocabulary=self.base.settings.vocabulary,
            ranks=ranks,
        )
        trained = self.objective.model.unet.named_parameters()
        self.parameters = sum(each.numel() for _, each in trained if each.requires_grad)

    def save_weights(self, folder: str | Path) -> None:
        """The adapter in diffusers' form, and what it belongs to."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.own.save(self.averaged, self.base, folder)
        record = AdapterRecord(
            adapter=self.own.name,
            architecture=self.architecture,
            latents=latents_of(self.base.settings.latents, self.base.codec),
            base=str(self.identity["base"]),
            step=self.step,
            settings=to_plain(self.own, all_fields=True),
            diffusion=to_plain(self.base.settings.diffusion, all_fields=True),
            reader=self._reader,
        )
        write_whole(folder / ADAPTER_RECORD, json.dumps(to_plain(record), indent=1))

    def save_images(self, folder: Path, count: int, seed: int) -> None:
        """Of the first held-out captions: what the network sees of their images, and below what it makes."""
        count = min(count, len(self.data.held_out_captions))
        given, made = list[np.ndarray](), list[np.ndarray]()
        for start in range(0, count, SHOWN_AT_ONCE):
            indices = range(start, min(start + SHOWN_AT_ONCE, count))
            with self.settings.autocast(self.device):
                shown, images = self._generated(indices, seed)
            given += [] if shown is None else [shown]
            made.append(images)
        whole = np.concatenate([*given, *made])
        save_grid(whole, folder / SAMPLES_NAME, columns=count if given else None, enlarge=2)

    def _generated(self, indices: range, seed: int) -> tuple[np.ndarray | None, np.ndarray]:
        captions = self.data.held_out_captions[indices.start : indices.stop]
        model, shown, condition = self.averaged, None, None
        if self.own.sees_images:
            images, chances = self.data.held_out(indices)[0], generator("shown by an adapter", indices.start)
            drawn = self.own.drawn(images, chances, range(len(indices)), len(indices))
            shown = self.own.shown(images, drawn)
            condition = self.own.condition(model, images.to(self.device), drawn.to(self.device))
        return shown, model.generate_batch(captions, indices, seed=seed, condition=condition)


def reader_of(model: Path, settings: ModelSettings) -> str:
    """Digest of what reads the captions of a trained model: its words, and the weights that it learnt."""
    about = to_plain(settings.text, all_fields=True) | {"vocabulary": list(settings.vocabulary)}
    digest, weights = hashlib.sha256(json.dumps(about, sort_keys=True).encode()), model / TEXT_WEIGHTS
    if weights.is_file():
        digest.update(file_digest(weights))
    return digest.hexdigest()[:12]


def read_record(folder: Path, where: str = "folder") -> AdapterRecord:
    """Raises InputError where a folder, named so by its field, holds no adapter of ours."""
    try:
        text = (folder / ADAPTER_RECORD).read_text(encoding="utf-8")
        record: AdapterRecord = from_plain(AdapterRecord, json.loads(text), ADAPTER_RECORD)
    except OSError:
        beside = folders_beside(folder, ADAPTER_RECORD)
        raise InputError(
            f"{where}: {str(folder)!r} holds no adapter ({ADAPTER_RECORD}); needed: a folder of mdsearch "
            f"train adapter; {nearest(folder.name, beside)}"
        ) from None
    except ValueError as error:
        raise InputError(f"{where}: {str(folder)!r} holds an adapter that cannot be read: {error}") from None
    if record.adapter not in ADAPTERS:
        raise InputError(
            f"{where}: {str(folder)!r} holds an adapter of another kind: {record.adapter!r}; "
            f"{nearest(record.adapter, ADAPTERS)}"
        )
    return record


def _load(folder: Path, device: str) -> Model:
    """Raises InputError where a folder holds no diffusion model of ours that is told text alone."""
    describe_base(folder)
    model = load_model(folder, device)
    if width := model.architecture.guidance_width:
        raise InputError(
            f"init_from: {str(folder)!r} is told a guidance scale (guidance_width: {width}); needed: the "
            "model that it was distilled from, whose adapters it takes"
        )
    return model


def _objective(
    model: Model,
    data: Dataset,
    settings: TrainingSettings,
    seed: int,
    *,
    base: Model,
    folder: Path,
    own: AdapterKind,
) -> AdapterObjective:
    check_same(base, model, folder)
    if model.text is not None and base.text is not None:
        model.text.load_state_dict(base.text.state_dict())
    return AdapterObjective(model, data, settings, seed, own)
