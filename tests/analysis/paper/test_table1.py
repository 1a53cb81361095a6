"""Table 1 as people and as machines read it."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.paper.table1 import EXPLAINED_FROM_PERCENT, counted_networks, table1_text
from analysis.rendering import TableSettings
from mdsearch.commands.table1 import main
from space.shared.plain import InputError

ROOT = Path(__file__).parents[3]
NAMES = ["SDXL", "SD-1.4/1.5", "SnapFusion", "DiT-XL/2", "MobileDiffusion", "MobileDiffusion-Lite"]


@pytest.fixture(scope="module")
def as_json() -> list[dict]:
    return json.loads(table1_text(counted_networks(), TableSettings(format="json")))


def test_rows_stand_in_the_papers_order(as_json: list[dict]) -> None:
    assert [row["model"] for row in as_json] == NAMES


def test_counts_that_must_hold(as_json: list[dict]) -> None:
    row = {row["model"]: row for row in as_json}
    assert row["SD-1.4/1.5"]["parameters"] == 859_520_964
    assert row["SDXL"]["parameters"] == 2_567_463_684
    assert row["SD-1.4/1.5"]["macs"] / 1e9 == pytest.approx(401.64, abs=0.005)
    assert row["SDXL"]["macs"] / 1e9 == pytest.approx(794.39, abs=0.005)
    assert row["DiT-XL/2"]["parameters"] == pytest.approx(675.1e6, rel=1e-3)
    assert row["DiT-XL/2"]["macs"] == pytest.approx(524.58e9, rel=1e-3)
    assert row["MobileDiffusion"]["parameters"] == pytest.approx(386e6, rel=0.01)
    assert row["MobileDiffusion"]["macs"] == pytest.approx(182e9, rel=0.01)
    attention = {
        name: (r["conv_blocks"], r["self_attention"], r["cross_attention"]) for name, r in row.items()
    }
    assert attention["SDXL"] == (17, 70, 70)
    assert attention["DiT-XL/2"] == (0, 28, 0)
    assert attention["MobileDiffusion-Lite"] == (11, 12, 15)
    saved = row["SD-1.4/1.5"]["macs"] - row["SD-1.4/1.5"]["macs_without_attention_products"]
    assert saved / 1e9 == pytest.approx(63.03, abs=0.005)


def test_the_papers_figures_are_printed_as_they_stand(as_json: list[dict]) -> None:
    printed = [(row["paper_parameters"], row["paper_gflops"]) for row in as_json]
    assert printed == [
        (2_600_000_000, 710),
        (862_000_000, 392),
        (848_000_000, 285),
        (675_000_000, 525),
        (386_000_000, 182),
        (None, None),
    ]
    assert [row["paper_self_attention"] for row in as_json] == [31, 16, 14, 28, 15, None]


def test_flops_are_twice_the_macs(as_json: list[dict]) -> None:
    assert all(row["flops"] == 2 * row["macs"] for row in as_json)


def test_whatever_differs_by_more_than_a_percent_is_explained() -> None:
    for row in counted_networks():
        deviations = [row.parameters_deviation_percent, row.macs_deviation_percent]
        differs = any(value is not None and abs(value) > EXPLAINED_FROM_PERCENT for value in deviations)
        assert bool(row.explanation) == (differs or row.paper_parameters is None), row.model


def test_csv_reads_back(as_json: list[dict]) -> None:
    read = list(csv.DictReader(io.StringIO(table1_text(counted_networks(), TableSettings(format="csv")))))
    assert [row["model"] for row in read] == NAMES
    assert [int(row["macs"]) for row in read] == [row["macs"] for row in as_json]
    assert read[0]["channels"] == "320 640 1280"


def test_the_terminals_table_keeps_macs_and_flops_apart() -> None:
    lines = table1_text(counted_networks(), TableSettings()).splitlines()
    sd = next(line for line in lines if line.startswith("SD-1.4/1.5"))
    assert re.search(r"859\.52 +862 +-0\.29 +401\.64 +392 +\+2\.46 +338\.61 +803\.27$", sd)
    assert len({len(line) for line in lines[4:10]}) == 1


def test_the_document_is_what_the_command_writes() -> None:
    """docs/table1.md, but for the line that dates it."""
    settings = TableSettings("markdown", "docs/table1.md", "docs/table1.png")
    made, kept = table1_text(counted_networks(), settings), (ROOT / "docs" / "table1.md").read_text()
    assert made.splitlines()[:-1] == kept.splitlines()[:-1]
    assert "`mdsearch table1 format=markdown" in kept.splitlines()[-1]
    assert (ROOT / "docs" / "table1.png").is_file()


def test_table_and_plot_are_written(tmp_path: Path) -> None:
    out, plot = tmp_path / "deep" / "table.json", tmp_path / "picture.svg"
    assert main(["format=json", f"out={out}", f"plot={plot}"]) == 0
    assert [row["model"] for row in json.loads(out.read_text())] == NAMES
    plotted = plot.read_text()
    assert all(
        f"<!-- {name} -->" in plotted for name in NAMES
    )  # labels, kept as comments beside their outlines


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("format=jsn", "format: 'jsn' is not a choice here; did you mean 'json'"),
        ("plot=a.gif", "plot: 'a.gif' is no image file; allowed: .png, .svg, .pdf"),
        ("out=pyproject.toml/x", "out: pyproject.toml/x cannot be written"),
        ("plot=pyproject.toml/x.png", "plot: pyproject.toml/x.png cannot be written"),
    ],
)
def test_bad_input_is_refused(word: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        main([word])


def test_the_commands_need_neither_ray_nor_optuna() -> None:
    code = (
        "import sys, mdsearch.commands.table1, mdsearch.commands.walk, analysis.paper.plots; "
        "print([name for name in ('ray', 'optuna') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
