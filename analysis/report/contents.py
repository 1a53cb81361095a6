"""The order of the page: what won, how sure, against what, why, at what cost, from where.

A new section is a function in `sections`, a template in `templates/sections`, and a line here.
"""

from __future__ import annotations

from analysis.report.html import Section
from analysis.report.page import Page
from analysis.report.sections import costs, headline, prior, scores, trials, verdicts, winner
from analysis.report.sections.next import next_section
from analysis.report.sections.split import split_section

OPENING = (
    Section("sections/headline.html", headline.headline_section),
    Section("sections/tiles.html", headline.tiles_section),
    Section("sections/scope.html", headline.scope_section),
)
FINDINGS = (
    Section("sections/verdicts.html", verdicts.verdict_section),
    Section("sections/decision.html", scores.decision_section),
    Section("sections/scores.html", scores.score_section),
    Section("sections/split.html", split_section),
    Section("sections/winner.html", winner.winner_section),
    Section("sections/images.html", winner.image_section),
    Section("sections/trials.html", trials.trial_section),
    Section("sections/prior.html", prior.prior_section),
    Section("sections/curves.html", scores.curve_section),
    Section("sections/stopping.html", trials.stopping_section),
    Section("sections/spread.html", scores.spread_section),
    Section("sections/noise.html", verdicts.noise_section),
    Section("sections/budget.html", costs.budget_section),
    Section("sections/importances.html", costs.importance_section),
    Section("sections/time.html", costs.time_section),
    Section("sections/next.html", next_section),
)
CLOSING = (Section("sections/provenance.html", costs.provenance_section),)


def sections_of(page: Page) -> tuple[Section[Page], ...]:
    """Those of a page: findings only once something has been proposed."""
    begun = page.history.by_key or page.history.rejections
    return (*OPENING, *(FINDINGS if begun else ()), *CLOSING)
