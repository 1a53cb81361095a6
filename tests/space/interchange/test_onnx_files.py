"""A module as an ONNX file runs in ONNX Runtime at other lengths, and in fewer bits nearly as well."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from space.blocks import sinusoids
from space.interchange import onnx_files
from space.interchange.onnx_files import OPSET, fp16, int8_by_channel, weight_only_int8, write_onnx


class Small(nn.Module):
    """Every kind of product that our networks have: convolution, linear layer of two and three axes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 32, 3, padding=1)
        self.time = nn.Linear(64, 32)
        self.key = nn.Linear(48, 32, bias=False)

    def forward(self, sample: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        h = self.conv(sample) + self.time(sinusoids(timestep, 64))[:, :, None, None]
        return torch.tanh(h.flatten(2).transpose(1, 2) @ self.key(text).transpose(1, 2))


def given(batch: int, tokens: int) -> dict[str, Tensor]:
    chance = torch.Generator().manual_seed(batch)
    return {
        "sample": torch.randn(batch, 8, 6, 6, generator=chance),
        "timestep": torch.linspace(1, 999, batch),
        "text": torch.randn(batch, tokens, 48, generator=chance),
    }


def run(path: Path, inputs: Mapping[str, Tensor]) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (output,) = session.run(["out"], {name: tensor.numpy() for name, tensor in inputs.items()})
    return np.asarray(output)


@pytest.fixture(scope="module")
def small() -> Small:
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(scope="module")
def whole(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.onnx"
    write_onnx(small, given(2, 5), ["out"], path, dynamic={"sample": [0], "timestep": [0], "text": [0, 1]})
    return path


def error(path: Path, small: Small, batch: int = 3, tokens: int = 7) -> float:
    """Of a file's output, relative to that of the module."""
    inputs = given(batch, tokens)
    with torch.no_grad():
        expected = small(**inputs).numpy()
    assert expected.std() > 0.1
    return float(np.linalg.norm(run(path, inputs) - expected) / np.linalg.norm(expected))


def test_it_runs_at_other_lengths_as_the_module_does(whole: Path, small: Small) -> None:
    assert error(whole, small) < 1e-5
    assert error(whole, small, batch=1, tokens=1) < 1e-5
    assert [path.name for path in whole.parent.iterdir()] == ["small.onnx"]


def test_names_axes_and_opset_are_those_asked_for(whole: Path) -> None:
    model = onnx.load(whole)
    shapes = {
        item.name: [axis.dim_param or axis.dim_value for axis in item.type.tensor_type.shape.dim]
        for item in model.graph.input
    }
    assert shapes == {"sample": ["batch", 8, 6, 6], "timestep": ["batch"], "text": ["batch", "text_1", 48]}
    assert [item.name for item in model.graph.output] == ["out"]
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]


def test_weights_are_transposed_in_the_file_and_not_at_each_start(whole: Path) -> None:
    graph = onnx.load(whole).graph
    weights = {item.name for item in graph.initializer}
    assert not [node.name for node in graph.node if node.op_type == "Transpose" and node.input[0] in weights]


def test_int8_weights_take_a_quarter_and_the_result_stays_near(
    whole: Path, small: Small, tmp_path: Path
) -> None:
    weight_only_int8(whole, tmp_path / "int8.onnx")
    held = {item.name: item for item in onnx.load(tmp_path / "int8.onnx").graph.initializer}
    assert sorted(list(item.dims) for item in held.values() if item.data_type == onnx.TensorProto.INT8) == [
        [32, 8, 3, 3],
        [32, 64],
        [48, 32],
    ]

    def size(path: Path) -> int:
        return sum(len(item.raw_data) for item in onnx.load(path).graph.initializer)

    assert size(tmp_path / "int8.onnx") < 0.4 * size(whole)
    assert 1e-5 < error(tmp_path / "int8.onnx", small) < 0.02


def test_a_scale_for_each_channel() -> None:
    values = np.array([[1.27, -0.5], [0, 0], [-254.0, 2.9]], np.float32)
    quantized, scales = int8_by_channel(values, 0)
    assert quantized.tolist() == [[127, -50], [0, 0], [-127, 1]]
    assert scales.tolist() == pytest.approx([0.01, 1, 2])
    assert int8_by_channel(values.T.copy(), 1)[0].T.tolist() == quantized.tolist()


def test_half_precision_keeps_inputs_and_the_time(whole: Path, small: Small, tmp_path: Path) -> None:
    fp16(whole, tmp_path / "fp16.onnx")
    model = onnx.load(tmp_path / "fp16.onnx")
    assert {item.type.tensor_type.elem_type for item in [*model.graph.input, *model.graph.output]} == {
        onnx.TensorProto.FLOAT
    }
    weights = {item.name: item for item in model.graph.initializer}
    assert weights["conv.weight"].data_type == onnx.TensorProto.FLOAT16
    onnx.checker.check_model(model)
    assert 1e-5 < error(tmp_path / "fp16.onnx", small) < 5e-3  # a time of 999 in half precision costs 0.02


def test_a_large_file_has_its_weights_beside_it(
    whole: Path, small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_files, "LARGEST_FILE", 5_000)
    weight_only_int8(whole, tmp_path / "large.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.onnx", "large.onnx.data"]
    assert error(tmp_path / "large.onnx", small) < 0.02


def test_what_the_exporter_writes_beside_the_file_moves_with_it(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does of large networks; what is made of that in fewer bits is one file again."""
    save = torch.onnx.ONNXProgram.save
    monkeypatch.setattr(torch.onnx.ONNXProgram, "save", lambda self, to: save(self, to, external_data=True))
    write_onnx(
        small,
        given(2, 5),
        ["out"],
        tmp_path / "large.onnx",
        dynamic={"sample": [0], "timestep": [0], "text": [0, 1]},
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.onnx", "large.onnx.data"]
    assert (tmp_path / "large.onnx").stat().st_size < (tmp_path / "large.onnx.data").stat().st_size
    assert error(tmp_path / "large.onnx", small) < 1e-5
    for reduced, most in ((weight_only_int8, 0.02), (fp16, 5e-3)):
        reduced(tmp_path / "large.onnx", tmp_path / "few.onnx")
        assert error(tmp_path / "few.onnx", small) < most
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.onnx", "large.onnx", "large.onnx.data"]


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    class Unknown(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.eigvalsh(x)

    with pytest.raises(torch.onnx.OnnxExporterError, match="eigh"):
        write_onnx(Unknown(), {"x": torch.eye(3)}, ["y"], tmp_path / "unknown.onnx")
    assert list(tmp_path.iterdir()) == []
