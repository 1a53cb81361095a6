"""Networks measured in two visits: their order, what is gone on with, and what it says of a ranking."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from evaluators.latency import runtimes
from evaluators.latency.held_out import Whole, spread_of, verdict_of_list
from evaluators.latency.journal import Journal
from evaluators.latency.repeats import measure_twice
from evaluators.latency.runtimes import Place
from space.architecture import Architecture, Level


def network(channels: int) -> Architecture:
    level = Level(channels, "full", (0,), (0, 0))
    return Architecture((level,), norm_groups=8, latent_size=4, time_width=32)


NETWORKS = [network(16), network(24), network(32)]


def test_each_is_visited_again_after_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five rounds are three and two; interrupted in the second network, the first is not measured again."""
    visits: list[int] = []

    def made(module: Any, *_: Any) -> Any:
        channels = module.unet.architecture.levels[0].channels

        def run(number: int) -> float:
            if len(visits) == stop_at:
                raise KeyboardInterrupt
            visits.append(channels)
            return 100.0 * channels + len(visits)

        return run

    monkeypatch.setitem(cast(Any, runtimes.RUNTIMES), "made", made)
    told: list[tuple[int, int]] = []

    def measure() -> Journal:
        journal = Journal(tmp_path / "of.check", {"rounds": 5})
        measure_twice(
            NETWORKS,
            "made",
            Place(),
            journal,
            rounds=5,
            clock=lambda: 0.0,
            on_done=lambda *seen: told.append(seen),
        )
        return journal

    stop_at = 13  # each visit warms up once: 4 runs, 4 of the next, 3 again, and the third network's second
    with pytest.raises(KeyboardInterrupt):
        measure()
    assert visits == [16] * 4 + [24] * 4 + [16] * 3 + [32] * 2
    stop_at = -1
    journal = measure()
    assert visits[13:] == [24] * 4 + [32] * 4 + [24] * 3 + [32] * 3
    assert told[-1] == (3, 3) and (1, 3) in told
    of_first = journal.results[NETWORKS[0].id]
    assert (of_first["times_ms"], of_first["again_ms"]) == ([1602, 1603, 1604], [1610, 1611])
    assert list(journal.results) == [a.id for a in NETWORKS]


def whole(ms: float, again: float | None = None) -> Whole:
    return Whole(str(ms), ms / 2, ms, ms, None if again is None else ms, again)


def test_a_ranking_has_a_ceiling() -> None:
    """Two of four change places on the second visit: rank correlation .8, so sqrt(1.6 / 1.8) at most."""
    spread = spread_of([whole(10, 10), whole(20, 31), whole(30, 21), whole(40, 40)])
    assert (spread.gmacs, spread.ms) == ((5, 20), (10, 40))
    assert spread.deviation == pytest.approx(125**0.5 / 25)
    assert spread.repeats == pytest.approx(0.8)
    assert spread.ceiling == pytest.approx((1.6 / 1.8) ** 0.5)
    assert spread.apart == pytest.approx((0 + 9 / 25.5) / 2)
    reversed_ones = spread_of([whole(10, 40), whole(20, 30), whole(30, 20), whole(40, 10)])
    assert (reversed_ones.repeats, reversed_ones.ceiling) == (pytest.approx(-1), 0)


def test_without_second_visits_nothing_is_said_of_it() -> None:
    verdict = verdict_of_list([whole(ms) for ms in (10, 20, 30, 40)], [whole(5)] * 2)
    assert (verdict.spread.repeats, verdict.spread.ceiling, verdict.spread.apart) == (None, None, None)
    assert verdict.equal_spread is None
