"""`python -m search.compare` and the like work until the next release, and name the command of today."""

from __future__ import annotations

import importlib
import runpy
import sys
import warnings

import pytest

import mdsearch
import search
from space.shared.renamed import note_renamed

ALIASES = {
    "search": "search",
    "search.compare": "compare",
    "search.confirm": "confirm",
    "search.evidence": "evidence",
    "search.evidence.again": "evidence again",
    "search.evidence.pairs": "evidence pairs",
    "search.gather": "gather",
    "search.noise": "noise",
    "search.replay": "replay",
    "search.sampling_curves": "generate curves",
    "search.simulate": "simulate",
    "search.table1": "table1",
    "search.walk": "walk",
    "space": "count",
    "space explore": "explore",
    "training": "train",
    "training.generate": "generate",
    "training.samples": "generate samples",
    "evaluators": "evaluate",
}


@pytest.mark.parametrize(("old", "command"), ALIASES.items())
def test_an_older_name_works_and_names_the_command(
    old: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module, *words = old.split()
    monkeypatch.setattr(sys, "argv", [module, *words, "--help"])
    monkeypatch.setattr("mdsearch.__main__.settle", lambda: None)  # which changes this process
    with pytest.raises(SystemExit) as caught, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # modules that other tests imported run once more
        runpy.run_module(module, run_name="__main__")
    assert caught.value.code == 0
    printed = capsys.readouterr()
    assert f"\n  mdsearch {command}" in printed.out
    assert printed.err.count("\n") == 1 and f"mdsearch {command} " in printed.err


def test_the_older_search_of_a_notebook_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdsearch.api.search", lambda *words: words)
    with pytest.warns(DeprecationWarning, match=r"mdsearch\.search"):
        assert search.search("trials=1") == ("trials=1",)


@pytest.mark.parametrize(("module", "name"), [("search.sampler", "Proposal"), ("search.curves", "points_at")])
def test_an_older_place_of_a_public_name_says_the_newer(
    module: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sys.modules.pop(module, None)
    note_renamed.cache_clear()
    found = importlib.import_module(module)
    said = f"note: from {module} import {name} is now from mdsearch import {name}; "
    assert capsys.readouterr().err.startswith(said)
    assert getattr(found, name) is getattr(mdsearch, name)
