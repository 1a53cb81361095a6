"""A network as an ONNX file: by the names that pipelines give, in any batch, and in fewer bits."""

from __future__ import annotations

import inspect
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import OnnxRuntimeModel, OnnxStableDiffusionPipeline

from analysis.export.checks import LEAST_PSNR_DB, figures
from analysis.export.components import Component, random_unet, unet_component
from analysis.export.formats import write_component
from analysis.export.onnx_component import IN_FEWER_BITS, run_onnx
from analysis.export.torch_component import fixed
from conf.compose import compose
from space.architecture import Architecture
from space.choices import Space, UniformSuggestions
from space.interchange.onnx_files import OPSET, fp16, weight_only_int8
from space.proxy import Proxy, narrow
from space.shared.plain import from_plain
from tests.analysis.export.networks import MD_LIKE, SDXL_LIKE
from tests.space.examples import example

PROXY = Proxy(16, latent_size=8, context_length=8, context_width=32, heads=2, norm_groups=4)


@pytest.fixture(scope="module")
def component() -> Component:
    return unet_component(random_unet(MD_LIKE))


@pytest.fixture(scope="module")
def folder(component: Component, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    write_component(component, "onnx", folder, about={"id": MD_LIKE.id})
    return folder


def expected(component: Component) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in component()]


def given(component: Component) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in component.inputs.items()}


