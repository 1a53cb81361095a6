"""`mdsearch evidence again runs/table out=first`: recorded networks, to train them again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analysis.evidence.network_files import NetworkFile, search_command, write_networks
from analysis.evidence.sources import all_trials
from conf.compose import compose
from conf.words import divided
from search.formats import counted
from search.runs.bundle import histories_of
from space.candidates import as_unet
from space.shared.command_lines import setting_word
from space.shared.plain import InputError, from_plain


@dataclass(frozen=True)
class AgainSettings:
    """What conf/evidence_again.yaml holds."""

    out: str
    networks: int
    name: str

    def __post_init__(self) -> None:
        if self.networks < 1:
            raise InputError(f"networks: {self.networks} is too few; allowed: 1 or more")


def main(words: list[str]) -> int:
    sources, chosen = divided(words)
    settings: AgainSettings = from_plain(AgainSettings, compose("evidence_again", chosen))
    if not sources:
        raise InputError("no run named; for example: mdsearch evidence again runs/table out=first")
    histories = histories_of(sources)
    files: dict[str, NetworkFile] = {}
    for name, history in histories.items():
        for trial in all_trials([history]):
            if trial.state == "complete":
                network, run = as_unet(trial.architecture), Path(name).name
                files.setdefault(
                    network.id, NetworkFile(f"{run}_{trial.number}", network, f"{run} {trial.number}")
                )
    first = list(files.values())[: settings.networks]
    if len(first) < settings.networks:
        raise InputError(
            f"networks: {settings.networks} are more than {counted(len(first), 'complete network')} of "
            f"{', '.join(sources)}"
        )
    write_networks(first, settings.out)
    header, new = next(iter(histories.values())).header, [setting_word("name", settings.name)]
    print(f"written: {counted(len(first), 'network')} to {settings.out}")
    print(f"train them: {search_command(header, new, settings.out, len(first))}")
    return 0
