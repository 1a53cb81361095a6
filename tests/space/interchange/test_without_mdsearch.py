"""What people read who load a network of ours where mdsearch is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from diffusers.utils import dynamic_modules_utils

from space.interchange.checkpoints import PIPELINE_UNET, write_class
from space.interchange.pipeline_unet import PipelineUNet
from tests.space.interchange.test_pipeline_unet import FOUND, randomised, stable_diffusion

CLASS_FILE = f"{PIPELINE_UNET[0]}.py"
ADVICE = "PipelineUNet needs the package mdsearch: pip install mdsearch (No module named 'space')"
LOADING = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("space", "mdsearch"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from diffusers import DiffusionPipeline
DiffusionPipeline.from_pretrained(sys.argv[1], trust_remote_code=True)
"""


class Absent:
    def __init__(self, hidden: str, named: str) -> None:
        self.hidden, self.named = hidden, named

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == self.hidden:
            raise ModuleNotFoundError(f"No module named {self.named!r}", name=self.named)


def hide(monkeypatch: pytest.MonkeyPatch, hidden: str, named: str) -> None:
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{hidden}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(hidden, named), *sys.meta_path])


def test_the_class_beside_a_network_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_class(tmp_path, *PIPELINE_UNET)
    code = (tmp_path / CLASS_FILE).read_text()
    warned: list[str] = []
    monkeypatch.setattr(dynamic_modules_utils.logger, "warning", warned.append)
    hide(monkeypatch, "space", "space")
    with pytest.raises(ImportError) as stopped:
        exec(code, {})
    assert str(stopped.value) == ADVICE
    assert dynamic_modules_utils.check_imports(tmp_path / CLASS_FILE) == []
    assert warned == []  # diffusers' own advice, by names of modules, would be `pip install space`


def test_what_mdsearch_itself_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_class(tmp_path, *PIPELINE_UNET)
    hide(monkeypatch, PipelineUNet.__module__, "safetensors")
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'safetensors'$"):
        exec((tmp_path / CLASS_FILE).read_text(), {})


@pytest.mark.slow
def test_a_pipeline_says_it_in_its_last_line(tmp_path: Path) -> None:
    """Slow: another process imports diffusers, for in this one mdsearch is there."""
    stable_diffusion(PipelineUNet.wrapping(randomised(FOUND)), FOUND).save_pretrained(tmp_path / "found")
    away = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        [sys.executable, "-c", LOADING, str(tmp_path / "found")],
        cwd=tmp_path,
        env=away | {"HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1 and ran.stderr.splitlines()[-1] == f"ImportError: {ADVICE}"
    assert "install space" not in ran.stderr + ran.stdout
