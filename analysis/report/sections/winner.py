"""The winning network, what makes it another than the reference networks, and what it generates."""

from __future__ import annotations

from typing import Any

from analysis.report.page import Page
from analysis.report.sections.images import attribution_of, prompts_of, sample_sheets
from search.formats import label
from search.runs.files import SAMPLES_COLUMNS
from space.candidates import candidate_difference


def winner_section(page: Page) -> dict[str, Any] | None:
    winner = page.winner
    if winner is None:
        return None
    changes = {
        label(name): candidate_difference(architecture, winner.architecture)
        for name, architecture in page.references.items()
    }
    return {"winner": winner, "changes": changes, "units": page.words.units}


def image_section(page: Page) -> dict[str, Any]:
    sheets = sample_sheets(page.folder, page.history, page.winner)
    return {
        "sheets": sheets,
        "prompts": prompts_of(page.folder),
        "columns": SAMPLES_COLUMNS,
        "attribution": attribution_of(page.history),
        "samples": page.words.samples,
    }
