"""`mdsearch evidence pairs runs/table out=partners`: networks that make pairs with recorded ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.evidence.network_files import NetworkFile, search_command, write_networks
from analysis.evidence.partners import Base, missing_partners, pair_counts, recorded, space_filling_bases
from analysis.rendering import render_table
from conf.compose import architecture_texts, compose
from conf.words import divided
from search.formats import counted
from search.named import named_architecture
from search.runs.bundle import histories_of
from search.runs.compatibility import protocol_difference
from search.runs.record import History
from space.budget import Budget
from space.choices import Space
from space.difference import difference
from space.shared.command_lines import setting_word
from space.shared.plain import InputError, from_plain


@dataclass(frozen=True)
class PairsSettings:
    """What conf/evidence_pairs.yaml holds."""

    budget: Budget
    out: str
    bases: tuple[str, ...]
    pairs: int
    name: str

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise InputError(f"pairs: {self.pairs} is too few; allowed: 1 or more")


def main(words: list[str]) -> int:
    sources, chosen = divided(words)
    settings: PairsSettings = from_plain(PairsSettings, compose("evidence_pairs", chosen))
    histories = _of_one_protocol(sources)
    header = next(iter(histories.values())).header
    space: Space = from_plain(Space, header["space"])
    known = recorded(histories)
    own = architecture_texts(settings.bases)
    named = [Base(Path(name).stem, named_architecture(name, own)) for name in settings.bases]
    bases = [*named, *space_filling_bases(histories)]
    partners = missing_partners(bases, known, space, settings.budget, settings.pairs)
    files = [
        NetworkFile(
            f"{partner.base.name}-{partner.decision.slug}",
            partner.architecture,
            f"{partner.base.name} ({partner.base.architecture.id}), but for the {partner.decision.name}",
        )
        for partner in partners
    ]
    names = write_networks(files, settings.out)
    for name, partner in zip(names, partners, strict=True):
        print(f"{name}: {'; '.join(difference(partner.base.architecture, partner.architecture))}")
    print(render_table(*pair_counts(known, partners, space), "table"), end="")
    print(f"\nwritten: {counted(len(partners), 'network')} to {settings.out}")
    if partners:
        budget = [word for word in words if word.startswith("budget")]
        new = [*budget, setting_word("name", settings.name)]
        print(f"train them: {search_command(header, new, settings.out, len(partners))}")
    return 0


def _of_one_protocol(sources: Sequence[str]) -> dict[str, History]:
    if not sources:
        raise InputError("no run named; for example: mdsearch evidence pairs runs/table out=partners")
    histories = histories_of(sources)
    (first_name, first), *others = histories.items()
    for name, history in others:
        if different := protocol_difference(first, history):
            raise InputError(
                f"{first_name} and {name} were measured differently, so their networks make no pairs: "
                f"{'; '.join(different)}; name runs of one protocol, as in file.jsonl.gz:table*"
            )
    return histories
