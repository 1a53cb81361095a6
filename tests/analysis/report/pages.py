"""Reports read back: what a page shows, and that its HTML is whole."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from analysis.report.contents import sections_of
from analysis.report.html import Body, body
from analysis.report.page import Page
from search.runs.record import read_history

HOSTILE = "</script><script>alert(1)</script><img src=https://evil.example/x.png onerror=alert(1)>{{plotly}}"
VOID = {"meta", "br", "img", "hr", "link", "input"}


class Tree(HTMLParser):
    """Checks that what opens closes, in order; keeps addresses, visible text and element ids."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.links: list[str] = []  # to places in the page
        self.words: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            assert not name.startswith("on"), f"{name} runs script"
            if name in ("src", "href", "srcset", "data", "action") and not (value or "").startswith("#"):
                self.addresses.append(value or "")
            elif name == "href":
                self.links.append((value or "")[1:])
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.words.append(data)


def body_of(folder: Path) -> Body:
    """The page without its megabytes of script."""
    page = Page(folder, read_history(folder))
    return body(sections_of(page), page)


def words_in(html: str) -> str:
    return re.sub(r"\s+", " ", " ".join(Tree(html).words))


def words_of(folder: Path) -> str:
    return words_in(body_of(folder).html)


def figures_in(text: str) -> dict[str, dict[str, Any]]:
    found = re.search(r"const FIGURES = (.*);\n", text)
    assert found is not None
    figures: dict[str, dict[str, Any]] = json.loads(found[1])
    return figures
