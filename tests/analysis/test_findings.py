"""The numbers behind the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.importances import importances
from analysis.spread import spreads
from search.runs.header import objectives_of
from search.runs.record import read_history
from tests.search.histories import NOISE, write_history


def test_spread_counts_pairs_as_the_verdict_does(tmp_path: Path) -> None:
    """Against every pair compared one by one, with the noise of the difference of two runs."""
    history = write_history(tmp_path, ended=20, seed=3)
    objectives = objectives_of(history)
    last = spreads(history)[-1]
    fids = [f for t in history.trials if (f := t.score(objectives[0].name, 400)) is not None]
    clips = [c for t in history.trials if (c := t.score(objectives[1].name, 400)) is not None]
    bound = 2 * 2**0.5
    pairs = [(i, j) for i in range(len(fids)) for j in range(i)]
    apart = sum(abs(fids[i] - fids[j]) > bound * 0.12 * (fids[i] + fids[j]) / 2 for i, j in pairs)
    assert last.trials == len(fids)
    fid, clip = last.each
    assert fid.pairs == pytest.approx(apart / len(pairs))
    apart = sum(abs(clips[i] - clips[j]) > bound * NOISE[2]["clip"] for i, j in pairs)
    assert clip.pairs == pytest.approx(apart / len(pairs))


def test_importances_find_the_choice_that_decides(tmp_path: Path) -> None:
    history = write_history(tmp_path, ended=60, seed=2)
    found = importances(history)
    assert found is not None
    params = ("level_3.channels", "level_3.conv", "level_3.layers_down", "level_3.layers_up")
    fid, clip = found.shares["FID"], found.shares["CLIP"]
    assert found.choices[0].startswith("level_")
    assert max(clip.values()) > found.chance["CLIP"]
    assert sum(fid.values()) == pytest.approx(1.0, abs=1e-6)
    assert set(params) <= set(found.choices) == set(fid) == set(clip)
    write_history(tmp_path / "few", ended=5, failed=())
    assert importances(read_history(tmp_path / "few")) is None
