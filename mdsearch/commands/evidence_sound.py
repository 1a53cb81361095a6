"""`mdsearch evidence sound recorded out=sound`: sound networks, to compare proxies on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from analysis.evidence.decisions import PAPER_DECISIONS, pairs_among
from analysis.evidence.network_files import NetworkFile, search_command, write_networks
from analysis.evidence.sound import chosen_networks, with_pairs
from analysis.evidence.sources import Roles, evidence_of
from conf.compose import architecture_texts, compose
from conf.words import divided
from search.formats import counted
from search.named import named_architecture
from search.runs.bundle import gathered
from space.shared.command_lines import setting_word
from space.shared.plain import InputError, from_plain

WHOLE_RUNS = ("stopping=none", "confirmation=none")


@dataclass(frozen=True)
class SoundSettings:
    """What conf/evidence_sound.yaml holds."""

    out: str
    count: int
    bases: tuple[str, ...]
    seeds: int
    table: tuple[str, ...]
    training_seeds: tuple[int, ...]
    proxies: dict[str, tuple[str, ...]] | None
    reference: tuple[str, ...]
    pairs: int = 0
    elsewhere: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("seeds", 1), ("pairs", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)} is too few; allowed: {least} or more")
        if not (self.proxies or self.elsewhere or self.reference):
            raise InputError("proxies: none, nor elsewhere or reference: nothing to train them under")

    def searches(self) -> Iterator[list[str]]:
        """Words of each search: the cheap ones first, the reference last."""
        for name, words in (self.proxies or {}).items():
            yield from (self._search(f"proxy-{name}", seed, words) for seed in self.training_seeds)
        for name, words in self.elsewhere.items():
            yield from (self._search(name, seed, words) for seed in self.training_seeds)
        if self.reference:
            yield from (self._search("reference", seed, self.reference) for seed in self.training_seeds)

    def _search(self, name: str, seed: int, words: tuple[str, ...]) -> list[str]:
        return [*words, *WHOLE_RUNS, setting_word("name", f"{name}-seed-{seed}"), f"seed={seed}"]


def main(words: list[str]) -> int:
    sources, chosen = divided(words)
    settings: SoundSettings = from_plain(SoundSettings, compose("evidence_sound", chosen))
    if not sources:
        raise InputError("no run named; for example: mdsearch evidence sound recorded out=sound")
    evidence = evidence_of(gathered(sources), Roles(settings.table, (), (), ()))
    table = evidence.table
    if table is None:
        raise InputError(f"table: no run of full length is called {' or '.join(settings.table)}")
    own = architecture_texts(settings.bases)
    bases = [named_architecture(name, own) for name in settings.bases]
    networks = chosen_networks(table, bases, evidence.spread, settings.count, settings.seeds)
    networks = with_pairs(table, networks, settings.pairs)
    files = []
    for network in networks:
        origin = table.runs[network.id][0].origin
        files.append(NetworkFile(origin.replace("/", "_"), network, origin.replace("/", " ")))
    write_networks(files, settings.out)
    print(f"written: {counted(len(files), 'network')} to {settings.out}")
    if settings.pairs:
        each = [f"{one.slug} {len(pairs_among(one, networks, table.space))}" for one in PAPER_DECISIONS]
        print(f"pairs that differ in one of the paper's decisions: {', '.join(each)}")
    print("train them:")
    for search in settings.searches():
        print(f"  {search_command(table.header, search, settings.out, len(files))}")
    return 0
