"""What `mdsearch count autoencoder=...` prints: an autoencoder, what each way costs, and what differs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from conf.compose import compose
from mdsearch.second_opinions import as_plain, print_opinions
from space.autoencoder import Autoencoder, Way
from space.autoencoder_stages import decoder_stages, encoder_stages
from space.difference import autoencoder_difference
from space.kinds.rules import Cost
from space.prices.autoencoder import autoencoder_breakdown, autoencoder_price, way_activation_bytes
from space.prices.memory import weight_bytes
from space.shared.console import command_console
from space.shared.plain import InputError
from space.shared.second_opinion import SecondOpinion, disagreements

WAYS = {"encoder": encoder_stages, "decoder": decoder_stages}
USUAL_AGAINST = "sd"


def print_count(a: Autoencoder, against: str | None, *, form: str, check: bool) -> int:
    """As text, JSON or YAML; returns 1 where a second opinion disagrees."""
    opinions = _opinions(a) if check else []
    if form == "yaml":
        print(a.to_yaml(), end="")
    elif form == "json":
        print(json.dumps(autoencoder_summary(a, against) | as_plain(opinions), indent=2))
    else:
        _print_text(a, against)
        print_opinions(opinions)
    return 1 if disagreements(opinions) else 0


def _opinions(a: Autoencoder) -> list[SecondOpinion]:
    from space.prices.check import autoencoder_opinions  # which waits for torch

    with command_console(stderr=True).status("counting"):
        return autoencoder_opinions(a)


def _named(name: str) -> Autoencoder:
    """A preset of conf/autoencoder, or else a file."""
    if Path(name).suffix in (".yaml", ".yml"):
        return Autoencoder.load(name)
    try:
        return Autoencoder.from_plain(compose("count", [f"autoencoder={name}"])["autoencoder"])
    except InputError as error:
        raise InputError(f"against: {str(error).removeprefix('autoencoder: ')}") from None


def autoencoder_summary(a: Autoencoder, against: str | None = None) -> dict[str, Any]:
    """Everything that the text shows, as plain data; MACs and FLOPs as whole numbers, of one image."""
    costs, places = autoencoder_price(a), _by_place(a)
    data: dict[str, Any] = {
        "id": a.id,
        "parameters": costs.parameters,
        "latent_channels": a.latent_channels,
        "factor": a.factor,
        "image_size": a.image_size,
        "latent_size": a.latent_size,
    }
    for name, cost in costs._asdict().items():
        data[name] = {
            "parameters": cost.parameters,
            "macs": cost.macs,
            "attention_macs": cost.attention_macs,
            "flops": cost.flops,
            "weight_bytes": {bits: weight_bytes(cost, bits) for bits in ("fp32", "fp16", "int8")},
            "peak_activation_bytes": {
                bits: way_activation_bytes(WAYS[name](a), bits) for bits in ("fp32", "fp16")
            },
            "by_level": {
                place: part._asdict() for place, part in places.items() if place.startswith(f"{name}-")
            },
        }
    if against is not None:
        data["difference"] = {"from": against, "changes": autoencoder_difference(_named(against), a)}
    return data


def _by_place(a: Autoencoder) -> Mapping[str, Cost]:
    sums: dict[str, Cost] = defaultdict(lambda: Cost(0, 0, 0))
    for item in autoencoder_breakdown(a):
        sums[item.where] += item.cost
    return sums


def _print_text(a: Autoencoder, against: str | None) -> None:
    console = command_console()
    lines = [] if against is None else autoencoder_difference(_named(against), a)
    console.print(_levels_table(a))
    console.print(
        f"images of {a.image_size} px, latents of {a.latent_channels} channels and {a.latent_size} px "
        f"(factor {a.factor}); id {a.id}\n"
    )
    console.print(_totals_table(a))
    console.print(_breakdown_table(a))
    if against is not None:
        print(f"\nfrom {against} to this:{'' if lines else ' no difference'}")
        for line in lines:
            print(f"  {line}")


def _levels_table(a: Autoencoder) -> Table:
    table = Table(title="autoencoder", title_justify="left")
    for name in ("level", "size", "encoder channels", "blocks", "decoder channels", "blocks"):
        table.add_column(name)
    for index, (one, other) in enumerate(zip(a.encoder.levels, a.decoder.levels, strict=True)):
        cells = [
            str(part) for level in (one, other) for part in (level.channels, f"{level.blocks} {level.conv}")
        ]
        table.add_row(str(index + 1), str(a.image_size >> index), *cells)
    middles = [part for way in (a.encoder, a.decoder) for part in _middle_cells(way)]
    table.add_row("middle", str(a.latent_size), *middles)
    return table


def _middle_cells(way: Way) -> Sequence[str]:
    if way.middle is None:
        return "-", "-"
    attention = " with attention" if way.middle.attention else ""
    return str(way.levels[-1].channels), f"{way.middle.blocks} {way.middle.conv}{attention}"


def _totals_table(a: Autoencoder) -> Table:
    table = Table(title=f"cost of one image of {a.image_size} px", title_justify="left")
    for name in ("", "encoder", "decoder"):
        table.add_column(name, justify="right" if name else "left")
    costs = autoencoder_price(a)
    peaks = [way_activation_bytes(stages(a), "fp16") / 2**20 for stages in WAYS.values()]
    rows: dict[str, list[str]] = {
        "parameters": [f"{cost.parameters:,}" for cost in costs],
        "GMACs": [f"{cost.gmacs:.2f}" for cost in costs],
        "of these attention products": [f"{cost.attention_macs / 1e9:.2f}" for cost in costs],
        "weights, fp16": [f"{weight_bytes(cost, 'fp16') / 2**20:.1f} MiB" for cost in costs],
        "peak activations, fp16": [f"{peak:.1f} MiB" for peak in peaks],
    }
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _breakdown_table(a: Autoencoder) -> Table:
    table, costs = Table(title="by level", title_justify="left"), autoencoder_price(a)
    table.add_column("")
    for name in ("parameters (M)", "GMACs", "% of its way"):
        table.add_column(name, justify="right")
    for place, part in _by_place(a).items():
        whole: Cost = getattr(costs, place.partition("-")[0])
        cells = (f"{part.parameters / 1e6:.2f}", f"{part.gmacs:.2f}", f"{100 * part.macs / whole.macs:.1f}")
        table.add_row(place, *cells)
    return table
