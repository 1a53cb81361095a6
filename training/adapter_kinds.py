"""Which adapters of a diffusion model there are (section 5.4 of the paper): what each is, sees and saves."""

from __future__ import annotations

import copy
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from space.controlnet import ControlNet, embedding_widths
from space.interchange.controlnet_files import save_controlnet
from space.interchange.inpainting import save_difference
from space.shared.edges import HIGH, LOW, canny, check_thresholds
from space.shared.plain import ByName, InputError
from space.unet import UNet
from training.adapter_networks import ControlledNetwork, GuidedByMaps, InpaintingNetwork
from training.adapters import LoraSettings, save_lora
from training.data.dataset import as_pixels
from training.model import Model

ADAPTERS = {
    "controlnet": "training.adapter_kinds:ControlNetSettings",
    "inpainting": "training.adapter_kinds:InpaintingSettings",
    "lora": "training.adapter_kinds:StyleSettings",
    "t2i": "training.adapter_kinds:T2ISettings",
}
LEAST_HOLE = 1 / 8  # of an image's side
_CHANCES = 6  # random numbers that a mask takes


@dataclass(frozen=True)
class AdapterKind:
    """Of any of them. One gives `name` its own literal.

    Attributes:
        timesteps: how those of a training are drawn; cubic: t = (1 - u^3) T, most of them near noise alone.
        finetune: what is trained of what stands in the place of the base's network.
        sees_images: whether it is given something of an image.
        title: what a person calls it; `given`: what a pipeline of diffusers is given for it.
    """

    name: str
    timesteps: Literal["uniform", "cubic"] = "uniform"

    finetune: ClassVar[Literal["full", "lora"]] = "full"
    sees_images: ClassVar[bool] = True
    title: ClassVar[str] = ""
    given: ClassVar[str] = ""

    @property
    def lora(self) -> LoraSettings:
        return LoraSettings()

    def check(self, base: Model) -> None:
        """Raises InputError where a model cannot have one."""

    @abstractmethod
    def network(self, base: Model) -> nn.Module:
        """What is trained in the place of a model's network, which it begins as."""

    def drawn(self, images: Tensor, chances: torch.Generator, rows: range, batch_size: int) -> Tensor:
        """What is decided of images ahead of a step: edges, or masks; (B, ..., H, W) on the CPU.

        Args:
            images: (B, 3, H, W) in [-1, 1]: these rows of a batch.
        """
        return torch.empty(0)

    def condition(self, model: Model, images: Tensor, drawn: Tensor) -> Tensor:
        """What the network is given, of the same images on the device and what was drawn of them."""
        return drawn

    @abstractmethod
    def save(self, model: Model, base: Model, folder: Path) -> None:
        """In diffusers' form, in a folder by its own name. Raises OSError."""

    def shown(self, images: Tensor, drawn: Tensor) -> np.ndarray | None:
        """(B, H, W, 3) uint8: what the network was given, for a person."""
        return None


@dataclass(frozen=True)
class ByEdges(AdapterKind):
    """One that follows Canny edges, as an image of three channels in [0, 1]."""

    low: int = LOW
    high: int = HIGH

    given: ClassVar[str] = "image=edges"

    def __post_init__(self) -> None:
        check_thresholds(self.low, self.high)

    def drawn(self, images: Tensor, chances: torch.Generator, rows: range, batch_size: int) -> Tensor:
        edges = torch.from_numpy(canny(as_pixels(images), self.low, self.high))
        return edges[:, None].float().repeat(1, 3, 1, 1)

    def shown(self, images: Tensor, drawn: Tensor) -> np.ndarray | None:
        return as_pixels(2 * drawn - 1)


@dataclass(frozen=True)
class ControlNetSettings(ByEdges):
    """The fields of conf/adapter/controlnet.yaml."""

    name: Literal["controlnet"] = "controlnet"

    title: ClassVar[str] = "A ControlNet that follows Canny edges"

    def check(self, base: Model) -> None:
        embedding_widths(base.codec.factor)

    def network(self, base: Model) -> nn.Module:
        made = ControlNet(base.architecture, embedding_widths(base.codec.factor))
        made.begin_as(unet_of(base))
        return ControlledNetwork(unet_of(base), made)

    def save(self, model: Model, base: Model, folder: Path) -> None:
        assert isinstance(model.unet, ControlledNetwork)
        save_controlnet(
            model.unet.adapter, folder / self.name, coordinates=model.settings.latents.coordinates
        )


