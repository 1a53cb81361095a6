"""`mdsearch explore`: text, JSON, tables and plots of one map agree, and mistakes are one message."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conf.compose import compose
from mdsearch.commands.explore import main
from space.architecture import Architecture
from space.budget import Budget
from space.choices import Space
from space.explore import counting, files, fronts
from space.explore.grid import Grid
from space.explore.survey import fits_budget
from space.prices.macs import price
from space.shared.plain import InputError, from_plain

ARCH = Path(__file__).parents[3] / "conf" / "arch"
MD = Architecture.load(ARCH / "md.yaml")

PINNED = (
    "space.levels.level_1={channels:[320],conv:[full],blocks:[1],layers_down:[0],layers_up:[0]}",
    "space.levels.level_2.channels=[640]",
)
COMMAND_WORDS = ("samples=300", *PINNED)


@pytest.fixture(scope="module")
def command_json(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("map")
    words = [f"out={folder / 'map.parquet'}", f"plot={folder / 'map.png'}", "format=json"]
    with redirect_stdout(StringIO()) as printed:
        assert main([*COMMAND_WORDS, *words]) == 0
    return json.loads(printed.getvalue()), folder


def test_json_and_table_agree(command_json: tuple[dict[str, Any], Path]) -> None:
    data, folder = command_json
    table = pd.read_parquet(folder / "map.parquet")
    assert len(table) == data["drawn"]["draws"] == 300
    assert int(table["fits"].sum()) == data["drawn"]["fits"]
    names = [name for name, _ in from_plain(Space, compose("explore", PINNED)["space"]).choices()]
    assert list(table.columns) == ["id", "parameters", "gmacs", "attention_gmacs", "fits", *names]
    low, high = data["drawn"]["share_95_percent"]
    assert low < data["fits"]["encodings"] / data["encodings"] < high
    md_row = next(row for row in data["published"] if row["name"] == "md")
    assert (md_row["parameters"], md_row["outside_the_space"], md_row["fits"]) == (387_376_712, None, True)
    assert {row["name"] for row in data["published"]} == {path.stem for path in ARCH.glob("*.yaml")}
    assert data["near"]["id"] == MD.id
    assert (folder / "map.png").stat().st_size > 10_000
    assert sorted(path.name for path in folder.iterdir()) == ["map.parquet", "map.png"]


def test_a_row_of_the_table_rebuilds_its_network(command_json: tuple[dict[str, Any], Path]) -> None:
    table = pd.read_parquet(command_json[1] / "map.parquet")
    space = from_plain(Space, compose("explore", PINNED)["space"])
    for row in table.head(20).to_dict("records"):
        a = space.architecture({name: row[name] for name, _ in space.choices()})
        assert (a.id, price(a).parameters) == (row["id"], row["parameters"])
        assert price(a).gmacs == row["gmacs"]


def test_text_and_csv(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([*COMMAND_WORDS, f"out={tmp_path / 'map.csv'}", "neighbours=2"]) == 0
    text = capsys.readouterr().out
    for expected in (
        "distinct networks",
        "400 M parameters and 200 GMACs",
        "95 % interval",
        "387.38",
        "nearest 2 of",
    ):
        assert expected in text
    assert len(pd.read_csv(tmp_path / "map.csv")) == 300


def test_around_a_file_or_around_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lite = Architecture.load(ARCH / "md_lite.yaml")
    (tmp_path / "own.yaml").write_text(lite.to_yaml(), encoding="utf-8")
    near = []
    for word in (f"near={tmp_path / 'own.yaml'}", "near=null"):
        assert main([*COMMAND_WORDS, word, "format=json"]) == 0
        data = json.loads(capsys.readouterr().out)
        near.append((data["near"] and data["near"]["id"], bool(data["neighbours"])))
    assert near == [(lite.id, True), (None, False)]


def test_a_space_too_large_to_count_is_estimated(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "MOST_PAIRS", 0)
    monkeypatch.setattr(fronts, "MOST_GROUPS", 0)
    assert main([*COMMAND_WORDS, f"plot={tmp_path / 'map.svg'}"]) == 0
    text = capsys.readouterr().out
    assert "estimated from a sample" in text
    assert "95 % interval" in text
    assert "edge: " not in text
    assert (tmp_path / "map.svg").read_text().startswith("<?xml")


def test_a_table_broken_off_leaves_no_file(md: Grid, tmp_path: Path) -> None:
    rows = md.sample(np.random.default_rng(0), 5)
    costs = md.price(rows)
    with pytest.raises(KeyboardInterrupt), files.CandidateFile(tmp_path / "map.csv", md) as file:
        file.write(rows, costs, fits_budget(Budget(), costs))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["samples=0"], "samples: 0 is not possible; allowed: 1 or more"),
        (["out=map.txt"], "out: 'map.txt' ends in '.txt'; allowed: .parquet, .csv"),
        (["plot=nowhere/map.png"], "plot: there is no folder 'nowhere'"),
        (["budget.peak_activations_mib=100"], "budget.peak_activations_mib: a map adds up"),
        (["near=mdd"], "near: no preset 'mdd'; did you mean 'md'"),
        (["near=sd15"], "near: sd15 is no point of this space: 4 levels; the space has 3; near=null"),
        (["spce=md"], "did you mean 'space'"),
    ],
)
def test_mistakes_are_one_message(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        main([*PINNED, *words])
