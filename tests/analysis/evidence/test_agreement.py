"""Proxies beside a longer and larger training: planted orders are found, shuffled ones are undecided."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from analysis.evidence.agreement import (
    DEFAULT_PROXY,
    Agreements,
    ProxyAtRung,
    agreements,
    pair_accuracy,
    with_mean_of,
)
from analysis.evidence.agreement_plot import plot_agreement
from analysis.evidence.agreement_text import agreement_chapter, limits_of
from analysis.evidence.sources import proxy_name
from analysis.replay.table import RecordedTable
from search.statistics.verdicts import Interval
from tests.analysis.evidence.tables import FORTY, MD, table
from tests.search.made_up import World

SIXTEEN = [MD, *FORTY[:15]]
PLACES = {network.id: place for place, network in enumerate(SIXTEEN)}


def planted(order: dict[str, int], noise: float = 0.0001, rungs: tuple[int, ...] = (100, 400)) -> World:
    return World(noise=noise, rungs=rungs, truth=lambda network: 0.2 + order[network.id] / 20)


def shuffled(seed: int) -> dict[str, int]:
    places = list(PLACES.values())
    random.Random(seed).shuffle(places)
    return dict(zip(PLACES, places, strict=True))


def trained(world: World, name: str, seeds: tuple[int, ...] = (0, 1)) -> RecordedTable:
    return table(world.run(name, [(network, seed) for seed in seeds for network in SIXTEEN]))


@cache
def reference() -> RecordedTable:
    return trained(planted(PLACES, rungs=(400, 1600)), "reference-seed-0")


def compared(default: dict[str, int], noise: float = 0.0001, **proxies: dict[str, int]) -> Agreements:
    """Every proxy with its own order, beside a reference that has the true one."""
    found = agreements(
        trained(planted(default, noise), "table"),
        {name: trained(planted(order, noise), f"proxy-{name}-seed-0") for name, order in proxies.items()},
        reference(),
    )
    assert found is not None
    return found


def full(found: Agreements, proxy: str) -> ProxyAtRung:
    return next(row for row in found.rows if (row.proxy, row.step, row.averaged) == (proxy, 400, 1))


def middles(row: ProxyAtRung, name: str) -> tuple[float, float]:
    correlation, pairs = row.by_metric[name].correlation, row.by_metric[name].pairs
    assert correlation is not None and pairs is not None
    return correlation.middle, pairs.middle


def test_a_planted_order_is_found_and_a_shuffled_default_is_beaten() -> None:
    found = compared(shuffled(1), mine=PLACES)
    own, default = full(found, "mine"), full(found, DEFAULT_PROXY)
    for name in ("FID", "CLIP", "validation loss"):
        assert middles(own, name) == (pytest.approx(1), pytest.approx(1))
    assert abs(middles(default, "FID")[0]) < 0.4
    assert own.verdict == "better than the default"
    assert own.gain is not None and own.gain.middle == pytest.approx(1 - middles(default, "FID")[0])
    assert found.judged == [own] and default.verdict == ""  # what was to be decided: one full run
    findings = agreement_chapter(found, "").findings
    assert findings[0].startswith("Of 1 other proxy 1 agrees better") and findings[0].endswith(": mine.")


def test_a_shuffled_order_is_undecided_beside_a_shuffled_default_and_worse_than_a_true_one() -> None:
    none_better = compared(shuffled(1), mine=shuffled(2))
    row = full(none_better, "mine")
    assert abs(middles(row, "FID")[0]) < 0.4 and 0.3 < middles(row, "FID")[1] < 0.7
    assert row.verdict == "undecided"
    chapter = agreement_chapter(none_better, "")
    assert "Of 1 other proxy none agrees better" in chapter.findings[0]
    assert chapter.limits[0].startswith("Whether mine agrees better than the default")
    assert full(compared(PLACES, mine=shuffled(2)), "mine").verdict == "worse than the default"


def test_equals_of_some_noise_are_undecided() -> None:
    found = compared(PLACES, noise=0.15, first=PLACES, second=PLACES)
    assert [row.verdict for row in found.judged] == ["undecided", "undecided"]
    assert 0.3 < middles(full(found, "first"), "FID")[0] < 1


def test_price_seeds_and_networks_of_a_row() -> None:
    found = compared(PLACES, mine=PLACES)
    assert (found.networks, found.seeds, found.steps) == (16, 2, 1600)
    rows = [(row.step, row.averaged, row.core_minutes) for row in found.rows if row.proxy == "mine"]
    # ten seconds a rung; two runs of a network that make one score cost twice
    assert rows == [
        (100, 1, pytest.approx(1 / 6)),
        (400, 1, pytest.approx(1 / 3)),
        (400, 2, pytest.approx(2 / 3)),
    ]
    some = table(planted(PLACES).run("proxy-a", [(n, s) for s, n in [*((0, n) for n in SIXTEEN), (1, MD)]]))
    few = table(planted(PLACES).run("proxy-b", [(network, 0) for network in SIXTEEN[:4]]))
    both = agreements(trained(planted(PLACES), "table"), {"a": some, "b": few}, reference())
    assert both is not None
    assert {(row.proxy, row.networks, row.seeds) for row in both.rows} == {
        (DEFAULT_PROXY, 16, 2),
        ("a", 16, 1),
    }
    assert (
        "Not compared, with fewer than 6 of these networks: b (4 networks)."
        in agreement_chapter(both, "").text()
    )


def test_what_would_decide_is_said() -> None:
    """A gain of .2 that lies within .3 is decided by (.3 / .2) ^ 2 = 2.25 times the networks, each trained
    twice for a minute and twice for nine."""
    row = ProxyAtRung("mine", 400, 2, 1, 16, 1.0, {}, Interval(0.2, -0.1, 0.5), "undecided")
    found = Agreements((row,), {}, 16, 2, 1600, 9.0)
    assert limits_of(found) == [
        "Whether mine agrees better than the default with a longer and larger training (gain 0.20 "
        "(\u22120.10 to 0.50), 16 networks): a gain of 0.20 takes 36 networks (12 core-hours)."
    ]
    worse = replace(row, gain=Interval(-0.2, -0.5, 0.1))
    (line,) = limits_of(replace(found, rows=(worse,)))
    assert "takes" not in line


def test_without_two_seeds_of_the_reference_nothing_is_said() -> None:
    once = trained(planted(PLACES), "reference-seed-0", seeds=(0,))
    assert agreements(trained(planted(PLACES), "table"), {}, once) is None
    assert agreement_chapter(None, "").parts[0].startswith("Not recorded yet: 6 sound networks")


def test_the_ceiling_is_what_another_seed_reaches() -> None:
    chance = np.random.default_rng(0)
    truth = chance.normal(size=20_000)
    one, other, third = (truth + chance.normal(size=truth.size) for _ in range(3))
    between = np.corrcoef(one, other)[0, 1]
    expected = np.corrcoef(third, (one + other) / 2)[0, 1]
    assert with_mean_of(np.array([between]), 2)[0] == pytest.approx(expected, abs=0.01)
    assert list(with_mean_of(np.array([1.0, 0.0, -0.3]), 2)) == [1, 0, -0.3]
    found = compared(PLACES, mine=PLACES)
    assert found.ceilings["FID"].one_seed is not None
    assert found.ceilings["FID"].one_seed.middle == pytest.approx(1)
    assert found.ceilings["FID"].alike == 16 * 15 // 2


def test_pairs_count_where_all_seeds_of_the_reference_agree() -> None:
    #   own, and two seeds of the reference: they agree on 0 < 1, 0 < 2, not on 1 and 2; own has 0 > 1 wrong
    rows = np.array([[1.0, 0.0, 0.0], [0.5, 1.0, 2.0], [3.0, 2.0, 1.0]])
    assert pair_accuracy(1, 1)(rows[None])[0] == 0.5
    tied = rows.copy()
    tied[1, 0] = 1.0
    assert pair_accuracy(1, 1)(tied[None])[0] == 0.75
    assert np.isnan(pair_accuracy(1, 1)(np.repeat(rows[:1], 3, axis=0)[None])[0])


def test_a_run_is_of_the_proxy_that_its_name_says() -> None:
    assert proxy_name("proxy-tokens-seed-0") == proxy_name("proxy-tokens-seed-11") == "tokens"
    assert proxy_name("proxy-two-words-seed-1") == "two-words" and proxy_name("mine") == "mine"
    assert proxy_name("proxy-tokens-seed-1-more-networks") == "tokens"


def test_its_plot(tmp_path: Path) -> None:
    plot_agreement(tmp_path / "agreement.png", compared(shuffled(1), mine=PLACES))
    assert (tmp_path / "agreement.png").read_bytes().startswith(b"\x89PNG")