@dataclass(frozen=True)
class T2ISettings(ByEdges):
    """The fields of conf/adapter/t2i.yaml."""

    name: Literal["t2i"] = "t2i"
    timesteps: Literal["uniform", "cubic"] = "cubic"
    res_blocks: int = 2

    title: ClassVar[str] = "A T2I-adapter that follows Canny edges"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.res_blocks < 1:
            raise InputError(f"res_blocks: {self.res_blocks} is not possible; allowed: 1 or more")

    def check(self, base: Model) -> None:
        factor = self._made(base).downscale_factor
        if (size := base.settings.image_size_px) % factor:
            raise InputError(f"image_size_px: {size} is no multiple of {factor}, which its T2I-adapter folds")

    def network(self, base: Model) -> nn.Module:
        return GuidedByMaps(unet_of(base), self._made(base))

    def save(self, model: Model, base: Model, folder: Path) -> None:
        from space.interchange.t2i_adapter import save_t2i_adapter

        assert isinstance(model.unet, GuidedByMaps)
        save_t2i_adapter(model.unet.adapter, folder / self.name)

    def _made(self, base: Model) -> Any:
        from space.interchange.t2i_adapter import t2i_adapter

        return t2i_adapter(base.architecture, base.codec.factor, self.res_blocks)


@dataclass(frozen=True)
class StyleSettings(AdapterKind):
    """The fields of conf/adapter/lora.yaml."""

    name: Literal["lora"] = "lora"
    rank: int = 4
    alpha: int | None = None
    layers: str = "attention"

    finetune: ClassVar[Literal["full", "lora"]] = "lora"
    sees_images: ClassVar[bool] = False
    title: ClassVar[str] = "LoRA of a style"

    def __post_init__(self) -> None:
        LoraSettings(self.rank, self.alpha, self.layers)  # checks them

    @property
    def lora(self) -> LoraSettings:
        return LoraSettings(self.rank, self.alpha, self.layers)

    def network(self, base: Model) -> nn.Module:
        return copy.deepcopy(unet_of(base))

    def save(self, model: Model, base: Model, folder: Path) -> None:
        save_lora(model, self.lora, folder / self.name)


@dataclass(frozen=True)
class InpaintingSettings(AdapterKind):
    """The fields of conf/adapter/inpainting.yaml."""

    name: Literal["inpainting"] = "inpainting"
    whole: float = 0.25

    title: ClassVar[str] = "Inpainting"
    given: ClassVar[str] = "image=image, mask_image=mask, strength=1.0"

    def __post_init__(self) -> None:
        if not 0 <= self.whole <= 1:
            raise InputError(f"whole: {self.whole:g} is not possible; allowed: 0 to 1")

    def network(self, base: Model) -> nn.Module:
        return InpaintingNetwork(copy.deepcopy(unet_of(base)), base.codec.channels + 1)

    def drawn(self, images: Tensor, chances: torch.Generator, rows: range, batch_size: int) -> Tensor:
        masks = random_masks(batch_size, images.shape[-1], self.whole, chances)
        return masks[rows.start : rows.stop]

    def condition(self, model: Model, images: Tensor, drawn: Tensor) -> Tensor:
        latents = model.codec.encode(images * (drawn < 0.5))
        return torch.cat([F.interpolate(drawn, size=latents.shape[-2:]), latents], dim=1)

    def save(self, model: Model, base: Model, folder: Path) -> None:
        trained = model.unet
        assert isinstance(trained, InpaintingNetwork)
        save_difference(unet_of(base), trained.unet, trained.inputs.weight, folder / self.name)

    def shown(self, images: Tensor, drawn: Tensor) -> np.ndarray | None:
        return as_pixels(images * (drawn < 0.5))


AdapterSettings = Annotated[AdapterKind, ByName(ADAPTERS)]
"""The settings of any of them: a field of this type is read by its `name`."""


def random_masks(count: int, size_px: int, whole: float, chances: torch.Generator) -> Tensor:
    """(B, 1, H, W) of 0 and 1, which is to be filled: a rectangle or an ellipse somewhere, or all."""
    drawn = torch.rand(count, _CHANCES, 1, 1, 1, generator=chances).unbind(1)
    places = (torch.arange(size_px) + 0.5) / size_px
    apart = []
    for extent, place, at in ((drawn[0], drawn[1], places[:, None]), (drawn[2], drawn[3], places[None])):
        side = LEAST_HOLE + (1 - LEAST_HOLE) * extent
        centre = side / 2 + (1 - side) * place
        apart.append((at - centre).abs() / (side / 2))
    rectangle, ellipse = torch.maximum(*apart) <= 1, apart[0].square() + apart[1].square() <= 1
    return (torch.where(drawn[4] < 0.5, rectangle, ellipse) | (drawn[5] < whole)).float()


def unet_of(model: Model) -> UNet:
    """The network of a model that is no adapter's."""
    assert isinstance(model.unet, UNet)
    return model.unet
