"""`mdsearch count`: what an architecture is, and what it costs; the rules are in `space.kinds`."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from conf.compose import compose
from conf.repeated import refuse_beside
from mdsearch.count_autoencoder import USUAL_AGAINST, print_count
from mdsearch.second_opinions import as_plain, count_opinions, print_opinions
from search.latency import elsewhere_note
from space.architecture import Architecture
from space.autoencoder import Autoencoder
from space.budget import Budget
from space.difference import difference
from space.level_table import LEVEL_COLUMNS, level_rows
from space.prices.macs import Cost, breakdown, price
from space.prices.memory import peak_activation_bytes, weight_bytes
from space.shared.console import command_console
from space.shared.plain import InputError, from_plain
from space.shared.second_opinion import disagreements

SHOWN_BUDGETS = ("md", "md_lite")


@dataclass(frozen=True)
class PriceSettings:
    """What conf/count.yaml holds."""

    arch: dict[str, Any]
    budget: Budget
    autoencoder: dict[str, Any] | None = None
    arch_file: str | None = None
    against: str | None = "md"
    check: bool = False
    format: Literal["text", "json", "yaml"] = "text"


def main(words: list[str]) -> int:
    settings: PriceSettings = from_plain(PriceSettings, compose("count", words))
    refuse_beside(words, "arch_file", ["arch"], "which is an architecture itself")
    refuse_beside(words, "autoencoder", ["arch", "arch_file", "budget"], "which is no UNet")
    if settings.check and settings.format == "yaml":
        raise InputError(
            "check: has no place in format=yaml, which holds the architecture; allowed: text, json"
        )
    if settings.autoencoder is not None:
        chosen = Autoencoder.from_plain(settings.autoencoder, "autoencoder")
        against = settings.against if _gives(words, "against") else USUAL_AGAINST
        return print_count(chosen, against, form=settings.format, check=settings.check)
    a = _architecture(settings)
    opinions = count_opinions(a) if settings.check else []
    if settings.format == "yaml":
        print(a.to_yaml(), end="")
    elif settings.format == "json":
        print(json.dumps(count_summary(a, settings) | as_plain(opinions), indent=2))
    else:
        _print_text(a, settings)
        print_opinions(opinions)
    return 1 if disagreements(opinions) else 0


def _gives(words: list[str], name: str) -> bool:
    return any(word.lstrip("+~").partition("=")[0] == name for word in words)


def _architecture(settings: PriceSettings) -> Architecture:
    if settings.arch_file is not None:
        return Architecture.load(settings.arch_file)
    return _from_preset(settings.arch)


def _from_preset(data: dict[str, Any]) -> Architecture:
    if "patch" in data:
        raise InputError("arch: a DiT is no UNet; it is priced beside the others by mdsearch table1")
    return Architecture.from_plain(data, "arch")


def _named(name: str) -> Architecture:
    """A preset of conf/arch, or else a file."""
    if Path(name).suffix in (".yaml", ".yml"):
        return Architecture.load(name)
    try:
        return _from_preset(compose("count", [f"arch={name}"])["arch"])
    except InputError as error:
        raise InputError(f"against: {str(error).removeprefix('arch: ')}") from None


def _budgets(settings: PriceSettings) -> dict[str, Budget]:
    """The paper's two, and the one asked for where it is another."""
    named = {
        name: from_plain(Budget, compose("count", [f"budget={name}"])["budget"]) for name in SHOWN_BUDGETS
    }
    return named if settings.budget in named.values() else {**named, "yours": settings.budget}


# ---------------------------------------------------------------------- what is printed


def grouped(a: Architecture, by: Literal["where", "kind"]) -> dict[str, Cost]:
    """The breakdown summed by part of the network or by kind of block, in the order of the forward pass."""
    sums: dict[str, Cost] = defaultdict(lambda: Cost(0, 0, 0))
    for item in breakdown(a):
        sums[getattr(item, by)] += item.cost
    return dict(sums)


