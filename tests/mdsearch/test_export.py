"""`mdsearch export`: the trained network is written, whole or not at all; what cannot be is one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from mdsearch.__main__ import main, run_and_exit
from mdsearch.commands import convert, export
from space.interchange.pipeline_unet import PipelineUNet
from space.shared.plain import InputError
from tests.mdsearch import test_convert
from tests.mdsearch.test_convert import settings, trained

MD_LIKE, SD_LIKE = (replace(a, latent_channels=12) for a in (test_convert.MD_LIKE, test_convert.SD_LIKE))

TINY = replace(MD_LIKE, levels=MD_LIKE.levels[:1])
WRITTEN = {"format": "onnx", "precision": "fp32", "check": None, "to_verify": None}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(TINY.to_yaml())
    return file


def exported(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert export.main([*words, "format=json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_a_trained_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = trained(MD_LIKE, settings(), tmp_path / "trial")
    out = tmp_path / "new" / "out"
    told = exported(capsys, f"model={tmp_path / 'trial'}", "to=torch", f"out={out}")
    assert told["written"] == [str(out / name) for name in ("manifest.json", "model.pt2")]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["id"] == MD_LIKE.id
    assert manifest["architecture"]["levels"] == MD_LIKE.to_plain()["levels"]
    assert manifest["weights"].startswith("sha256:")
    assert (manifest["opset"], manifest["verified"]) == (None, True)
    assert manifest["check"]["relative_error"] < 1e-5
    network = torch.export.load(out / "model.pt2").module()
    sample, text = torch.randn(3, 12, 8, 8), torch.randn(3, 10, 16)
    with torch.no_grad():
        wanted = model.unet(sample, torch.tensor([5.0, 5, 5]), text)
        made = network(sample, torch.tensor([5.0]), text)
    assert wanted.std() > 0.1
    assert (made - wanted).abs().max() < 1e-5


@pytest.mark.parametrize(("architecture", "kind"), [(MD_LIKE, PipelineUNet), (SD_LIKE, UNet2DConditionModel)])
def test_diffusers_is_what_convert_writes(
    architecture: Any, kind: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = trained(architecture, settings(), tmp_path / "trial")
    (tmp_path / "trial" / "README.md").write_text("Images: by somebody")
    told = exported(capsys, f"model={tmp_path / 'trial'}", "to=diffusers", f"out={tmp_path / 'out'}")
    assert (tmp_path / "out" / "README.md").read_text() == "Images: by somebody"
    assert (told["left_out"], told["precision"]) == ([], "fp32")
    unet = kind.from_pretrained(tmp_path / "out" / "unet")
    sample, text = torch.randn(2, 12, 8, 8), torch.randn(2, 10, 16)
    with torch.no_grad():
        made = unet(sample, torch.tensor(7), text).sample
        wanted = model.unet(sample, torch.tensor([7, 7]), text)
    assert wanted.std() > 0.1 and (made - wanted).abs().max() < 1e-5


def test_an_architecture_alone_has_random_weights_and_that_is_said(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also beside a folder called random, and what the reader of this one is told."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("of another project")
    trained(MD_LIKE, settings(), tmp_path / "random")
    assert export.main([f"arch_file={small}", "to=torch", f"out={tmp_path / 'out'}"]) == 0
    first, second, *files = capsys.readouterr().out.splitlines()
    assert first == f"{TINY.id}: weights random, torch in fp32"
    assert second.startswith("checked against PyTorch: relative error ")
    assert files == [str(tmp_path / "out" / name) for name in ("manifest.json", "model.pt2")]
    monkeypatch.setattr(export, "write_component", lambda *_, about, **named: {**about, **WRITTEN})
    assert export.main([f"arch_file={small}", "to=onnx", f"out={tmp_path / 'other'}"]) == 0
    assert capsys.readouterr().out == f"{TINY.id}: weights random, onnx in fp32\n"


def test_a_network_that_was_not_trained_at_all_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    model = trained(MD_LIKE, settings(), tmp_path / "trial")
    torch.nn.init.zeros_(model.unet.conv_out.weight)  # type: ignore[arg-type]
    model.save(tmp_path / "trial")
    with pytest.raises(InputError, match="its output deviates by"):
        export.main([f"model={tmp_path / 'trial'}", "to=torch", f"out={tmp_path / 'out'}"])
    assert [path.name for path in tmp_path.iterdir()] == ["trial"]


def test_what_fails_half_way_leaves_nothing(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(*given: Any, **named: Any) -> Any:
        (next(one for one in given if isinstance(one, Path)) / "half").write_text("")
        raise InputError("that is all")

    for to, name in (("diffusers", "write_source"), ("torch", "write_component")):
        monkeypatch.setattr(export, name, half)
        with pytest.raises(InputError, match="that is all"):
            export.main([f"arch_file={small}", f"to={to}", f"out={tmp_path / 'out'}"])
        assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_a_pipeline_in_half_precision_is_told_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(MD_LIKE, settings(), tmp_path / "trial")
    half = [f"model={tmp_path / 'trial'}", "to=pipeline_unet", "precision=fp16", f"out={tmp_path / 'half'}"]
    assert convert.main(half) == 0
    capsys.readouterr()
    told = exported(capsys, f"model={tmp_path / 'half'}", "to=diffusers", f"out={tmp_path / 'out'}")
    assert told["precision"] == "fp16"


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        run_and_exit(main, ["export", *words])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_cannot_be_is_one_line(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, out = f"arch_file={small}", f"out={tmp_path / 'out'}"
    for words, told in (
        ([network, "to=onxn", out], "to: 'onxn' is not a choice here; did you mean 'onnx'"),
        ([network, "to=onnx", f"out={tmp_path}"], "is there already; allowed: a new folder"),
        ([network, "to=onnx", out, "precision=int4"], "precision: 'int4' is not a choice here"),
        ([network, "to=torch", out, "precision=int8"], "precision: int8 is not possible with to=torch"),
        ([network, "to=diffusers", out, "precision=fp16"], "precision: as the weights are"),
        (["to=onnx", out], "run: missing; which network"),
        ([network, "arch=md", "to=onnx", out], "arch: has no effect beside arch_file="),
        ([f"run={tmp_path}", "to=onnx", out], "holds no run"),
        (["arch=dit_xl_2", "to=onnx", out], "a DiT is no UNet"),
        ([f"model={tmp_path}", "to=onnx", out], "holds no model"),
        ([network, "to=torch", f"out={small}/new"], "new' cannot be written: "),
        ([network, "to=diffusers", f"out={small}/new"], "new' cannot be written: "),
    ):
        assert told in refused(words, capsys), words
    monkeypatch.setattr("space.shared.disk.disk_free_bytes", lambda folder: 1_000_000)
    for to in ("onnx", "torch", "diffusers"):
        assert "0.0 GB are free; needed: 0.1 GB" in refused([network, f"to={to}", out], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]
