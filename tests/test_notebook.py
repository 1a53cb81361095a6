"""The notebook of the documentation runs as it stands, cell by cell, from an empty folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def test_every_cell_runs_and_says_what_the_text_around_it_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            exec(compile(source, f"<{cell['id']}>", "exec"), names)  # no Jupyter needed
    frame, result = names["frame"], names["result"]
    assert len(frame) == len(result.history.trials) == 12 and not result.interrupted
    assert frame.parameters.max() <= 60e6 and frame.gmacs.max() <= 40
    assert set(frame.state) == {"complete", "halted"}
    assert names["best"].id == frame.sort_values("fid").architecture.iloc[0]
    assert (tmp_path / "runs" / "phone" / "rungs.csv").is_file()
