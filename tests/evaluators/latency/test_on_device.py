"""Stages exported to a folder, and the script that measures them elsewhere, run as itself by made times."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import onnx
import onnxruntime
import pytest
from torch import Tensor, nn

from evaluators.latency.designs import design
from evaluators.latency.lists import sampled_networks
from evaluators.latency.runtimes import Place
from evaluators.latency.stages_folder import SCRIPT_FILE, UNVERIFIED, stages_bytes, write_stages
from space.choices import LevelRanges, Space
from space.prices.latency import PriceList
from space.prices.macs import price
from space.prices.parts import parts
from space.shared.plain import InputError
from tests.evaluators.latency.test_lists import made_runtime
from tests.space.price_lists import by_widths

LEVEL = LevelRanges((16, 32), blocks=(1, 2), layers_down=(0, 1), layers_up=(0, 1), cross_attention=(True,))
BASE = {"latent_size": 4, "norm_groups": 8, "head_width": 16, "time_width": 32, "context_width": 16}
SPACE = Space({"level_1": LEVEL}, base=BASE)
PARTS = design(SPACE)
NETWORKS = sampled_networks(SPACE, 4, 0, "calibration", lambda a: True)
TIMES: dict[str, float] = {}  # ms by the name of a file, as made in test_lists.py


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With files that give their first input back: what PyTorch exports is another file's test."""
    path = tmp_path_factory.mktemp("stages") / "of"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("space.interchange.onnx_files.write_onnx", write_identity)
        write_stages(SPACE, PARTS, NETWORKS, path, "onnx")
    return path


def write_identity(module: nn.Module, takes: dict[str, Tensor], outputs: Sequence[str], path: Path) -> None:
    TIMES[path.name] = made_runtime(module, [], Place(), path)(0) or 0.0
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
    assert len(plain["entries"]) == len(PARTS) and len(plain["whole"]) == 4
    files = [one["file"] for one in (*plain["chains"].values(), *plain["whole"])]
    assert all((folder / file).is_file() for file in files) and len(set(files)) == len(files)
    assert list(plain["whole"][0]["inputs"]) == ["sample", "timestep", "encoder_hidden_states"]
    assert "note" not in plain
    chains, all_of_it = stages_bytes(PARTS, [], "onnx"), stages_bytes(PARTS, NETWORKS, "onnx")
    assert stages_bytes(PARTS, NETWORKS, "coreml") * 2 == all_of_it
    assert all_of_it - chains == 4 * sum(price(a).parameters for a in NETWORKS)


