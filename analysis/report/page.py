"""What every section of the page reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from analysis.findings import all_verdicts, reference_networks
from analysis.wording import Wording, wording_of
from search.confirmation.leading import Lead, lead
from search.confirmation.unmeasured import why_unknown
from search.runs.header import noise_of
from search.runs.record import History, Trial
from search.statistics.verdicts import Verdict
from space.candidates import Candidate


@dataclass
class Page:
    """A run folder, what its record says, and what follows from that."""

    folder: Path
    history: History
    running: bool = False  # a driver is at work: what has not ended is under way, not interrupted

    @property
    def name(self) -> str:
        return str(self.history.header.get("name") or self.folder.name)

    @cached_property
    def winner(self) -> Trial | None:
        return self.lead.winner if self.lead else None

    @cached_property
    def lead(self) -> Lead | None:
        """Who leads, and who cannot be told from the leader."""
        return lead(self.history)

    @cached_property
    def noise_unknown(self) -> str:
        """Why no stated noise says anything here; empty where one does."""
        return why_unknown(self.history.header) if noise_of(self.history) is not None else ""

    @cached_property
    def words(self) -> Wording:
        return wording_of(self.history.header)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Those of the winner first."""
        found = all_verdicts(self.history)
        return sorted(found, key=lambda v: self.winner is None or v.name != self.winner.name)

    @cached_property
    def references(self) -> dict[str, Candidate]:
        return reference_networks(self.history)
