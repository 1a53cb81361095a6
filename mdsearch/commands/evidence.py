"""`mdsearch evidence recorded.jsonl.gz out=docs/evidence.md`: what recorded runs say, as one page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analysis.evidence.document import EvidencePage, ReferenceNetwork, document
from analysis.evidence.sources import Roles, evidence_of
from analysis.rendering import write_text
from conf.compose import compose
from conf.words import divided
from search.named import named_architecture
from search.runs.bundle import gathered
from space.budget import Budget
from space.shared.command_lines import typed_line
from space.shared.console import command_console
from space.shared.plain import InputError, from_plain


@dataclass(frozen=True)
class EvidenceSettings:
    """What conf/evidence.yaml holds."""

    md_budget: Budget
    md_lite_budget: Budget
    out: str
    table: tuple[str, ...]
    long: tuple[str, ...]
    searches: tuple[str, ...]
    bigger: tuple[str, ...]
    paper: tuple[str, ...]
    paper_searches: tuple[str, ...]
    proxies: tuple[str, ...]
    reference: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.out.endswith(".md"):
            raise InputError(f"out: {self.out!r} is no page; allowed: a file that ends in .md")
        if not self.table:
            raise InputError("table: empty; allowed: one pattern of names or more")

    @property
    def roles(self) -> Roles:
        return Roles(
            self.table,
            self.long,
            self.searches,
            self.bigger,
            self.paper,
            self.paper_searches,
            self.proxies,
            self.reference,
        )


def main(words: list[str]) -> int:
    sources, chosen = divided(words)
    settings: EvidenceSettings = from_plain(EvidenceSettings, compose("evidence", chosen))
    if not sources:
        raise InputError("no run named; for example: mdsearch evidence recorded out=docs/evidence.md")
    references = {
        "md": ReferenceNetwork(named_architecture("md"), settings.md_budget),
        "md_lite": ReferenceNetwork(named_architecture("md_lite"), settings.md_lite_budget),
    }
    console = command_console(stderr=True)
    command = typed_line("evidence", words)
    with console.status("reading records") as status:
        page = EvidencePage(Path(settings.out), command, lambda text: status.update(text))
        evidence = evidence_of(gathered(sources), settings.roles)
        text = document(evidence, references, page)
    write_text(text, settings.out)
    print(f"written: {settings.out}")
    return 0