def test_its_list_predicts_as_one_of_ours(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Planted: a call takes 3 ms more than its parts, and a network a tenth more than the sum."""
    module, out, now = script(folder), tmp_path / "list.json", [0.0]

    def call_of(file: Path, inputs: Any) -> Callable[[int], None]:
        def call(number: int) -> None:
            now[0] += TIMES[file.name] / 1e3

        return call

    monkeypatch.setattr(module, "runtime_of", lambda options: (call_of, {"onnxruntime": "1"}))
    assert module.main(words(out), clock=lambda: now[0]) == 0
    assert "\nquiet enough: rounds lie 0.0% around their mean" in capsys.readouterr().out
    found = PriceList.load(out)
    assert [entry.part for entry in found.entries] == PARTS
    assert (found.device, found.runtime, found.threads, found.precision) == ("made", "onnx", 1, "fp32")
    assert {entry.count for entry in found.entries} == {5}
    assert found.versions["onnxruntime"] == "1" and "torch" in found.versions
    assert (found.calibrated_on, found.factor) == (4, pytest.approx(1.1))
    assert found.overhead_ms == pytest.approx(3)
    for a in sampled_networks(SPACE, 6, 0, "check", lambda a: True):
        assert found.milliseconds(a) == pytest.approx(3 + 1.1 * sum(map(by_widths, parts(a))))
    assert PriceList.load(found.write(tmp_path / "again.json")) == found
    assert not (tmp_path / "list.json.begun").exists()


def test_a_stage_that_does_not_run_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = script(folder)

    def call_of(file: Path, inputs: Any) -> Any:
        raise RuntimeError("no such operator\nand a trace")

    monkeypatch.setattr(module, "runtime_of", lambda options: (call_of, {}))
    assert module.main(words(tmp_path / "list.json")) == 2
    said = capsys.readouterr().err
    assert '"kind": "time embedding"' in said and "does not run here: no such operator\n" in said
    assert said.count("\n") == 1


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
    other = shutil.copytree(folder, tmp_path / "other")  # of other stages, which have the same numbers
    (other / "stages.json").write_text((folder / "stages.json").read_text() + "\n")
    assert module.main(words(out, "--stages", str(other))) == 2
    assert "another measurement" in capsys.readouterr().err
    with Path(f"{out}.begun").open("a") as half:
        half.write('{"of": 1, "ent')
    assert module.main(words(out)) == 0
    assert len(PriceList.load(out).entries) == len(PARTS)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["--runtime", "coreml"], "coreml does not run stages exported to onnx"),
        (["--stages", "nowhere"], "no folder of exported stages"),
        (["--threads", "-1"], "--threads: -1 is not possible; allowed: 0 or more"),
        (["--seconds", "nan"], "--seconds: nan is no time"),
        (["--device", ""], "--device: empty"),
        (["--out", "nowhere/list.json"], "--out: nowhere is no folder"),
    ],
)
def test_refusals(
    folder: Path, tmp_path: Path, change: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script(folder).main(words(tmp_path / "list.json", *change)) == 2
    assert named in capsys.readouterr().err


class MadeSession:
    """In the place of ONNX Runtime's: on the CPU whatever was asked for, of files that take `x` alone."""

    def __init__(self, *files: Any, **options: Any) -> None: ...

    def disable_fallback(self) -> None: ...

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="x")]

    def run(self, outputs: None, inputs: dict[str, Any]) -> None:
        assert set(inputs) <= {"x"}


@pytest.fixture
def _made_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(
        __version__="1",
        SessionOptions=onnxruntime.SessionOptions,
        InferenceSession=MadeSession,
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", made)


@pytest.mark.usefixtures("_made_sessions")
def test_what_would_run_on_the_cpu_in_place_of_a_gpu_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ONNX Runtime does so with no more than a line in its log, where CUDA's libraries are missing."""
    out = tmp_path / "list.json"
    assert script(folder).main(words(out, "--runtime", "onnx_cuda")) == 2
    said = "CUDAExecutionProvider does not start, and CPUExecutionProvider would run in its place"
    assert said in capsys.readouterr().err and not out.exists()
    assert script(folder).main(words(out, "--runtime", "onnx_nnapi")) == 2
    assert "NnapiExecutionProvider is not in this onnxruntime" in capsys.readouterr().err


@pytest.mark.usefixtures("_made_sessions")
def test_an_input_that_a_file_lacks_is_not_given(folder: Path, tmp_path: Path) -> None:
    assert script(folder).main(words(tmp_path / "list.json")) == 0


def test_a_restless_device_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module, now = script(folder), [0.0]

    def call_of(file: Path, inputs: Any) -> Callable[[int], None]:
        def call(number: int) -> None:
            now[0] += TIMES[file.name] * (1 + number % 3) / 1e3

        return call

    monkeypatch.setattr(module, "runtime_of", lambda options: (call_of, {}))
    assert module.main(words(tmp_path / "list.json"), clock=lambda: now[0]) == 0
    assert "NOT quiet: rounds lie " in capsys.readouterr().out


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
        write_stages(SPACE, PARTS, [], tmp_path / "of", "coreml")
    assert not (tmp_path / "of").exists()


def test_a_folder_for_core_ml_says_that_it_is_unverified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(module: Any, takes: Any, path: Path) -> Path:
        return path.with_suffix(".mlpackage")

    monkeypatch.setattr("evaluators.latency.stages_folder.writer_of", lambda to: (written, {}))
    write_stages(SPACE, PARTS[:1], [], tmp_path / "of", "coreml")
    plain = json.loads((tmp_path / "of" / "stages.json").read_text())
    assert (plain["note"], plain["precision"]) == (UNVERIFIED, "fp16")
