"""system.html: what a built system is, in one file that opens without a network."""

from __future__ import annotations

from pathlib import Path

from analysis.report.html import Section, body, html_page
from analysis.system import network_sections, sections
from analysis.system.facts import System
from analysis.system.record import PAGE_NAME
from space.shared.files import write_whole

_SECTIONS = (
    Section("sections/headline.html", sections.system_headline),
    Section("sections/tiles.html", sections.system_tiles),
    Section("scope_of_system.html", sections.system_scope),
    Section("images_of_system.html", sections.system_images),
    Section("scores_of_system.html", sections.system_scores),
    Section("latency_of_system.html", sections.system_latency),
    Section("architecture_of_system.html", network_sections.system_architecture),
    Section("decoder_of_system.html", network_sections.system_decoder),
    Section("export_of_system.html", network_sections.system_export),
    Section("stages_of_system.html", network_sections.system_stages),
)


def write_system_page(folder: Path) -> Path:
    """Write the page of a folder that `mdsearch build` filled, whole or not at all; returns its path.

    Raises:
        InputError: nothing was built there, or what was cannot be read.
    """
    system = System(folder)
    content = body(_SECTIONS, system, package="analysis.system")
    title = f"{system.record.name}: a text-to-image system"
    return write_whole(folder / PAGE_NAME, html_page(title, content, "the folders of its stages"))