def test_the_manifest_says_what_it_is_and_what_the_check_found(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.onnx"]
    assert (manifest["id"], manifest["component"], manifest["file"]) == (MD_LIKE.id, "unet", "model.onnx")
    assert (manifest["opset"], manifest["precision"], manifest["verified"]) == (OPSET, "fp32", True)
    assert manifest["inputs"] == {
        "sample": {"shape": ["batch", 4, 8, 8], "type": "float32"},
        "timestep": {"shape": ["steps"], "type": "float32"},
        "encoder_hidden_states": {"shape": ["batch", 10, 16], "type": "float32"},
    }
    assert manifest["outputs"] == ["out_sample"]
    assert manifest["check"]["relative_error"] < 1e-5
    assert manifest["check"]["deviation"] > 0.1
    assert {"torch", "onnx", "onnxruntime"} <= manifest["versions"].keys()


@pytest.mark.filterwarnings("ignore:.*OnnxRuntimeModel:FutureWarning")
def test_diffusers_own_pipeline_gives_these_names(folder: Path, component: Component) -> None:
    """One image twice, for guidance, and one timestep: as `OnnxStableDiffusionPipeline` calls its UNet."""
    call = re.search(r"self\.unet\((.*?)\)", inspect.getsource(OnnxStableDiffusionPipeline.__call__), re.S)
    assert call is not None
    assert re.findall(r"(\w+)=", call[1]) == list(component.inputs)
    unet = OnnxRuntimeModel.from_pretrained(folder, provider="CPUExecutionProvider", provider_options=None)
    inputs = given(component)
    (made,) = unet(**inputs | {"timestep": np.array([481.0], np.float32)})
    with torch.no_grad():
        wanted = component.module(
            component.inputs["sample"], torch.tensor([481.0]), component.inputs["encoder_hidden_states"]
        ).numpy()
    assert wanted.std() > 0.1
    assert np.abs(made - wanted).max() < 1e-4


@pytest.mark.parametrize("lengths", [{"batch": 1, "steps": 1}, {"batch": 5, "steps": 5}])
def test_batches_of_any_size(lengths: dict[str, int], folder: Path, component: Component) -> None:
    other = component.with_axes(lengths)
    (made,) = run_onnx(folder / "model.onnx", given(other))
    assert made.shape == (lengths["batch"], 4, 8, 8)
    found = figures([made], expected(other))
    assert found.relative_error < 1e-5 and found.deviation > 0.1


@pytest.mark.parametrize(("reduced", "least_db"), [(fp16, 50), (weight_only_int8, 35)])
def test_fewer_bits_stay_near(
    reduced: Any, least_db: float, folder: Path, component: Component, tmp_path: Path
) -> None:
    reduced(folder / "model.onnx", tmp_path / "small.onnx")
    found = figures(run_onnx(tmp_path / "small.onnx", given(component)), expected(component))
    assert least_db < found.psnr_db < 90 and found.deviation > 0.1


def test_the_file_holds_no_paths_of_this_machine(folder: Path) -> None:
    assert b".py" not in (folder / "model.onnx").read_bytes()


def test_every_condition_of_a_network_is_an_input(tmp_path: Path) -> None:
    manifest = write_component(unet_component(random_unet(SDXL_LIKE)), "onnx", tmp_path, about={})
    assert {name: item["shape"] for name, item in manifest["inputs"].items()} == {
        "sample": ["batch", 7, 4, 4],
        "timestep": ["steps"],
        "encoder_hidden_states": ["batch", 5, 6],
        "timestep_cond": ["batch", 5],
        "text_embeds": ["batch", 7],
        "time_ids": ["batch", 2],
    }
    assert manifest["check"]["relative_error"] < 1e-5 and manifest["check"]["deviation"] > 0.1


def preset(name: str) -> Architecture:
    return Architecture.from_plain(compose("count", [f"arch={name}"])["arch"], "arch")


@pytest.mark.parametrize("name", ["md", "md_lite"])
def test_the_papers_networks_narrow(name: str, tmp_path: Path) -> None:
    """In every precision, of one export: that takes most of the time."""
    component = unet_component(random_unet(narrow(preset(name), PROXY)))
    manifest = write_component(component, "onnx", tmp_path, about={})
    assert manifest["check"]["relative_error"] < 1e-4 and manifest["check"]["deviation"] > 0.1
    for reduced in IN_FEWER_BITS.values():
        reduced(tmp_path / "model.onnx", tmp_path / "small.onnx")
        found = figures(run_onnx(tmp_path / "small.onnx", given(component)), expected(component))
        assert LEAST_PSNR_DB < found.psnr_db < 90 and found.deviation > 0.1


@pytest.mark.slow  # what the test before this one does by one export, as it is called
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("name", ["md", "md_lite"])
def test_the_papers_networks_in_every_precision(name: str, precision: Any, tmp_path: Path) -> None:
    component = unet_component(random_unet(narrow(preset(name), PROXY)))
    manifest = write_component(component, "onnx", tmp_path, precision=precision, about={})
    assert manifest["check"]["deviation"] > 0.1


@pytest.mark.slow  # some 3 CPU seconds each
@pytest.mark.parametrize("number", range(6))
def test_random_networks(number: int, tmp_path: Path) -> None:
    component = unet_component(random_unet(example(number)))
    manifest = write_component(component, "onnx", tmp_path, about={})
    assert manifest["check"]["relative_error"] < 1e-4
    assert manifest["check"]["deviation"] > 0.1


@pytest.fixture(scope="module")
def space() -> Space:
    found: Space = from_plain(Space, compose("search", ["space=md"])["space"])
    return found


@pytest.mark.parametrize("number", range(20))
@pytest.mark.parametrize("any_batch", [False, pytest.param(True, marks=pytest.mark.slow)])  # a third longer
def test_random_networks_of_the_space_narrow(
    number: int, any_batch: bool, space: Space, tmp_path: Path
) -> None:
    network = narrow(space.sample(UniformSuggestions(random.Random(number))), PROXY)
    component = unet_component(random_unet(network))
    manifest = write_component(component if any_batch else fixed(component), "onnx", tmp_path, about={})
    assert manifest["check"]["relative_error"] < 1e-4
    assert manifest["check"]["deviation"] > 0.1


@pytest.mark.slow  # writes 1.6 GB
@pytest.mark.parametrize(("precision", "share"), [("fp32", 1.01), ("int8", 0.27)])
def test_md_at_full_width(precision: Any, share: float, tmp_path: Path) -> None:
    component = unet_component(random_unet(preset("md")))
    manifest = write_component(component, "onnx", tmp_path, precision=precision, about={})
    size = sum(path.stat().st_size for path in tmp_path.glob("model.onnx*"))
    assert size < share * 4 * sum(parameter.numel() for parameter in component.module.parameters())
    assert manifest["check"]["psnr_db"] > 35 and manifest["check"]["deviation"] > 0.1
