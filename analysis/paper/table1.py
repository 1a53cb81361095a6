"""Table 1 of the paper, counted anew: `mdsearch table1`.

The paper's "GFLOPs" are multiply-accumulates with the attention products counted (DiT-XL/2: 524.5 that
way, 525 printed), so its figures stand beside our GMACs. No count is bent to meet a figure; where the two
differ by more than 1 %, the row says what is known about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from analysis.rendering import TableSettings, markdown_page, render_table
from space import dit
from space.architecture import Architecture
from space.dit import DiT
from space.prices.macs import Cost, price

EXPLAINED_FROM_PERCENT = 1.0
CAPTION = "Parameters against GMACs, counted and as printed"


@dataclass(frozen=True)
class Printed:
    """A row as the paper prints it (section 3.3); None where it prints nothing."""

    conv_blocks: int | None = None
    self_attention: int | None = None
    cross_attention: int | None = None
    parameters_millions: int | None = None
    gflops: int | None = None


PRINTED = {  # preset of conf/arch -> name, figures, and why ours differ
    "sdxl": (
        "SDXL",
        Printed(17, 31, 31, 2600, 710),
        "2,600 M is rounded; the released network holds 70 transformer layers (4 + 20 + 10 + 30 + 6), and "
        "neither count (with or without attention products) is 710",
    ),
    "sd15": (
        "SD-1.4/1.5",
        Printed(22, 16, 16, 862, 392),
        "the released network counted at 64x64 latents; 392 lies between its MACs with and without attention "
        "products",
    ),
    "snapfusion": (
        "SnapFusion",
        Printed(18, 14, 14, 848, 285),
        "built from SnapFusion's own table, which sums to 17 conv blocks; no weights are public, and a "
        "public rebuild counts 731 M",
    ),
    "dit_xl_2": ("DiT-XL/2", Printed(0, 28, 0, 675, 525), ""),
    "md": ("MobileDiffusion", Printed(11, 15, 18, 386, 182), ""),
    "md_lite": ("MobileDiffusion-Lite", Printed(), "the paper prints no figures for it"),
}


@dataclass(frozen=True)
class Table1Row:
    """One network: ours as counted, the paper's as printed. Parameters and MACs are exact and absolute."""

    model: str
    channels: tuple[int, ...]
    conv_blocks: int
    self_attention: int
    cross_attention: int
    parameters: int
    macs: int
    macs_without_attention_products: int
    flops: int
    paper_conv_blocks: int | None
    paper_self_attention: int | None
    paper_cross_attention: int | None
    paper_parameters: int | None
    paper_gflops: int | None
    parameters_deviation_percent: float | None
    macs_deviation_percent: float | None
    explanation: str


def printed_network(preset: str) -> Architecture | DiT:
    """A network of Table 1 by the name of its file in conf/arch."""
    path = Path(str(resources.files("conf").joinpath("arch", f"{preset}.yaml")))
    return DiT.load(path) if preset == "dit_xl_2" else Architecture.load(path)


def counted_networks() -> list[Table1Row]:
    """Table 1 in the paper's order, MobileDiffusion-Lite last."""
    return [_row(preset) for preset in PRINTED]


def _row(preset: str) -> Table1Row:
    name, printed, explanation = PRINTED[preset]
    network = printed_network(preset)
    channels: tuple[int, ...]
    if isinstance(network, DiT):
        channels, cost = (network.width,), dit.dit_price(network)
        blocks = (0, network.depth, 0)
    else:
        channels, cost = tuple(level.channels for level in network.levels), price(network)
        blocks = (network.conv_blocks, network.self_attention_layers, network.cross_attention_layers)
    deviations = _deviations(cost, printed)
    known = [abs(value) for value in deviations if value is not None]
    needed = not known or max(known) > EXPLAINED_FROM_PERCENT
    return Table1Row(
        name,
        channels,
        *blocks,
        cost.parameters,
        cost.macs,
        cost.macs_without_attention_products,
        cost.flops,
        printed.conv_blocks,
        printed.self_attention,
        printed.cross_attention,
        None if printed.parameters_millions is None else printed.parameters_millions * 1_000_000,
        printed.gflops,
        *deviations,
        explanation if needed else "",
    )


def _deviations(cost: Cost, printed: Printed) -> tuple[float | None, float | None]:
    """Of ours from the paper's, in percent: parameters, MACs."""
    pairs = ((cost.parameters / 1e6, printed.parameters_millions), (cost.gmacs, printed.gflops))
    parameters, macs = (
        None if paper is None else round(100 * (ours / paper - 1), 2) for ours, paper in pairs
    )
    return parameters, macs


# ---------------------------------------------------------------------- for people


def words_of_network(row: Table1Row) -> dict[str, str]:
    """A row as words, under titles that keep MACs and FLOPs apart."""
    return {
        "model": row.model,
        "channels": " ".join(map(str, row.channels)),
        "conv\nblocks": str(row.conv_blocks),
        "paper\nblocks": _or_dash(row.paper_conv_blocks),
        "SA + CA": f"{row.self_attention} + {row.cross_attention}",
        "paper\nSA + CA": _or_dash(
            None
            if row.paper_self_attention is None
            else f"{row.paper_self_attention} + {row.paper_cross_attention}"
        ),
        "parameters\n(M)": f"{row.parameters / 1e6:,.2f}",
        "paper\n(M)": _or_dash(row.paper_parameters and f"{row.paper_parameters / 1e6:,.0f}"),
        "parameters\noff by %": _percent(row.parameters_deviation_percent),
        "GMACs": f"{row.macs / 1e9:.2f}",
        "paper\n'GFLOPs'": _or_dash(row.paper_gflops),
        "MACs\noff by %": _percent(row.macs_deviation_percent),
        "GMACs, no\nattention\nproducts": f"{row.macs_without_attention_products / 1e9:.2f}",
        "GFLOPs\n(2 x MACs)": f"{row.flops / 1e9:.2f}",
    }


def _or_dash(value: Any) -> str:
    return "-" if value is None else str(value)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def table1_text(table: Sequence[Table1Row], settings: TableSettings) -> str:
    """The whole output: the table and, for people, the explanations under it."""
    body = render_table(
        [asdict(row) for row in table], [words_of_network(row) for row in table], settings.format
    )
    notes = [f"{row.model}: {row.explanation}." for row in table if row.explanation]
    if settings.format == "table":
        return "\n".join([body, *notes, "", TABLE1_NOTE]) + "\n"
    if settings.format == "markdown":
        parts = [body, TABLE1_NOTE, "\n".join(f"- {note}" for note in notes)]
        return markdown_page("table1", "Table 1, counted", parts, CAPTION, settings)
    return body


TABLE1_NOTE = (
    "MACs are for one image at 64x64 latents, 77 text tokens and one network evaluation; norms and biases "
    "count none.\nThe paper's 'GFLOPs' are multiply-accumulates: compare them with GMACs, not with GFLOPs."
)


def measures(row: Table1Row) -> tuple[str, float, float, float | None, float | None]:
    """Name, parameters in millions and GMACs: counted, then printed."""
    printed = None if row.paper_parameters is None else row.paper_parameters / 1e6
    return row.model, row.parameters / 1e6, row.macs / 1e9, printed, row.paper_gflops
