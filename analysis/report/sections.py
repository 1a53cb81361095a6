"""The order of the page: what won, how sure, against what, why, at what cost, from where."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.report import evidence, outcome, race
from analysis.report.page import Page
from analysis.report.prior import prior_section


def sections(page: Page) -> Iterator[str]:
    """The body of the page, part by part; a part with nothing to show says so or is left out."""
    yield outcome.headline(page)
    yield outcome.tiles(page)
    yield outcome.scope(page)
    if page.history.by_key or page.history.rejections:
        yield race.verdict_section(page)
        yield outcome.score_section(page)
        yield outcome.winner_section(page)
        yield outcome.picture_section(page)
        yield evidence.trial_section(page)
        yield prior_section(page)
        yield evidence.curve_section(page)
        yield evidence.stopping_section(page)
        yield evidence.spread_section(page)
        yield race.noise_section(page)
        yield evidence.cost_section(page)
        yield evidence.importance_section(page)
        yield evidence.time_section(page)
    yield evidence.provenance(page)
