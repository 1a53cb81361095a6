"""How well do inherited scores rank networks, and at what cost? `python -m benchmarks.supernet FOLDER`.

Trains a supernet of the default search (resumable: FOLDER holds its states), and at every so many steps has
each recorded network of the sources score with the weights that it inherits. Against the recorded
stand-alone scores: rank correlations, of all networks and of the sound ones; and on replay the steps until
one of the best 5 % is complete, the shared training counted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from analysis.efficiency.draws import halves, teachers
from analysis.efficiency.figures import BASE, StrategyFigures, figure, mean, ratio_of_means
from analysis.efficiency.replays import Replaying, replay_strategy, replayed_all
from analysis.evidence.metrics import Metric, metrics_of
from analysis.evidence.resampling import bootstrap_interval, spearman
from analysis.evidence.text import with_interval
from analysis.rendering import render_table
from analysis.replay.table import RecordedTable, table_of
from analysis.replay.tries import ReplayStrategy, feasible
from conf.compose import compose
from search.confirmation.confirmation import ConfirmationSettings
from search.confirmation.repeats import estimated, refined
from search.plan import named_architecture
from search.runs.bundle import histories_of
from search.samplers.base import Observation, Proposal
from search.samplers.factory import make_sampler
from search.samplers.linear import LinearSettings
from search.settings import settings_from_plain
from space.architecture import Architecture
from space.choices import Space
from training.data.factory import load_data
from training.supernet import SupernetTrainer

SOURCES = [f"recorded:{name}" for name in ("table", "table-2", "table-3", "pairs")]
SOUND_FID = 500.0  # at the end: below it a network has learnt more than grey
SCORES_NAME = "scores.json"
Losses = dict[str, float]  # by architecture id


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("folder", type=Path)
    words.add_argument("sources", nargs="*", default=SOURCES)
    words.add_argument("--steps", type=int, default=4000)
    words.add_argument("--every", type=int, default=500)
    words.add_argument("--images", type=int, default=64, help="held-out images of an inherited score")
    words.add_argument(
        "--words", nargs="*", default=[], help="of the search that it serves: training.decay=none"
    )
    words.add_argument("--halves", type=int, default=20, help="of the table, for the replay")
    chosen = words.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    histories = histories_of(chosen.sources)
    table = table_of(histories)
    networks = feasible(table)
    losses = scored(chosen.folder, networks, chosen.words, chosen.steps, chosen.every, chosen.images)
    full = table.rungs[-1]
    print(f"{len(networks)} networks; steps of shared training, in full lengths of {full}\n")
    print(render_table([], correlation_rows(losses, table), "markdown"))
    noise = refined(table.noise, estimated(list(histories.values()), table.noise))
    known = teachers(
        histories, [named_architecture(n) for n in ConfirmationSettings().references], table.space
    )
    draws = list(halves(table, known, "all", chosen.halves, 5))
    replaying = Replaying(tuple(strategies(losses, table)), frozenset({TAUGHT}), noise, (4.0,))
    found = replayed_all(draws, replaying, 1, Console())
    print(render_table([], replay_rows(found, full), "markdown"))


# ---------------------------------------------------------------------- inherited scores


def scored(
    folder: Path,
    networks: Sequence[Architecture],
    words: Sequence[str],
    steps: int,
    every: int,
    images: int,
) -> dict[int, Losses]:
    """The inherited validation loss of each network after each so many steps, kept in the folder."""
    settings = settings_from_plain(compose("search", list(words)))
    scoring = replace(settings.training, steps=steps, validation_images=images)
    data, file = load_data(settings.data), folder / SCORES_NAME
    known: dict[str, Losses] = json.loads(file.read_text()) if file.is_file() else {}
    trainer = SupernetTrainer(
        settings.space, settings.budget, settings.proxy, data, scoring, seed=settings.seed
    )
    for step in range(every, steps + 1, every):
        if set(known.get(str(step), {})) >= {network.id for network in networks}:
            continue
        began = time.process_time()
        _train_to(trainer, folder, step)
        trained = time.process_time()
        known[str(step)] = dict(_inherited(trainer, networks))
        file.write_text(json.dumps(known))
        print(
            f"step {step}: {trained - began:.0f} s of training, {time.process_time() - trained:.0f} s for "
            f"{len(networks)} scores",
            flush=True,
        )
    return {int(step): losses for step, losses in known.items() if int(step) <= steps}


def _train_to(trainer: SupernetTrainer, folder: Path, step: int) -> None:
    """From the latest state on the way there."""
    states = {int(file.stem.partition("-")[2]): file for file in folder.glob("state-*.pt")}
    before = max((at for at in states if trainer.step < at <= step), default=None)
    if before is not None:
        trainer.load_state(states[before])
    if trainer.step < step:
        trainer.train_to(step)
        trainer.save_state(folder / f"state-{step}.pt")


def _inherited(trainer: SupernetTrainer, networks: Sequence[Architecture]) -> Iterator[tuple[str, float]]:
    for network in networks:
        trainer.inherit(network)
        yield network.id, trainer.validation_loss()


# ---------------------------------------------------------------------- rank correlations


def correlation_rows(losses: Mapping[int, Losses], table: RecordedTable) -> list[dict[str, str]]:
    """A row a number of steps: Spearman's correlation with each stand-alone score, intervals by networks."""
    ends = {metric: _ends(table, metric) for metric in metrics_of(table)[:3]}
    fid = metrics_of(table)[0]
    sound = {network for network, good in ends[fid].items() if good > fid.goodness(SOUND_FID)}
    rows = []
    for step, inherited in sorted(losses.items()):
        row = {"shared steps": f"{step} ({step / table.rungs[-1]:g})"}
        for name, kept in (("all", set(inherited)), ("sound", sound & set(inherited))):
            for metric, good in ends.items():
                rows_of = np.array([[-np.log(inherited[key]), good[key]] for key in sorted(kept)])
                row[f"{metric.name}, {name} ({len(kept)})"] = with_interval(
                    bootstrap_interval(rows_of, spearman)
                )
        rows.append(row)
    return rows


