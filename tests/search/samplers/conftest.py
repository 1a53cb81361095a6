"""For all tests of samplers in plain studies."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import optuna
import pytest


@pytest.fixture
def quick_and_quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small pools, and no word of what is experimental in Optuna."""
    monkeypatch.setattr("search.samplers.pooled.POOL", 40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
