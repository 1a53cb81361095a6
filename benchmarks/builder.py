"""Our builder against diffusers' module of the same layout with the same weights, side by side in one run.

    python -m benchmarks.builder layout=sd15,sdxl,md
    python -m benchmarks.builder layout=sd15 narrower=1 size=64 batch=8 device=cuda precision=bf16 \\
        memory_format=contiguous,channels_last compile=false,true

Any setting of `Comparison` takes one value or several, and every combination is a table. Outputs and
gradients are shown to be equal in fp32 before anything is timed. The networks then take turns, each round
in the opposite order of the last; the interval is of the median ratio of a round, by bootstrap.
"""

from __future__ import annotations

import gc
import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple

import torch
import yaml
from diffusers import UNet2DConditionModel
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.measure import (
    KINDS,
    REST,
    held_for_backward,
    interleaved_ms,
    matrix_product_gflops,
    ms_by_kind,
    peak_gpu_bytes,
    ratio_interval,
)
from space.architecture import Architecture
from space.interchange.checkpoints import assign, diffusers_name, empty_unet
from space.interchange.diffusers_config import diffusers_config
from space.prices.macs import price
from space.proxy import Proxy, narrow
from space.shared.plain import InputError, from_plain
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


# ---------------------------------------------------------------------- the networks


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
        nn.init.normal_(network.conv_out.weight, std=0.02)  # from zero on, no gradient would flow
        found.append(Contender("ours, MD itself", a, network, ours))
    return found


def drawn_inputs(a: Architecture, c: Comparison) -> Inputs:
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


# ---------------------------------------------------------------------- a comparison and its tables


def compare(c: Comparison, console: Console) -> None:
    torch.set_num_threads(c.threads)
    with torch.set_grad_enabled(c.trains):
        found = contenders(c)
        given = drawn_inputs(found[0].architecture, c)
        for contender in found:
            contender.network.train(c.trains)
        equality = check_equal(found[0], found[1], given, c)
        given = _prepared(found, given, c)
        times = interleaved_ms({one.name: partial(one.step, given, c) for one in found}, c.rounds)
        peak = matrix_product_gflops(c.device, torch.bfloat16 if c.precision == "bf16" else torch.float32)
        console.print(f"\n**{c.title}**: {equality}; a large matrix product {peak:,.0f} GFLOP/s\n")
        console.print(_table(found, times, peak, given, c))
        console.print(_kinds_table(found, given, c))


def _prepared(found: list[Contender], given: Inputs, c: Comparison) -> Inputs:
    """Networks and inputs in the memory format asked for, compiled if asked for."""
    for contender in found:
        if c.memory_format == "channels_last":
            contender.network.to(memory_format=torch.channels_last)
        if c.compile:
            contender.network = torch.compile(contender.network)  # type: ignore[assignment]
    if c.memory_format == "contiguous":
        return given
    return given._replace(latents=given.latents.contiguous(memory_format=torch.channels_last))


def _table(
    found: list[Contender], times: dict[str, list[float]], peak: float, given: Inputs, c: Comparison
) -> Table:
    headings = ["M parameters", "GMACs", "ms: median", "least", "most", "to diffusers (95 %)", "GFLOP/s"]
    headings += ["of the product's", "MiB for backward"]
    table = _markdown("network", headings + (["MiB at most"] if c.device == "cuda" else []))
    for contender in found:
        ms, cost = times[contender.name], price(contender.architecture)
        rate = contender.gflop(c) / (median(ms) / 1e3)
        ratio, low, high = ratio_interval(ms, times[found[1].name])
        cells = [
            contender.name,
            f"{cost.parameters / 1e6:.1f}",
            f"{cost.gmacs:.2f}",
            *(f"{value:,.1f}" for value in (median(ms), min(ms), max(ms))),
            "1" if contender is found[1] else f"{ratio:.3f} ({low:.3f} to {high:.3f})",
            f"{rate:,.0f}",
            f"{rate / peak:.0%}",
            _held(contender, given, c),
        ]
        if c.device == "cuda":
            cells.append(f"{peak_gpu_bytes(partial(contender.step, given, c)) / 2**20:,.0f}")
        table.add_row(*cells)
    return table


def _held(contender: Contender, given: Inputs, c: Comparison) -> str:
    if not c.trains or c.compile:  # hooks would make the compiler start again
        return "-"
    with held_for_backward(contender.network) as held:
        out = contender.forward(given, c)
    del out
    return f"{sum(held.values()) / 2**20:,.0f}"


def _kinds_table(found: list[Contender], given: Inputs, c: Comparison) -> Table:
    by_kind = [ms_by_kind(partial(one.step, given, c), c.device) for one in found]
    table = _markdown("ms of a profiled step", [contender.name for contender in found])
    for kind in [*(kind for kind, _ in KINDS), REST]:
        own = [kinds.get(kind, 0.0) for kinds in by_kind]
        if any(own):
            shares = [ms / sum(kinds.values()) for ms, kinds in zip(own, by_kind, strict=True)]
            table.add_row(kind, *(f"{ms:,.1f} ({share:.0%})" for ms, share in zip(own, shares, strict=True)))
    return table


def _markdown(first: str, headings: list[str]) -> Table:
    table = Table(box=box.MARKDOWN)
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


# ---------------------------------------------------------------------- the door


def comparisons(words: list[str]) -> list[Comparison]:
    """Every combination of the values that the words give, the first word varying slowest.

    Raises:
        InputError: naming the setting and what is allowed.
    """
    choices: list[list[tuple[str, Any]]] = []
    for word in words:
        name, sign, values = word.partition("=")
        if not sign:
            raise InputError(f"{word!r}: expected name=value or name=value,value")
        choices.append([(name, yaml.safe_load(value)) for value in values.split(",")])
    found = [from_plain(Comparison, dict(picked)) for picked in itertools.product(*choices)]
    if any(c.device == "cuda" for c in found) and not torch.cuda.is_available():
        raise InputError("device: cuda is asked for, and torch sees none here; allowed: cpu")
    return found


def main(words: list[str]) -> int:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler reports a missing GPU as an error
    torch.backends.cuda.matmul.fp32_precision = "ieee"  # fp32 is fp32: no TF32
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    console = Console(width=200, highlight=False, soft_wrap=True)
    try:
        wanted = comparisons(words)
        gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
        console.print(f"torch {torch.__version__}, diffusers {version('diffusers')}{gpu}")
        for c in wanted:
            compare(c, console)
            gc.collect()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
