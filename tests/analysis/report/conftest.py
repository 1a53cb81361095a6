"""For all tests of the report."""

from __future__ import annotations

import pytest


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the regression on importances, which has a test of its own."""
    monkeypatch.setattr("analysis.report.sections.costs.importances", lambda history: None)
