"""For all tests of the evidence."""

from __future__ import annotations

import pytest

from analysis.evidence import resampling


@pytest.fixture(autouse=True)
def fewer_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "BOOTSTRAP_SAMPLES", 400)
