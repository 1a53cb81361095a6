"""What stands in the place of a model's network while an adapter of it is trained.

The network of the base itself is no part of it where it stays as it is: neither averaged nor in states.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from space.controlnet import ControlNet
from space.unet import UNet
from space.unet_levels import Residuals


class _Frozen:
    """Of which copies share the one module."""

    def __init__(self, module: UNet) -> None:
        self.module = module.requires_grad_(False)

    def __deepcopy__(self, memo: object) -> _Frozen:
        return self


class _Guided(nn.Module):
    """A network to which something is added that is made of a condition."""

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        context: Tensor,
        condition: Tensor,
        guidance: Tensor | None = None,
    ) -> Tensor:
        residuals = self.residuals(latents, timesteps, context, condition)
        predicted: Tensor = self.network(latents, timesteps, context, guidance=guidance, residuals=residuals)
        return predicted

    @property
    @abstractmethod
    def network(self) -> UNet: ...

    @abstractmethod
    def residuals(self, latents: Tensor, timesteps: Tensor, context: Tensor, condition: Tensor) -> Residuals:
        """What is added to the network."""


class _Beside(_Guided):
    """A network that stays, with another one beside it, which is trained."""

    def __init__(self, unet: UNet, adapter: Any) -> None:
        super().__init__()
        self.adapter, self._base = adapter, _Frozen(unet)

    @property
    def network(self) -> UNet:
        return self._base.module


class ControlledNetwork(_Beside):
    """By a ControlNet; the condition is an image."""

    adapter: ControlNet

    def residuals(self, latents: Tensor, timesteps: Tensor, context: Tensor, condition: Tensor) -> Residuals:
        residuals: Residuals = self.adapter(latents, timesteps, context, condition)
        return residuals


class GuidedByMaps(_Beside):
    """By a T2I-adapter; the condition is an image."""

    def residuals(self, latents: Tensor, timesteps: Tensor, context: Tensor, condition: Tensor) -> Residuals:
        return Residuals(inside=self.adapter(condition))


class InpaintingNetwork(_Guided):
    """A network with further inputs, whose weights start at zero. The condition is what they are given."""

    def __init__(self, unet: UNet, channels: int) -> None:
        super().__init__()
        self.unet = unet
        outer = unet.architecture.levels[0].channels
        self.inputs = nn.Conv2d(channels, outer, 3, padding=1, bias=False)
        nn.init.zeros_(self.inputs.weight)

    @property
    def network(self) -> UNet:
        return self.unet

    def residuals(self, latents: Tensor, timesteps: Tensor, context: Tensor, condition: Tensor) -> Residuals:
        return Residuals(first=self.inputs(condition.to(latents.dtype)))
