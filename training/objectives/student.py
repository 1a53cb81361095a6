"""What objectives share whose model begins as a trained one, to generate in fewer steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from space.shared.plain import InputError, unless
from training.adamw import QuickAdamW
from training.adapters import LoraSettings, add_lora, check_peft
from training.data.dataset import Dataset
from training.model import Model, ModelSettings
from training.objectives.base import Batch, TrainedPart, TrainingObjective
from training.objectives.diffusion import DiffusionBatch, DiffusionObjective
from training.settings import TrainingSettings

GENERATOR = "model"  # the part that a distillation is for


class Sampled(NamedTuple):
    """How what comes of it generates."""

    steps: int
    guidance: float


@dataclass(frozen=True)
class StudentSettings:
    """Of any objective that makes a model generate in fewer steps. One gives `name` its own literal.

    Attributes:
        lora_learning_rate: with `finetune` lora in place of the training's; None: the training's.
        teacher: the folder of a trained model; None: the model as it was.
        guidance_width: of an embedded guidance scale, which the student is told; 0: none.
    """

    name: str
    finetune: Literal["full", "lora"] = "full"
    lora: LoraSettings = field(default_factory=LoraSettings)
    lora_learning_rate: float | None = unless(None)
    zero_terminal_snr: bool | None = None
    teacher: str | None = None

    def __post_init__(self) -> None:
        if self.finetune == "lora" and self.guidance_width:
            raise InputError(
                "finetune: lora beside w_conditioned: true is not possible; allowed: full, or "
                "w_conditioned: false"
            )
        if (rate := self.lora_learning_rate) is not None and not 0 < rate < inf:
            raise InputError(f"lora_learning_rate: {rate:g} is not possible; allowed: above 0, or null")

    @property
    def guidance_width(self) -> int:
        return 0

    @property
    def rivals(self) -> bool:
        """Whether another network learns, too, to judge what it makes."""
        return False

    @property
    def guides(self) -> bool:
        """Whether it learns from guided predictions, which captions must have been dropped for."""
        return False

    @property
    def always_guides(self) -> bool:
        """Whether it asks its teacher for guided predictions alone, as one needs that is told the scale."""
        return False

    def check(self, base: ModelSettings) -> None:
        """Raises InputError where nothing can learn so here, or from such a base."""
        if self.finetune == "lora":
            check_peft()

    def without_effect(self) -> dict[str, str]:
        """Fields that nothing acts on, and beside what."""
        is_lora = self.finetune == "lora"
        return {} if is_lora else dict.fromkeys(("lora", "lora_learning_rate"), "finetune=full")

    @abstractmethod
    def sampled(self, base: ModelSettings) -> Sampled:
        """For a model that begins as `base`."""

    @abstractmethod
    def make(
        self, model: Model, data: Dataset, settings: TrainingSettings, seed: int, teacher: Model
    ) -> TrainingObjective[Any, Model]:
        """The objective. `model` holds the weights of its base."""


class Finetuned(Protocol):
    """What of a network learns: all of it, or adapters on its layers."""

    @property
    def finetune(self) -> Literal["full", "lora"]: ...

    @property
    def lora(self) -> LoraSettings: ...


class StudentObjective(TrainingObjective[Batch, Model]):
    """A model learns, all of its network or adapters on it; its text encoder stays as it is.

    Images, timesteps and all noise derive from (seed, step) alone.
    """

    def __init__(
        self, model: Model, data: Dataset, settings: TrainingSettings, seed: int, own: Finetuned
    ) -> None:
        self.model, self.settings, self.seed = model, settings, seed
        model.requires_grad_(False)
        if own.finetune == "lora":
            add_lora(model, own.lora)
        else:
            model.unet.requires_grad_(True)
        self.diffusion = DiffusionObjective(model, data, settings, seed)
        self.parts = {GENERATOR: TrainedPart(model, self.adam(model, settings.learning_rate, settings.betas))}

    def validation_loss(self, model: Model) -> float:
        """Of the diffusion that the base learnt: how far the model has gone from it."""
        return self.diffusion.validation_loss(model)

    def adam(self, module: nn.Module, rate: float, betas: Sequence[float]) -> QuickAdamW:
        """Of what is trained in a module."""
        return QuickAdamW(
            [parameter for parameter in module.parameters() if parameter.requires_grad],
            self.model.device,
            lr=rate,
            betas=(betas[0], betas[1]),
            weight_decay=self.settings.weight_decay,
        )

    def autocast(self) -> AbstractContextManager[Any]:
        return self.settings.autocast(self.model.device)

    def read(self, data: DiffusionBatch) -> tuple[Tensor, Tensor]:
        """Latents and text features of a batch."""
        if isinstance(data.tokens, Tensor):
            return data.images, data.tokens
        with torch.no_grad():
            latents = self.model.codec.encode(data.images)  # in full precision, as the base learnt them
            with self.autocast():
                return latents, self.model.text_encoder(data.tokens)

    @cached_property
    def empty_context(self) -> Tensor:
        """(1, L, W) features of the empty caption."""
        with torch.no_grad(), self.autocast():
            return self.model.text_encoder.encode([""])

    def guided(
        self, model: Model, noisy: Tensor, timesteps: Tensor, context: Tensor, guidance: Tensor | None
    ) -> Tensor:
        """x0 with guidance, clipped as sampling does where latents are bounded; None: of captions alone."""
        clean, bound = self.both(model, noisy, timesteps, context, guidance)[1], self.model.diffusion.bound
        return clean if bound is None else clean.clamp(-bound, bound)

    def both(
        self, model: Model, noisy: Tensor, timesteps: Tensor, context: Tensor, guidance: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """x0 of the captions alone, and with guidance, in one pass. Without any, or by a model that is told
        the scale, the same twice."""
        if guidance is None or model.architecture.guidance_width:
            clean = self.clean(model, noisy, timesteps, context, guidance)
            return clean, clean
        empty = self.empty_context.expand(len(noisy), -1, -1)
        noisy, timesteps = (torch.cat([each, each]) for each in (noisy, timesteps))
        clean, without = self.clean(model, noisy, timesteps, torch.cat([context, empty])).chunk(2)
        return clean, without + guidance.view(-1, 1, 1, 1) * (clean - without)

    def clean(
        self,
        model: Model,
        noisy: Tensor,
        timesteps: Tensor,
        context: Tensor,
        guidance: Tensor | None = None,
    ) -> Tensor:
        """The x0 that a model predicts, by the student's noise levels; not clipped."""
        with self.autocast():
            prediction = model(noisy, timesteps, context, guidance)
        return self.model.diffusion.clean(prediction.float(), noisy, timesteps)
