"""What is exported: a part of a pipeline as a module, with examples of its inputs by a contract's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from space.architecture import Architecture
from space.interchange.positional_unet import CONDITION_WIDTHS, PositionalUNet, further_conditions
from space.shared.plain import InputError
from space.shared.seeds import generator
from space.slices import stage_modules
from space.unet import UNet

BATCH = 2  # of the examples; not as many as there are timesteps, so that one is not taken for the other
TIMESTEPS = (999.0, 481.0, 3.0)
PIPELINE_NAMES = {"guidance": "timestep_cond", "pooled": "text_embeds", "sizes": "time_ids"}
"""What a UNet of ours takes beside text, and its name in ONNX pipelines."""


@dataclass(frozen=True)
class Component:
    """A part of a pipeline.

    Attributes:
        name: as its folder in a pipeline.
        inputs: examples, by name, in the order of the module's.
        outputs: names of what it returns.
        dynamic: by input, the axes of any length and what each is called.
        stages: what it consists of, in the order of the forward pass: an error names the first that differs.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    dynamic: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    stages: Sequence[tuple[str, nn.Module]] = ()

    def with_axes(self, lengths: Mapping[str, int], seed: int = 1) -> Component:
        """The same with other examples, in which the axes of these names are so long."""
        inputs = {}
        for name, tensor in self.inputs.items():
            shape = list(tensor.shape)
            for axis, called in self.dynamic.get(name, {}).items():
                shape[axis] = lengths.get(called, shape[axis])
            inputs[name] = _example(name, shape, seed, tensor)
        return replace(self, inputs=inputs)

    def __call__(self) -> list[Tensor]:
        """What the module makes of the examples."""
        with torch.no_grad():
            made = self.module(*self.inputs.values())
        return [made] if isinstance(made, Tensor) else list(made)


class _AsPipelinesCall(PositionalUNet):
    """`timestep` is one for all images or one for each: pipelines give either."""

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        first: Tensor | None = None,
        second: Tensor | None = None,
        third: Tensor | None = None,
    ) -> Tensor:
        images = torch.arange(sample.shape[0], device=sample.device)
        last = torch.ones_like(timestep, dtype=torch.int64).sum() - 1
        each = timestep[torch.minimum(images, last)]
        return super().forward(sample, each, encoder_hidden_states, first, second, third)


class _AsAppleCalls(nn.Module):
    """Text as (B, width, 1, L)."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        text = encoder_hidden_states.squeeze(2).transpose(1, 2)
        predicted: Tensor = self.unet(sample, timestep, text)
        return predicted


def unet_component(unet: UNet) -> Component:
    """By the contract of ONNX pipelines: `sample`, `timestep`, `encoder_hidden_states` -> `out_sample`."""
    a = unet.architecture
    shapes = {
        "sample": (BATCH, a.input_channels, a.latent_size, a.latent_size),
        "timestep": (len(TIMESTEPS),),
        "encoder_hidden_states": (BATCH, a.context_length, a.context_width),
    }
    shapes |= {PIPELINE_NAMES[name]: (BATCH, width) for name, width in further_conditions(a).items()}
    return Component(
        "unet",
        _AsPipelinesCall(unet).eval(),
        {name: _example(name, shape) for name, shape in shapes.items()},
        ("out_sample",),
        {name: {0: "steps" if name == "timestep" else "batch"} for name in shapes},
        _stages(unet),
    )


def apple_component(unet: UNet) -> Component:
    """By the contract of Apple's pipelines: text as (2, width, 1, L), timestep (2,) -> `noise_pred`.

    Raises:
        InputError: conditions that these have no place for.
    """
    a = unet.architecture
    given = [f"{field}: {width}" for field in CONDITION_WIDTHS.values() if (width := getattr(a, field))]
    if given:
        said = ", ".join(given)
        raise InputError(f"{said}, which Apple's pipelines do not give; allowed with coreml: 0")
    shapes = {
        "sample": (BATCH, a.input_channels, a.latent_size, a.latent_size),
        "timestep": (BATCH,),
        "encoder_hidden_states": (BATCH, a.context_width, 1, a.context_length),
    }
    inputs = {name: _example(name, shape) for name, shape in shapes.items()}
    return Component("unet", _AsAppleCalls(unet).eval(), inputs, ("noise_pred",), stages=_stages(unet))


def random_unet(architecture: Architecture) -> UNet:
    """Not trained, always the same, and with something to say: initial weights, but moved a little, so that
    none is 0 or 1; the last convolution, which starts at zero, is sampled."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet(architecture)
    chance = generator("weights of an export", 0)
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=chance))
        last = unet.conv_out.weight
        assert isinstance(last, Tensor)
        last.copy_(torch.randn(last.shape, generator=chance) * 2 / last[0].numel() ** 0.5)
    return unet


def _stages(unet: UNet) -> list[tuple[str, nn.Module]]:
    return [
        (f"{stage.where}, {stage.kind} ({name})", unet.get_submodule(name))
        for stage, name in stage_modules(unet.architecture)
    ]


def _example(name: str, shape: Sequence[int], seed: int = 0, like: Tensor | None = None) -> Tensor:
    chance = generator(f"input {name}", seed)
    if name == "timestep":
        return torch.tensor([TIMESTEPS[at % len(TIMESTEPS)] for at in range(seed, seed + shape[0])])
    if like is not None and not like.is_floating_point():
        return torch.randint(int(like.max()) + 1, tuple(shape), generator=chance, dtype=like.dtype)
    return torch.randn(tuple(shape), generator=chance)
