"""For all tests of the evidence."""

from __future__ import annotations

import pytest

from analysis.evidence import resampling


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "DRAWS", 400)
