"""What the page of a system says of its networks, of what was exported, and of how all was made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analysis.report.html import Cell, PageTable, Row, number
from analysis.report.sections.images import image_address
from analysis.system.facts import System
from analysis.system.sections import RUNTIME_WORDS, score_in_words, shown_ms
from evaluators.protocols.score import Score
from evaluators.protocols.sheet import Sheet
from search.formats import duration, gmacs_decimals
from space.autoencoder import Autoencoder
from space.level_table import LEVEL_COLUMNS, level_rows
from space.prices.autoencoder import autoencoder_price
from space.prices.macs import price
from space.shared.command_lines import typed_line
from training.files import SAMPLES_NAME


def system_architecture(system: System) -> dict[str, Any] | None:
    if system.described is None:
        return None
    whole, built = system.architecture or system.described[0], system.described[0]
    rows = [Row([Cell(text) for text in row]) for row in level_rows(whole)]
    heads = ["", "parameters", "GMACs", "latents"]
    named = {"at the paper's scale": whole, "as trained here": built}
    counts = [
        Row(
            [
                Cell(name),
                number(price(a).parameters),
                number(price(a).gmacs, 1 if price(a).gmacs >= 1 else 4),
                Cell(f"{a.latent_channels}x{a.latent_size}x{a.latent_size}"),
            ]
        )
        for name, a in named.items()
    ]
    return {
        "id": whole.id,
        "levels": PageTable(LEVEL_COLUMNS, rows),
        "counts": PageTable(heads, counts, numbers=(1, 2)),
        "yaml": whole.to_yaml(),
        "reports": system.reports,
    }


def system_decoder(system: System) -> dict[str, Any]:
    if system.decoder is None:
        return {"table": None, "sheet": None, "differences": []}
    named = {"of this system": system.decoder}
    if system.full_decoder is not None:
        named["the autoencoder's own"] = system.full_decoder
    runtimes = list(
        dict.fromkeys(name for each in system.latencies for name in each.parts.get("decoder", {}))
    )
    heads = ["decoder", "parameters", "GMACs", *(f"ms, {RUNTIME_WORDS.get(name, name)}" for name in runtimes)]
    rows = [Row(_decoder_cells(system, name, a, runtimes)) for name, a in named.items()]
    stage = system.reconstruction
    sheet = None if stage is None else Sheet.load(Path(stage.folder))
    scores = () if sheet is None else sheet.scores.values()
    return {
        "table": PageTable(heads, rows, numbers=range(1, len(heads))),
        "scores": [f"{_upper(score)} {score_in_words(score)}" for score in scores],
        "differences": [] if sheet is None else list(_differences(sheet)),
        "sheet": None if stage is None else _file_address(Path(stage.folder) / SAMPLES_NAME),
    }


def _decoder_cells(system: System, name: str, a: Autoencoder, runtimes: list[str]) -> list[Cell]:
    cost = autoencoder_price(a).decoder
    cells = [Cell(name), number(cost.parameters), number(cost.gmacs, gmacs_decimals(cost.gmacs))]
    own = system.latency if a is system.decoder else None
    timed = next((each for each in system.latencies if each.id == a.id), own)
    for runtime in runtimes:
        took = None if timed is None else timed.of("decoder", runtime)
        cells.append(
            Cell(
                ""
                if took is None
                else f"{shown_ms(took.median)} ({shown_ms(took.low)} to {shown_ms(took.high)})",
                css="number",
            )
        )
    return cells


def _upper(score: Score) -> str:
    return score.name.upper().replace("_", " ")


def _differences(sheet: Sheet) -> Iterator[str]:
    for name, found in sheet.about.get("differences", {}).items():
        noise = ", within noise" if found["low"] <= 0 <= found["high"] else ""
        yield f"{name.upper()} {found['mean']:+.3g} ({found['low']:+.3g} to {found['high']:+.3g}){noise}"


def _file_address(file: Path) -> str | None:
    from PIL import Image

    if not file.is_file():
        return None
    with Image.open(file) as image:
        return image_address(image.convert("RGB"))


# ---------------------------------------------------------------------- how it was made


def system_export(system: System) -> dict[str, Any] | None:
    if not system.exported:
        return None
    rows = [Row(_exported_cells(part, plain)) for part, plain in system.exported.items()]
    heads = ["part", "format", "precision", "relative error beside PyTorch", "PSNR (dB)"]
    return {"table": PageTable(heads, rows, numbers=(3, 4))}


def _exported_cells(part: str, plain: dict[str, Any]) -> list[Cell]:
    check = plain.get("check") or {}
    error, psnr = check.get("relative_error"), check.get("psnr_db")
    return [
        Cell(part),
        Cell(str(plain.get("format", ""))),
        Cell(str(plain.get("precision", ""))),
        Cell("not verified here" if error is None else f"{error:.2g}", css="number"),
        number(psnr, 1),
    ]


def system_stages(system: System) -> dict[str, Any]:
    rows = [
        Row(
            [
                Cell(name),
                Cell(duration(stage.seconds), stage.seconds, "number"),
                number(stage.sessions),
                Cell(typed_line(stage.command, stage.words), code=True),
            ]
        )
        for name, stage in system.record.stages.items()
    ]
    return {"table": PageTable(["stage", "time", "sessions", "command"], rows, numbers=(1, 2))}
