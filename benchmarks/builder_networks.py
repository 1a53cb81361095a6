"""What benchmarks.builder compares: our network and diffusers', of one layout, with equal weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from space.architecture import Architecture
from space.interchange.checkpoints import assign, diffusers_name, empty_unet
from space.interchange.diffusers_config import diffusers_config
from space.prices.macs import price
from space.proxy import Proxy, narrow
from space.unet import UNet

ARCH = Path(__file__).parents[1] / "conf" / "arch"
TOLERANCE = 1e-4  # of the largest output, or gradient norm, in fp32


@dataclass(frozen=True)
class Comparison:
    """One table. `narrower` divides every width and the groups of norms; `size` is in latent pixels."""

    layout: Literal["sd15", "sdxl", "md"] = "sd15"
    passes: Literal["training", "forward"] = "training"
    narrower: int = 4
    size: int = 32
    batch: int = 2
    precision: Literal["fp32", "bf16"] = "fp32"  # bf16: by autocast, as in training/
    memory_format: Literal["contiguous", "channels_last"] = "contiguous"
    compile: bool = False
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = 1
    rounds: int = 12

    @property
    def trains(self) -> bool:
        return self.passes == "training"

    @property
    def title(self) -> str:
        width = "full width" if self.narrower == 1 else f"1/{self.narrower} as wide"
        compiled = "compiled" if self.compile else "eager"
        where = f"{self.threads} thread{'s' * (self.threads > 1)}" if self.device == "cpu" else "cuda"
        return (
            f"{self.layout}, {width}, {self.size}x{self.size} latents, batch {self.batch}, {self.passes}, "
            f"{self.precision}, {self.memory_format}, {compiled}, {where}"
        )


class Inputs(NamedTuple):
    latents: Tensor
    timesteps: Tensor
    context: Tensor
    pooled: Tensor | None
    sizes: Tensor | None
    gradient: Tensor  # of the output, in place of a loss


@dataclass
class Contender:
    """A network and how it is called."""

    name: str
    architecture: Architecture
    network: nn.Module
    call: Callable[[nn.Module, Inputs], Tensor]

    def forward(self, given: Inputs, c: Comparison) -> Tensor:
        with torch.autocast(c.device, torch.bfloat16, enabled=c.precision == "bf16"):
            return self.call(self.network, given)

    def step(self, given: Inputs, c: Comparison) -> None:
        """A forward pass; for training, a backward pass too, whose gradients are dropped."""
        out = self.forward(given, c)
        if c.trains:
            out.backward(given.gradient.to(out.dtype))
            self.network.zero_grad(set_to_none=True)

    def gflop(self, c: Comparison) -> float:
        """Of a step: 2 x MACs x batch, a backward pass taken as two forward passes."""
        return 2 * price(self.architecture).gmacs * c.batch * (3 if c.trains else 1)


def ours(network: nn.Module, given: Inputs) -> Tensor:
    return network(given.latents, given.timesteps, given.context, given.pooled, given.sizes)


def theirs(network: nn.Module, given: Inputs) -> Tensor:
    added = {"text_embeds": given.pooled, "time_ids": given.sizes} if given.pooled is not None else None
    arguments = given.latents, given.timesteps, given.context
    return network(*arguments, added_cond_kwargs=added, return_dict=False)[0]


def nearest_in_diffusers(a: Architecture) -> Architecture:
    """MD's widths, blocks and layers in a layout that diffusers can build: full convolutions, SA and CA in
    every layer, K and V apart, gelu, feed-forward 4, projections around the stacks. A larger network."""
    levels = tuple(
        replace(level, conv="full", self_attention=bool(level.layers), cross_attention=bool(level.layers))
        for level in a.levels
    )
    return replace(
        a,
        levels=levels,
        shared_key_value=False,
        activation="gelu",
        feed_forward_ratio=4,
        stack_projection="conv",
    )


def contenders(c: Comparison) -> list[Contender]:
    """Ours and diffusers' of one layout on the very same tensors; for MD, MD itself as well."""
    preset = Architecture.load(ARCH / f"{c.layout}.yaml")
    groups = max(1, preset.norm_groups // c.narrower)
    a = narrow(preset, Proxy(width_divisor=c.narrower, norm_groups=groups, latent_size=c.size))
    common = nearest_in_diffusers(a) if c.layout == "md" else a
    torch.manual_seed(0)
    config = {key: value for key, value in diffusers_config(common).items() if not key.startswith("_")}
    peer: Any = UNet2DConditionModel(**config)
    peer.to(c.device)
    same = assign(empty_unet(common), dict(peer.state_dict()), diffusers_name)
    what = "MD's nearest" if c.layout == "md" else c.layout
    found = [Contender(f"ours, {what}", common, same, ours)]
    found.append(Contender(f"diffusers, {what}", common, peer, theirs))
    if c.layout == "md":
        network = UNet(a).to(c.device)
        last = network.conv_out.weight
        assert isinstance(last, Tensor)
        nn.init.normal_(last, std=0.02)  # from zero on, no gradient would flow
        found.append(Contender("ours, MD itself", a, network, ours))
    return found


def random_inputs(a: Architecture, c: Comparison) -> Inputs:
    torch.manual_seed(1)
    latents = torch.randn(c.batch, a.latent_channels, c.size, c.size)
    given = Inputs(
        latents=latents,
        timesteps=torch.randint(0, 1000, (c.batch,)),
        context=torch.randn(c.batch, a.context_length, a.context_width),
        pooled=torch.randn(c.batch, a.pooled_width) if a.pooled_width else None,
        sizes=torch.randint(0, 1024, (c.batch, a.size_embeddings)) if a.size_embeddings else None,
        gradient=torch.randn_like(latents),
    )
    return Inputs(*(None if tensor is None else tensor.to(c.device) for tensor in given))  # type: ignore[arg-type]


def check_equal(one: Contender, other: Contender, given: Inputs, c: Comparison) -> str:
    """A clause with the largest differences. Ends the benchmark where the two are not the same network."""
    (mine, my_norms), (expected, norms) = (_answer(contender, given, c) for contender in (one, other))
    output = float((mine - expected).abs().max() / expected.abs().max())
    apart = [abs(norm - norms[diffusers_name(name)]) for name, norm in my_norms.items()]
    gradient = max(apart, default=0.0) / max(norms.values(), default=1.0)
    if not (output < TOLERANCE and gradient < TOLERANCE):
        raise SystemExit(f"{c.title}: not the same network (output {output:.1e}, gradients {gradient:.1e})")
    also = f", gradient norms within {gradient:.0e}" if c.trains else ""
    return f"same weights, outputs within {output:.0e} of the largest{also} (fp32)"


def _answer(contender: Contender, given: Inputs, c: Comparison) -> tuple[Tensor, dict[str, float]]:
    """Output in fp32, and the norm of every parameter's gradient (rather than two sets of gradients)."""
    out = contender.call(contender.network, given)
    norms = {}
    if c.trains:
        out.backward(given.gradient)
        for name, parameter in contender.network.named_parameters():
            norms[name] = 0.0 if parameter.grad is None else float(parameter.grad.norm())
        contender.network.zero_grad(set_to_none=True)
    return out.detach(), norms
