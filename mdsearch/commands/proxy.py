"""`mdsearch proxy`: a proxy for a space, by what fits it and what a step takes on this machine."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml
from rich.table import Table

from analysis.rendering import write_text
from conf.compose import compose
from space.architecture import Architecture
from space.budget import Budget
from space.choices import Space, UniformSuggestions
from space.prices.macs import price
from space.proposal import INNER_SIZES, deepest, inner_size, proposed_proxies
from space.proxy import Proxy, narrow
from space.shared.command_lines import setting_word, typed_line
from space.shared.console import command_console
from space.shared.outputs import refuse_used_file
from space.shared.plain import InputError, from_plain, to_plain
from training.settings import TrainingSettings

TYPICAL_OF = 200
TEXT_FEATURES = 12, 48, 96  # of the small encoder, trained along: tokens, and the least and most width
PAPER_CONTEXT_WIDTH = 768
TOO_SLOW = 2.0  # times the time allowed: nothing larger is measured


@dataclass(frozen=True)
class ProxyCommand:
    """What conf/proxy.yaml holds."""

    space: Space
    budget: Budget
    training: TrainingSettings = field(default_factory=TrainingSettings)
    steps: int = 500
    minutes: float = 1.0
    image_size_px: int | None = None
    threads: int = 1
    seed: int = 0
    out: str | None = None
    format: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        for name in ("steps", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is too few; allowed: 1 or more")
        if not self.minutes > 0:
            raise InputError(f"minutes: {self.minutes:g} is no time; allowed: above 0")
        if self.out is not None and not self.out.endswith(".yaml"):
            raise InputError(f"out: {self.out!r} is no preset; allowed: a file that ends in .yaml")


@dataclass(frozen=True)
class MeasuredProxy:
    """A proxy, and what a step of a typical network of the space takes under it."""

    proxy: Proxy
    image_size_px: int
    inner_size: int
    parameters: int
    seconds_per_step: float

    def minutes(self, steps: int) -> float:
        return self.seconds_per_step * steps / 60

    def to_plain(self, steps: int) -> dict[str, Any]:
        return to_plain(self) | {"tokens": self.inner_size**2, "minutes": self.minutes(steps)}


def main(words: list[str]) -> int:
    command: ProxyCommand = from_plain(ProxyCommand, compose("proxy", words))
    command.space.check_order()
    if command.out is not None:
        refuse_used_file(command.out)
    measured = list(_measured(command))
    chosen = proposal(measured, command.steps, command.minutes)
    if command.format == "json":
        plain = {"proposed": chosen.to_plain(command.steps)}
        print(json.dumps(plain | {"measured": [one.to_plain(command.steps) for one in measured]}, indent=2))
    else:
        _print(measured, chosen, command, words)
    if command.out is not None:
        write_text(_preset(chosen, command.steps), command.out)
    return 0


def proposal(measured: Iterable[MeasuredProxy], steps: int, minutes: float) -> MeasuredProxy:
    """The slowest that is fast enough, the wider of two; the fastest where none is."""
    measured = sorted(measured, key=lambda one: (one.seconds_per_step, -one.proxy.width_divisor))
    return [measured[0], *(one for one in measured if one.minutes(steps) <= minutes)][-1]


def _measured(command: ProxyCommand) -> Iterator[MeasuredProxy]:
    """The cheapest first, until it takes too long."""
    import torch

    from space.coordinates import COORDINATES
    from training.data.factory import load_data
    from training.data.scenes import ScenesSettings
    from training.latents import make_codec
    from training.timing import seconds_per_step
    from training.trainer import Trainer

    torch.set_num_threads(command.threads)
    codec = make_codec(command.training.latents, torch.device("cpu"))
    channels = codec.channels + COORDINATES * command.training.latents.coordinates
    sizes = _latent_sizes(command, codec.factor)
    networks = _typical(command)
    found = []
    for proxy in _proxies(command, sizes, channels):
        priced = sorted((price(narrow(a, proxy)).macs, a.id, a) for a in networks)
        found.append((priced[len(priced) // 2], proxy))
    for (_, _, architecture), proxy in sorted(found, key=lambda entry: entry[0][0]):
        assert proxy.latent_size is not None
        narrowed, pixels = narrow(architecture, proxy), proxy.latent_size * codec.factor
        data = load_data(
            ScenesSettings(scenes=2 * max(64, command.training.batch_size), image_size_px=pixels)
        )
        one = MeasuredProxy(
            proxy,
            pixels,
            inner_size(command.space, proxy.latent_size),
            price(narrowed).parameters,
            seconds_per_step(Trainer(narrowed, data, command.training, seed=command.seed)),
        )
        yield one
        if one.minutes(command.steps) > TOO_SLOW * command.minutes:
            return


def _latent_sizes(command: ProxyCommand, factor: int) -> list[int]:
    unit, pixels = deepest(command.space), command.image_size_px
    if pixels is None:
        return [unit * size for size in INNER_SIZES]
    if pixels < 1 or pixels % (unit * factor):
        near = max(1, round(pixels / (unit * factor))) * unit * factor
        raise InputError(
            f"image_size_px: {pixels} makes latents that do not halve evenly from level to level; allowed: "
            f"multiples of {unit * factor}, the nearest is {near}"
        )
    return [pixels // factor]


def _proxies(command: ProxyCommand, sizes: list[int], channels: int) -> Iterator[Proxy]:
    """With text features as wide as a small encoder, trained along, needs; another encoder's are its own."""
    text = command.training.text
    for proxy in proposed_proxies(command.space, sizes, channels, None):
        if text.encoder != "small":
            yield proxy
            continue
        tokens, least, most = TEXT_FEATURES
        width = min(most, max(least, PAPER_CONTEXT_WIDTH // proxy.width_divisor))
        width = -(-width // text.heads) * text.heads
        yield from_plain(Proxy, to_plain(proxy) | {"context_length": tokens, "context_width": width})


def _typical(command: ProxyCommand) -> list[Architecture]:
    """Random networks within the budget; of all of them where none is."""
    chance = random.Random(command.seed)
    sampled = [command.space.sample(UniformSuggestions(chance)) for _ in range(TYPICAL_OF)]
    return [a for a in sampled if not command.budget.excess(a)] or sampled


def _preset(one: MeasuredProxy, steps: int) -> str:
    head = (
        f"# Widths / {one.proxy.width_divisor} on {one.image_size_px} px images; "
        f"{one.inner_size**2} tokens at the innermost level; "
        f"{one.minutes(steps):.2g} minutes for {steps} steps where it was measured\n"
    )
    return head + yaml.safe_dump(to_plain(one.proxy), sort_keys=False)


def _print(
    measured: list[MeasuredProxy], chosen: MeasuredProxy, command: ProxyCommand, words: list[str]
) -> None:
    table = Table(title="a typical network of the space; * is proposed", title_justify="left")
    for name in ("widths", "px", "latents", "inner", "tokens", "M params", "s/step", "minutes", ""):
        table.add_column(name, justify="right")
    for one in measured:
        table.add_row(
            f"/ {one.proxy.width_divisor}",
            str(one.image_size_px),
            str(one.proxy.latent_size),
            f"{one.inner_size}x{one.inner_size}",
            str(one.inner_size**2),
            f"{one.parameters / 1e6:.2f}",
            f"{one.seconds_per_step:.3f}",
            f"{one.minutes(command.steps):.2f}",
            "*" if one is chosen else "",
        )
    command_console().print(table)
    if chosen.minutes(command.steps) > command.minutes:
        print(f"None trains {command.steps} steps in minutes={command.minutes:g} here; this is the fastest.")
    print(_preset(chosen, command.steps))
    print(_use(chosen, command, words))


def _use(chosen: MeasuredProxy, command: ProxyCommand, words: list[str]) -> str:
    kept = [
        word
        for word in words
        if word.lstrip("+").partition("=")[0].partition(".")[0] in ("space", "training")
    ]
    more = [setting_word("proxy", command.out or "mine.yaml"), f"data.image_size_px={chosen.image_size_px}"]
    line = typed_line("search", [*kept, *more])
    return line if command.out else f"with out=mine.yaml: {line}"
