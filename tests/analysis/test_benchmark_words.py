"""Words of benchmarks: a stranger's mistake is a line."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from benchmarks import growth, predicting, pricing, race, reading, training_loop, what_pays
from benchmarks.lab import given_counts
from space.shared.plain import InputError


def named(module: ModuleType) -> str:
    return module.__name__


@pytest.mark.parametrize("benchmark", [growth, predicting, pricing, race, reading, what_pays], ids=named)
def test_an_unknown_word_is_refused(benchmark: Any) -> None:
    with pytest.raises(InputError, match="nonsense: is no word of this benchmark; "):
        benchmark.main(["nonsense"])


def test_the_training_loop_says_it_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert training_loop.main(["nonsense"]) == 2
    assert "error: nonsense: is no word of this benchmark" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["0", "-3", "many", ""])
def test_a_count_is_a_whole_number(value: str) -> None:
    with pytest.raises(InputError, match=r"races: .* is not possible; allowed: a whole number, 1 or more"):
        given_counts([f"races={value}"], {"races": 1000})
    assert given_counts(["races=7"], {"races": 1000, "rounds": 2}) == {"races": 7, "rounds": 2}
