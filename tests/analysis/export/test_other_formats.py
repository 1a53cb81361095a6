"""PyTorch's own format, ExecuTorch and Core ML; the last two where they are installed."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from analysis.export import on_a_mac
from analysis.export.components import Component, random_unet
from analysis.export.formats import FORMATS, bytes_needed, chosen_format, network_digest, write_component
from analysis.export.pipeline_components import coordinates_inside
from space.shared.plain import InputError
from tests.analysis.export.networks import MD_LIKE

Prepared = Callable[[Component], Component]


def as_it_is(component: Component) -> Component:
    return component


def needs(package: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed")


def test_what_executorch_gets_has_a_time_for_each_image() -> None:
    component = FORMATS["executorch"].component(random_unet(MD_LIKE))
    assert not component.dynamic
    assert [tensor.shape[0] for tensor in component.inputs.values()] == [2, 2, 2]


@needs("executorch")
@pytest.mark.slow  # XNNPACK's partitioner takes some 20 CPU seconds
@pytest.mark.parametrize(("prepared", "channels"), [(as_it_is, 4), (coordinates_inside, 2)])
def test_executorch(prepared: Prepared, channels: int, tmp_path: Path) -> None:
    component = prepared(FORMATS["executorch"].component(random_unet(MD_LIKE)))
    manifest = write_component(component, "executorch", tmp_path, about={})
    assert (manifest["file"], manifest["verified"]) == ("model.pte", True)
    assert manifest["inputs"]["sample"]["shape"] == [2, channels, 8, 8]
    assert manifest["inputs"]["timestep"]["shape"] == [2]
    assert manifest["check"]["relative_error"] < 1e-4 and manifest["check"]["deviation"] > 0.1


@needs("coremltools")
@pytest.mark.parametrize("prepared", [as_it_is, coordinates_inside])
def test_core_ml_is_written_unverified_with_all_that_verifies_it(prepared: Prepared, tmp_path: Path) -> None:
    component = prepared(FORMATS["coreml"].component(random_unet(MD_LIKE)))
    manifest = write_component(component, "coreml", tmp_path, about={})
    assert (manifest["precision"], manifest["verified"], manifest["check"]) == ("fp16", False, None)
    assert manifest["inputs"]["encoder_hidden_states"]["shape"] == [2, 16, 1, 10]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "example_encoder_hidden_states.npy", "example_noise_pred.npy", "example_sample.npy",
        "example_timestep.npy", "manifest.json", "model.mlpackage", "verify_on_mac.py",
    ]  # fmt: skip
    assert np.load(tmp_path / "example_noise_pred.npy").std() > 0.1
    import coremltools

    description = coremltools.utils.load_spec(str(tmp_path / "model.mlpackage")).description
    assert [item.name for item in description.input] == list(component.inputs)
    assert [item.name for item in description.output] == ["noise_pred"]


@pytest.mark.parametrize(("wrong", "status"), [(0.001, 0), (0.5, 1)])
def test_the_script_for_a_mac_tells_right_from_wrong(
    wrong: float, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(on_a_mac, "__file__", str(tmp_path / "verify.py"))
    (tmp_path / "model.mlpackage").mkdir()
    expected = np.linspace(-1, 1, 10, dtype=np.float32)
    np.save(tmp_path / "example_sample.npy", expected * 2)
    np.save(tmp_path / "example_noise_pred.npy", expected)
    fields = SimpleNamespace(
        input=[SimpleNamespace(name="sample")], output=[SimpleNamespace(name="noise_pred")]
    )

    class Model:
        def __init__(self, package: str, compute_units: str) -> None:
            assert package == str(tmp_path / "model.mlpackage")

        def get_spec(self) -> Any:
            return SimpleNamespace(description=fields)

        def predict(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"noise_pred": inputs["sample"] / 2 + np.float32(wrong)}

    units = SimpleNamespace(CPU_ONLY="cpu", CPU_AND_GPU="gpu", CPU_AND_NE="ne")
    fake = SimpleNamespace(models=SimpleNamespace(MLModel=Model), ComputeUnit=units)
    monkeypatch.setitem(sys.modules, "coremltools", fake)
    assert on_a_mac.main() == status
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE"]
    assert all(("WRONG" in line) == bool(status) for line in lines)


def test_precisions_and_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [chosen_format(name, None)[1] for name in ("onnx", "torch")] == ["fp32", "fp32"]
    with pytest.raises(InputError, match=r"precision: int8 is not possible with to=torch.*fp32"):
        chosen_format("torch", "int8")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"to: coreml needs coremltools.*'mdsearch\[coreml\]'"):
        chosen_format("coreml", None)
    assert bytes_needed(FORMATS["onnx"], "int8", 10**9) > 5 * 10**9


def test_a_digest_is_of_the_weights_alone(tmp_path: Path) -> None:
    unet = random_unet(MD_LIKE)
    before = network_digest(unet)
    assert before == network_digest(random_unet(MD_LIKE).to(memory_format=torch.channels_last))
    unet.conv_out.bias.data[0] += 1e-3  # type: ignore[union-attr,operator,index]
    assert before != network_digest(unet)
    assert json.dumps(before).startswith('"sha256:')
