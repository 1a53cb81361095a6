"""The folder for OptunaHub: what its registry asks for, and that its example keeps what it promises."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

import mdsearch
from mdsearch.optunahub.samplers import hard_budget
from mdsearch.optunahub.samplers.hard_budget import example

FOLDER = Path(hard_budget.__file__).parent


def test_the_registry_finds_what_it_asks_for() -> None:
    readme = (FOLDER / "README.md").read_text()
    front = yaml.safe_load(re.match(r"---\n(.*?)\n---\n", readme, re.DOTALL)[1])
    assert set(front) == {"author", "title", "description", "tags", "optuna_versions", "license"}
    assert "sampler" in front["tags"] and front["license"] == "MIT License"
    assert (FOLDER / "LICENSE").read_text().startswith(front["license"])
    headings = re.findall(r"^## (.*)$", readme, re.MULTILINE)
    assert headings == ["Abstract", "APIs", "Installation", "Example", "Others"]
    assert "<" not in re.sub(r"```.*?```", "", readme, flags=re.DOTALL)  # it takes no HTML


def test_the_package_is_the_public_api_and_imports_nothing_else_of_ours() -> None:
    """The registry hands out this folder alone; the rest comes with the installed package."""
    assert all(getattr(hard_budget, name) is getattr(mdsearch, name) for name in hard_budget.__all__)
    for file in FOLDER.glob("*.py"):
        imported = [
            node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)
        ]
        assert {node.module for node in imported} <= {"__future__", "mdsearch"}


def test_the_example_keeps_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.samplers.pooled.POOL", 40)
    for study in example.example_studies(trials=4):
        assert len(study.trials) == 4 and all(trial.values[0] <= 120 for trial in study.trials)


def test_the_example_of_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for where its package comes from."""
    monkeypatch.setattr("search.samplers.pooled.POOL", 40)
    code = re.search(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)[1]
    code = code.replace("import optunahub\n", "").replace("n_trials=20", "n_trials=3")
    code = re.sub(
        r"^hub = .*$", "from mdsearch.optunahub.samplers import hard_budget as hub", code, flags=re.M
    )
    names: dict[str, object] = {}
    exec(code, names)
    assert len(names["study"].trials) == 3
