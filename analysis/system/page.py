"""system.html: what a built system is, in one file that opens without a network."""

from __future__ import annotations

from pathlib import Path

from analysis.report.html import Section, body, html_page
from analysis.system import sections
from analysis.system.facts import System
from analysis.system.record import PAGE_NAME
from space.shared.files import write_whole

SECTIONS = (
    Section("sections/headline.html", sections.headline_section),
    Section("sections/tiles.html", sections.tiles_section),
    Section("scope_of_system.html", sections.scope_section),
    Section("images_of_system.html", sections.images_section),
    Section("scores_of_system.html", sections.scores_section),
    Section("latency_of_system.html", sections.latency_section),
    Section("architecture_of_system.html", sections.architecture_section),
    Section("decoder_of_system.html", sections.decoder_section),
    Section("export_of_system.html", sections.export_section),
    Section("stages_of_system.html", sections.stages_section),
)


def write_page(folder: Path) -> Path:
    """Write the page of a folder that `mdsearch build` filled, whole or not at all; returns its path.

    Raises:
        InputError: nothing was built there, or what was cannot be read.
    """
    system = System(folder)
    content = body(SECTIONS, system, package="analysis.system")
    title = f"{system.record.name}: a text-to-image system"
    return write_whole(folder / PAGE_NAME, html_page(title, content, "the folders of its stages"))
