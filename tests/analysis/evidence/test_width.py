"""Width against depth at one budget: parabolas with known peaks, and networks by hand."""

from __future__ import annotations

from math import isfinite, log2
from pathlib import Path

import numpy as np
import pytest

from analysis.evidence.width import (
    FEWEST_NETWORKS,
    NEAR,
    WidthAgainstDepth,
    fitted,
    used,
    width_against_depth,
    width_chapter,
)
from analysis.evidence.width_plot import plot_width
from space.prices.macs import price
from tests.analysis.evidence.tables import (
    CLIP,
    FID,
    MD,
    MD_LITE,
    NEAR_BUDGET,
    PAPER,
    near_budget,
    of_papers_space,
    table,
)
from tests.search.made_up import World
from tests.search.worlds import MD_BUDGET


def measured(best: float, noise: float = 0.001, seeds: int = 3) -> WidthAgainstDepth | None:
    """Of networks whose quality falls off parabolically from a width that is the best."""
    world = World(noise=noise, truth=lambda one: 1 - 4 * log2(one.levels[-1].channels / best) ** 2)
    entries = [(each, seed) for seed in range(seeds) for each in near_budget()]
    small = [(MD_LITE, seed) for seed in range(seeds)]
    return width_against_depth(table(world.run("paper-0", entries + small)), MD, MD_BUDGET)


def test_md_and_md_lite_are_points_of_the_papers_space() -> None:
    assert of_papers_space(1024, 3, 3).id == MD.id
    assert of_papers_space(896, 3, 2).id == MD_LITE.id
    every = [
        of_papers_space(width, down, up)
        for width in PAPER.levels["level_3"].channels
        for down in range(1, 5)
        for up in range(1, 5)
    ]
    assert len({each.id for each in every}) == PAPER.encodings == 144
    assert sum(not MD_BUDGET.excess(price(each)) for each in every) == 99


def test_what_a_network_uses_of_its_budget_is_the_scarcer_part() -> None:
    cost = price(MD)
    assert used(MD, MD_BUDGET) == pytest.approx(cost.parameters / 400e6)
    assert used(MD, MD_BUDGET) > cost.gmacs / 200 > NEAR - 0.01
    assert used(MD_LITE, MD_BUDGET) == pytest.approx(cost_of_lite := price(MD_LITE).gmacs / 200)
    assert cost_of_lite < NEAR


def test_a_parabola_without_noise_has_its_peak_where_it_was_put() -> None:
    widths = [512, 768, 1024, 1280, 1536, 2048]
    means = [3 - 2 * log2(width / 1000) ** 2 for width in widths]
    found = fitted(CLIP, 100, widths, means)
    assert found.optimum is not None and found.located
    assert found.optimum.middle == pytest.approx(1000)
    assert (found.optimum.low, found.optimum.high) == pytest.approx((1000, 1000), rel=1e-4)
    assert found.at(1000) == pytest.approx(3) and found.curvature.middle == pytest.approx(-2)


def test_the_interval_of_the_peak_holds_it_as_often_as_it_says() -> None:
    chance, widths = np.random.default_rng(0), [896, 960, 960, 1024, 1024, 1088, 1088, 1152, 1152, 1216, 1280]
    truth = np.array([-3 * log2(width / 1050) ** 2 for width in widths])
    found = [fitted(FID, 100, widths, truth + chance.normal(0, 0.05, len(widths))) for _ in range(600)]
    located = [each.optimum for each in found if each.located and each.optimum is not None]
    caught = sum(each.low <= 1050 <= each.high for each in located)
    never = sum(each.optimum is None or not each.located for each in found)  # says nothing: no error
    assert (caught + never) / len(found) == pytest.approx(0.95, abs=0.025)
    assert len(located) > 300


def test_a_slope_is_no_peak() -> None:
    widths = [896, 960, 1024, 1088, 1152, 1216, 1280]
    chance = np.random.default_rng(1)
    found = fitted(CLIP, 100, widths, [log2(width) + chance.normal(0, 0.01) for width in widths])
    assert found.slope.sign == 1 and not found.located


def test_networks_near_the_budget_are_compared_and_others_left_out() -> None:
    found = measured(best=1050)
    assert found is not None
    assert {(each.width, each.layers) for each in found.networks} == {
        (width, layers) for (width, _, _), layers in NEAR_BUDGET.items()
    }
    assert found.seeds == (0, 1, 2) and found.networks[0].width == 1280
    last = found.fits[-1]
    assert (last.metric.name, last.step) == ("CLIP", 400)
    assert last.optimum is not None and last.optimum.middle == pytest.approx(1050, rel=0.01)
    words = {each.width: each.against_md.word for each in found.networks if each.against_md}
    assert words[1280] == words[896] == "worse" and 1024 not in words


def test_what_is_said_of_md() -> None:
    inside, outside = measured(best=1030, noise=0.01), measured(best=1100, noise=0.001)
    assert inside is not None and outside is not None
    (_, near, _), (_, far, others) = (width_chapter(each, "").findings for each in (inside, outside))
    assert others.startswith("Of the 7 others at MD's budget, against MD: ") and "better" in others
    assert "MD's 1024 is inside" in near and "MD's 1024 is outside" in far
    assert "1024 (MD)" in width_chapter(inside, "").text()


def test_too_few_networks_wait_for_more() -> None:
    world = World()
    few = [(each, 0) for each in near_budget()[: FEWEST_NETWORKS - 1]]
    assert width_against_depth(table(world.run("paper-0", few)), MD, MD_BUDGET) is None
    assert width_chapter(None, "").findings == ()


def test_the_plot_is_written(tmp_path: Path) -> None:
    found = measured(best=1050, noise=0.05, seeds=1)
    assert found is not None and isfinite(found.networks[0].mean.fid)
    plot_width(tmp_path / "width.png", found)
    assert (tmp_path / "width.png").stat().st_size > 10_000