def count_summary(a: Architecture, settings: PriceSettings) -> dict[str, Any]:
    """Everything that the text shows, as plain data; MACs and FLOPs as whole numbers."""
    cost = price(a)
    data: dict[str, Any] = {
        "id": a.id,
        "parameters": cost.parameters,
        "macs": cost.macs,
        "macs_without_attention_products": cost.macs_without_attention_products,
        "attention_macs": cost.attention_macs,
        "flops": cost.flops,
        "conv_blocks": a.conv_blocks,
        "self_attention": a.self_attention_layers,
        "cross_attention": a.cross_attention_layers,
        "weight_bytes": {name: weight_bytes(cost, name) for name in ("fp32", "fp16", "int8")},
        "peak_activation_bytes": {name: peak_activation_bytes(a, name) for name in ("fp32", "fp16")},
        "breakdown": {
            "by_level": {name: part._asdict() for name, part in grouped(a, "where").items()},
            "by_kind": {name: part._asdict() for name, part in grouped(a, "kind").items()},
        },
        "over_budget": {name: budget.excess(a) for name, budget in _budgets(settings).items()},
    }
    if settings.budget.files:
        data["latencies"] = latencies(a, settings.budget)
    if settings.against is not None:
        data["difference"] = {
            "from": settings.against,
            "changes": difference(_named(settings.against), a),
        }
    return data


def latencies(a: Architecture, budget: Budget) -> list[dict[str, Any]]:
    """ms by each price list, and how its device or versions differ from here. Raises InputError for what one
    does not hold."""
    each = zip(budget.lists, budget.latencies(a), strict=True)
    return [{"list": one.describe(), "ms": ms, "note": elsewhere_note(one) or None} for one, ms in each]


def _print_text(a: Architecture, settings: PriceSettings) -> None:
    console, cost, predicted = command_console(), price(a), latencies(a, settings.budget)
    lines = [] if settings.against is None else difference(_named(settings.against), a)
    console.print(_levels_table(a))
    console.print(
        f"{a.conv_blocks} conv blocks, {a.self_attention_layers} self- and {a.cross_attention_layers} "
        f"cross-attention layers; id {a.id}\n"
    )
    console.print(_totals_table(a, cost))
    console.print(_breakdown_table(a, cost, "where", "by level"))
    console.print(_breakdown_table(a, cost, "kind", "by kind of block"))
    for one in predicted:
        print(f"latency {one['ms']:.1f} ms: {', '.join(filter(None, (one['list'], one['note'])))}")
    for name, budget in _budgets(settings).items():
        over = budget.excess(a)
        print(f"budget {name}: {'over, ' + '; '.join(over) if over else 'fits'}")
    if settings.against is not None:
        print(f"\nfrom {settings.against} to this:{'' if lines else ' no difference'}")
        for line in lines:
            print(f"  {line}")


def _levels_table(a: Architecture) -> Table:
    table = Table(title="architecture", title_justify="left")
    for name in LEVEL_COLUMNS:
        table.add_column(name)
    for row in level_rows(a):
        table.add_row(*row)
    return table


def _totals_table(a: Architecture, cost: Cost) -> Table:
    table = Table(title="cost of one image, one evaluation", title_justify="left", show_header=False)
    for name, value in {
        "parameters": f"{cost.parameters:,} ({cost.parameters / 1e6:.1f} M)",
        'GMACs (the paper\'s "GFLOPs")': f"{cost.gmacs:.2f}",
        "GMACs without attention products": f"{cost.macs_without_attention_products / 1e9:.2f}",
        "GFLOPs = 2 x GMACs": f"{cost.flops / 1e9:.2f}",
        "weights, fp16": f"{weight_bytes(cost, 'fp16') / 2**20:.0f} MiB",
        "peak activations, fp16": f"{peak_activation_bytes(a, 'fp16') / 2**20:.1f} MiB",
    }.items():
        table.add_row(name, value)
    return table


def _breakdown_table(a: Architecture, cost: Cost, by: Literal["where", "kind"], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in ("parameters (M)", "%", "GMACs", "%", "of these attention products"):
        table.add_column(name, justify="right")
    for name, part in grouped(a, by).items():
        table.add_row(
            name,
            f"{part.parameters / 1e6:.2f}",
            f"{100 * part.parameters / cost.parameters:.1f}",
            f"{part.gmacs:.2f}",
            f"{100 * part.macs / cost.macs:.1f}",
            f"{part.attention_macs / 1e9:.2f}",
        )
    return table
