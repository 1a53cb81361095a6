"""What a plan says of the time, against figures by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mdsearch.api import settings_of
from search import expected_time
from search.expected_time import Pace, measured_pace, time_lines
from search.settings import SearchSettings

PACE = Pace(step=0.075, rung=1.6)  # one core, as the default search was measured


def settings(*words: str) -> SearchSettings:
    return settings_of(words)[0]


def test_the_default_search_takes_eleven_minutes_on_two_cores() -> None:
    """A trial: 500 steps of 75 ms and three rungs of 1.6 s, 42.3 s; twelve on two workers, then the race."""
    whole, trials, race = time_lines(settings(), PACE, 2)
    assert whole.startswith("at most about 10 min 14 s, 2 at a time")
    assert trials.startswith("trials 4 min 14 s, each 42.3 s: 500 steps in 37.5 s, 3 times 200 images")
    assert "in 4.8 s" in trials and race == "race 6 min 0 s at most"


@pytest.mark.parametrize(
    ("words", "workers", "minutes"),
    [
        (("confirmation=none",), 2, "4 min 14 s"),
        (("confirmation=none", "trials=13"), 2, "4 min 56 s"),  # the thirteenth alone
        (("confirmation=none",), 1, "8 min 28 s"),
        (("confirmation.seeds=1",), 2, "5 min 38 s"),  # a race of four runs, in two rounds
        (("confirmation.minutes=null", "confirmation.runs=2"), 2, "4 min 56 s"),
        (("confirmation.runs=2", "confirmation.steps=1000"), 2, "5 min 30 s"),  # a run of one rung: 76.6 s
    ],
)
def test_time_is_counted_in_rounds_of_workers(words: tuple[str, ...], workers: int, minutes: str) -> None:
    assert time_lines(settings(*words), PACE, workers)[0].startswith(f"at most about {minutes},")


@pytest.mark.parametrize(("an_image", "generated"), [(0.5, [1, 32]), (3.0, [1])])
def test_pace_is_measured_by_a_few_images(
    an_image: float, generated: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    clock = 0.0

    def generate(captions: list[str], *, seed: int) -> None:
        nonlocal clock
        asked.append(len(captions))
        clock += an_image * len(captions)

    monkeypatch.setattr(expected_time, "seconds_per_step", lambda trainer: 0.3)
    monkeypatch.setattr(expected_time.time, "perf_counter", lambda: clock)
    trainer: Any = SimpleNamespace(generate=generate)
    data: Any = SimpleNamespace(held_out_captions=["a", "b"])
    pace = measured_pace(trainer, settings(), data)
    assert asked == generated
    assert pace.step == 0.3
    assert pace.rung == pytest.approx(200 * an_image + 256 / 16 * 0.1)  # forward alone: a third of a step
