"""Where a page says that the best are, in the plane of the first two scores."""

from __future__ import annotations

from analysis.report.charts.scores import best_corner
from search.objectives import FID_AND_CLIP, Objective


def test_the_best_corner_follows_the_directions() -> None:
    psnr, cost = Objective("psnr", "maximize"), Objective("decoder_gmacs", "minimize", "log")
    assert best_corner(FID_AND_CLIP) == "top left"
    assert (best_corner((psnr, cost)), best_corner((cost, psnr))) == ("bottom right", "top left")
    assert best_corner((psnr,)) == ""
