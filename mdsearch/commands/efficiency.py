"""`mdsearch efficiency recorded:table`: how soon a strategy completes a good network, on recorded runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from analysis.efficiency.draws import Draw, halves, shares, teachers
from analysis.efficiency.figures import BASE, DEFAULT
from analysis.efficiency.replays import (
    EfficiencySettings,
    Replaying,
    efficiency_text,
    replay_strategy,
    replayed_all,
    write_efficiency,
)
from analysis.replay.table import RecordedTable, table_of
from conf.compose import compose
from conf.words import as_lists, divided, gathered_words
from search.confirmation.confirmation import ConfirmationSettings
from search.confirmation.repeats import estimated, refined
from search.named import named_architecture
from search.runs.bundle import histories_of
from search.runs.record import History
from space.shared.command_lines import typed_words
from space.shared.console import command_console
from space.shared.plain import InputError, from_plain

COMPARED_STRATEGIES: dict[str, Sequence[str]] = {  # by the words of the search that each stands for
    BASE: ("sampler=random", "stopping=none", "recorded=false"),
    "random, ASHA": ("sampler=random", "stopping=asha", "recorded=false"),
    "random, our rule": ("sampler=random", "recorded=false"),
    "TPE, no stopping": ("sampler=tpe", "stopping=none", "recorded=false"),
    "NSGA-II, no stopping": ("sampler=nsga2", "stopping=none", "recorded=false"),
    "TPE, no stopping, taught": ("sampler=tpe", "stopping=none"),
    "our default, not taught, no stopping": ("stopping=none", "recorded=false"),
    "our default, not taught": ("recorded=false",),
    "our default, no stopping": ("stopping=none",),
    DEFAULT: (),
}


def main(words: list[str]) -> int:
    sources, chosen = divided(words)
    chosen = gathered_words(as_lists(chosen, ["budgets"]), "also")
    settings: EfficiencySettings = from_plain(EfficiencySettings, compose("efficiency", chosen))
    if not sources:
        raise InputError("no run named; for example: mdsearch efficiency recorded:table")
    words_of = COMPARED_STRATEGIES | {more: typed_words(more) for more in settings.also}
    plain = {name: compose("search", words) for name, words in words_of.items()}
    histories = histories_of(sources)
    table = table_of(histories)
    # a search of today would go by what is stated today, not by what was when the table was begun
    table = replace(table, header=table.header | {"noise": plain[DEFAULT]["noise"]})
    noise = refined(table.noise, estimated(list(histories.values()), table.noise))
    strategies = {name: replay_strategy(name, chosen, table) for name, chosen in plain.items()}
    taught = frozenset(name for name, chosen in plain.items() if chosen["recorded"])
    replaying = Replaying(tuple(strategies.values()), taught, noise, settings.budgets)
    draws = _draws(table, histories, settings)
    found = replayed_all(draws, replaying, settings.processes, command_console())
    text = efficiency_text(found, draws, replaying, strategies[DEFAULT].rungs or table.rungs, settings)
    print(text)
    if settings.out is not None:
        folder = Path(settings.out)
        try:
            write_efficiency(folder, text, found, draws, settings)
        except OSError as error:
            raise InputError(f"out: {folder} cannot be written: {error.strerror}") from None
    return 0


def _draws(
    table: RecordedTable, histories: Mapping[str, History], settings: EfficiencySettings
) -> list[Draw]:
    references = [named_architecture(name) for name in ConfirmationSettings().references]
    known = teachers(histories, references, table.space)
    if settings.halves is None:
        return list(shares(table, known, settings.half, settings.share, settings.seeds))
    return list(halves(table, known, settings.half, settings.halves, settings.seeds))
