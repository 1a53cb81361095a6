"""A file that computes something else is refused with the first stage that differs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.export.checks import Figures, checked_file, figures, refuse_silent
from analysis.export.components import Component, apple_component, random_unet, unet_component
from analysis.export.onnx_component import write_onnx_component
from analysis.export.torch_component import write_program
from space.shared.plain import InputError
from space.slices import stage_modules
from tests.analysis.export.networks import MD_LIKE, SDXL_LIKE, InTorch
from tests.space.examples import example


def test_figures_are_those_of_the_formulas() -> None:
    expected = np.array([[3.0, -4.0]], np.float32)
    found = figures([expected + np.float32(0.5)], [expected])
    assert found.deviation == 3.5
    assert found.relative_error == pytest.approx(0.5 / math.sqrt(12.5))
    assert found.psnr_db == pytest.approx(10 * math.log10(16 / 0.25))
    assert figures([expected, expected], [expected, expected]) == Figures(3.5, 0.0, math.inf)
    assert figures([expected * np.nan], [expected]).relative_error == math.inf
    assert figures([expected[:, :1]], [expected]).psnr_db == -math.inf
    for pair in ([expected, expected * np.nan], [expected * np.nan, expected]):  # of PyTorch itself
        assert figures([expected, expected], pair) == Figures(0.0, math.inf, -math.inf)
    assert [Figures(1, error, 0).good("fp32") for error in (1e-3, 1.01e-3, math.nan)] == [True, False, False]
    assert [Figures(1, 1, db).good("int8") for db in (35, 34.9)] == [True, False]


def test_what_is_right_passes_for_one_time_and_for_one_an_image(tmp_path: Path) -> None:
    format_, component = InTorch(), unet_component(random_unet(MD_LIKE))
    format_.write(component, tmp_path / "a", "fp32")
    found = checked_file(component, tmp_path / "a", "fp32", format_.write, format_.run)
    assert found.relative_error < 1e-6
    assert found.deviation > 0.5
    with torch.no_grad():
        unet = component.module.unet
        sample, text = torch.randn(3, 4, 8, 8), torch.randn(3, 10, 16)
        single, each = component.module(sample, torch.tensor([7.0]), text), torch.tensor([7.0, 7, 7])
        assert (single - unet(sample, each, text)).abs().max() < 1e-5
        times = torch.tensor([1.0, 500, 999])
        assert (component.module(sample, times, text) - unet(sample, times, text)).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("weight", "stage"),
    [
        ("time.0.bias", "embeddings, time embedding (time)"),
        ("down.1.stages.0.stack.layers.0.feed_forward.reduce.bias",
         "down-2, transformer (down.1.stages.0.stack.layers.0)"),
        ("up.0.stages.1.conv.reduce.bias", "up-2, separable (up.0.stages.1.conv)"),
        ("conv_out.bias", "out, conv out (conv_out)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_first_stage_that_differs_is_named(
    weight: str, stage: str, precision: Any, tmp_path: Path
) -> None:
    unet = random_unet(MD_LIKE)
    component = unet_component(unet)
    format_ = InTorch(unet.get_parameter(weight), wrong=1.5)
    format_.write(component, tmp_path / "a", "fp32")
    with pytest.raises(InputError) as told:
        checked_file(component, tmp_path / "a", precision, format_.write, format_.run)
    assert str(told.value).endswith(f"first at {stage}")
    assert ("PSNR" if precision == "int8" else "relative error") in str(told.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_network_that_predicts_zero_is_no_check() -> None:
    unet = random_unet(MD_LIKE)
    refuse_silent(unet_component(unet))
    nn.init.zeros_(unet.conv_out.weight)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"unet: its output deviates by .*needed: above 1e-06"):
        refuse_silent(unet_component(unet))


def test_stages_are_the_modules_that_run_in_their_order() -> None:
    for number in range(6):
        unet, ran = random_unet(example(number)), list[str]()
        named = [(name, unet.get_submodule(name)) for _, name in stage_modules(unet.architecture)]
        for name, module in named:
            module.register_forward_hook(lambda *_, name=name, ran=ran: ran.append(name))
        unet_component(unet)()
        embeddings = {name for name, _ in named[:3]} & {"time", "added", "guidance"}
        assert sorted(ran) == sorted(name for name, _ in named)
        assert [name for name in ran if name not in embeddings] == [
            name for name, _ in named if name not in embeddings
        ]


def test_random_weights_are_the_same_each_time_and_none_is_zero() -> None:
    one, other = random_unet(MD_LIKE), random_unet(MD_LIKE)
    for (name, weight), again in zip(one.named_parameters(), other.parameters(), strict=True):
        assert weight.equal(again), name
        assert weight.count_nonzero() == weight.numel(), name
    assert 0.3 < unet_component(one)()[0].std() < 3


def test_apples_contract() -> None:
    component = apple_component(random_unet(MD_LIKE))
    shapes = {name: tuple(tensor.shape) for name, tensor in component.inputs.items()}
    assert shapes == {"sample": (2, 4, 8, 8), "timestep": (2,), "encoder_hidden_states": (2, 16, 1, 10)}
    assert component.outputs == ("noise_pred",)
    text = component.inputs["encoder_hidden_states"][:, :, 0].transpose(1, 2)
    with torch.no_grad():
        expected = component.module.unet(component.inputs["sample"], component.inputs["timestep"], text)
    assert component()[0].equal(expected)
    with pytest.raises(InputError, match="guidance_width: 5"):
        apple_component(random_unet(SDXL_LIKE))


# ---------------------------------------------------------------------- what cannot be written


class Unknown(nn.Module):
    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        return x * torch.linalg.eigvalsh(x @ x.transpose(-1, -2)).sum()


class Branching(nn.Module):
    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def in_two_stages(second: nn.Module) -> Component:
    module = nn.Sequential(nn.Linear(3, 3), second)
    stages = [("one", module[0]), ("two", module[1])]
    return Component("unet", module, {"x": torch.eye(3)}, ("y",), stages=stages)


def test_an_operator_that_onnx_lacks_is_named_with_its_block(tmp_path: Path) -> None:
    with pytest.raises(InputError) as told:
        write_onnx_component(in_two_stages(Unknown()), tmp_path / "a.onnx", "fp32")
    assert str(told.value) == "unet: two cannot be exported: aten._linalg_eigh is not supported"
    assert list(tmp_path.iterdir()) == []


def test_what_torch_does_not_trace_stands_in_the_block_that_was_entered_last(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unet: two cannot be exported: "):
        write_program(in_two_stages(Branching()), tmp_path / "a.pt2", "fp32")