def _ends(table: RecordedTable, metric: Metric) -> dict[str, float]:
    """The mean goodness of a network's runs at the end."""
    return {
        key: float(np.mean([metric.goodness(run.rungs[-1].scores[metric.score]) for run in runs]))
        for key, runs in table.runs.items()
    }


# ---------------------------------------------------------------------- replay

TAUGHT = "linear, taught"


@dataclass(frozen=True)
class InheritedRanks:
    """A sampler that tries recorded networks in the order of what they inherited: alone, or by the mean of
    its ranks and the linear sampler's."""

    losses: Losses
    with_linear: bool = False
    name: str = "inherited"

    def make(self, seed: int) -> InheritedRanks:
        return replace(self, name=f"inherited {seed}")

    def proposals(self, space: Space, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        raise AssertionError("a replay asks for ranks")

    def rank(
        self, space: Space, candidates: Sequence[Architecture], past: Sequence[Observation], number: int
    ) -> list[int]:
        losses = [self.losses[candidate.id] for candidate in candidates]
        places = np.argsort(np.argsort(losses, kind="stable"))
        if self.with_linear:
            seed = int(self.name.rpartition(" ")[2])
            linear = make_sampler(LinearSettings(), seed)
            order = linear.rank(space, candidates, past, number)  # type: ignore[attr-defined]
            places = places + np.argsort(order)
        return [int(place) for place in np.argsort(places, kind="stable")]


def strategies(losses: Mapping[int, Losses], table: RecordedTable) -> Iterator[ReplayStrategy]:
    """Random and linear as they are; then inherited ranks of each number of steps. None stops early."""
    for name, words in (
        (BASE, ("sampler=random", "stopping=none")),
        ("linear, untaught", ("stopping=none",)),
        (TAUGHT, ("stopping=none",)),
    ):
        yield replay_strategy(name, compose("search", list(words)), table)
    none = replay_strategy("", compose("search", ["stopping=none"]), table)
    for step, inherited in sorted(losses.items()):
        for with_linear in (False, True):
            beside = " + linear, untaught" if with_linear else ""
            yield replace(
                none, name=f"{step} shared steps{beside}", sampler=InheritedRanks(inherited, with_linear)
            )


def replay_rows(found: Mapping[str, StrategyFigures], full: int) -> list[dict[str, str]]:
    """Steps to the top in full lengths, without and with the shared training."""
    rows, base = [], found[BASE]
    for name, one in found.items():
        shared = int(name.split()[0]) / full if "shared" in name else 0.0
        alone, of_base = one.by_draw(one.steps), base.by_draw(base.steps)
        whole = [steps + shared for steps in alone]
        rows.append(
            {
                "strategy": name,
                "steps to the top": with_interval(figure(mean, alone), 1),
                "with the shared training": with_interval(figure(mean, whole), 1),
                "times fewer than random": with_interval(figure(ratio_of_means, of_base, whole)),
            }
        )
    return rows


if __name__ == "__main__":
    main()
