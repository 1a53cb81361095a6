"""Stages exported to a folder, and the script that measures them elsewhere, run as itself by made times."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest
from torch import Tensor, nn

from evaluators.latency.designs import design
from evaluators.latency.stages_folder import SCRIPT_FILE, stages_bytes, write_stages
from space.choices import LevelRanges, Space
from space.prices.latency import PriceList
from space.shared.plain import InputError

LEVEL = LevelRanges((16,), layers_down=(1,), layers_up=(0,), cross_attention=(True,))
BASE = {"latent_size": 4, "norm_groups": 8, "head_width": 16, "time_width": 32, "context_width": 16}
SPACE = Space({"level_1": LEVEL}, base=BASE)
PARTS = [part for part in design(SPACE) if part.kind in ("cross-attention", "conv in")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With files that give their first input back: what PyTorch exports is another file's test."""
    path = tmp_path_factory.mktemp("stages") / "of"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("space.interchange.onnx_files.write_onnx", write_identity)
        write_stages(SPACE, PARTS, path, "onnx")
    return path


def write_identity(module: nn.Module, takes: dict[str, Tensor], outputs: Sequence[str], path: Path) -> None:
    described = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(value.shape))
        for name, value in takes.items()
    ]
    result = onnx.helper.make_tensor_value_info(outputs[0], onnx.TensorProto.FLOAT, None)
    node = onnx.helper.make_node("Identity", [next(iter(takes))], list(outputs))
    graph = onnx.helper.make_graph([node], "identity", described, [result])
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), path)


def script(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("measure_stages", folder / SCRIPT_FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(out: Path, *more: str) -> list[str]:
    return [
        "--runtime",
        "onnx",
        "--threads",
        "1",
        "--device",
        "made",
        "--out",
        str(out),
        "--seconds",
        "0",
        *more,
    ]


def test_the_folder(folder: Path) -> None:
    plain = json.loads((folder / "stages.json").read_text())
    assert len(plain["entries"]) == len(PARTS) == 2
    assert all((folder / chain["file"]).is_file() for chain in plain["chains"].values())
    assert len(plain["chains"]) == 4
    assert stages_bytes(PARTS, "coreml") * 2 == stages_bytes(PARTS, "onnx") > 4 * 3 * 3 * 8 * 16


def test_its_list_is_one_of_ours(folder: Path, tmp_path: Path) -> None:
    """A clock that ticks once a run: chains take the same, so that their parts take nothing."""
    ticks = count()
    out = tmp_path / "list.json"
    assert script(folder).main(words(out), clock=lambda: next(ticks)) == 0
    found = PriceList.load(out)
    assert [entry.part for entry in found.entries] == PARTS
    assert (found.device, found.runtime, found.threads, found.precision) == ("made", "onnx", 1, "fp32")
    assert {entry.mean_ms for entry in found.entries} == {0.0}
    assert {entry.count for entry in found.entries} == {5}
    assert "onnxruntime" in found.versions and "torch" in found.versions
    assert not (tmp_path / "list.json.begun").exists()


def test_it_goes_on_where_it_was(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, module = tmp_path / "list.json", script(folder)
    ticks = count()

    def dying() -> float:
        if next(ticks) > 40:
            raise KeyboardInterrupt
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        module.main(words(out), clock=dying)
    begun = (tmp_path / "list.json.begun").read_text()
    assert len(begun.splitlines()) == 2  # what it is, and the first entry
    assert module.main(words(out, "--threads", "2")) == 2
    assert "another measurement" in capsys.readouterr().err
    assert module.main(words(out)) == 0
    assert len(PriceList.load(out).entries) == 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["--runtime", "coreml"], "coreml does not run stages exported to onnx"),
        (["--stages", "nowhere"], "no folder of exported stages"),
    ],
)
def test_refusals(
    folder: Path, tmp_path: Path, change: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script(folder).main(words(tmp_path / "list.json", *change)) == 2
    assert named in capsys.readouterr().err


def test_it_knows_nothing_of_this_package(folder: Path) -> None:
    text = (folder / SCRIPT_FILE).read_text()
    imported = {
        line.split()[1].partition(".")[0]
        for line in text.splitlines()
        if line.strip().startswith(("import ", "from "))
    }
    ours = {"space", "evaluators", "search", "training", "mdsearch", "conf", "analysis", "torch"}
    assert not imported & ours
    ran = subprocess.run(
        [sys.executable, str(folder / SCRIPT_FILE), "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert ran.returncode == 0 and "--runtime" in ran.stdout


def test_coreml_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    refused: Any = pytest.raises(InputError, match="to: coreml needs the package coremltools")
    with refused:
        write_stages(SPACE, PARTS, tmp_path / "of", "coreml")
    assert not (tmp_path / "of").exists()
