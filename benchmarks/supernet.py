"""How well do inherited scores rank networks, and at what cost? `python -m benchmarks.supernet FOLDER`.

Trains supernets of the default search, one of each length (resumable: FOLDER holds their states), and has
each recorded network of the sources score with the weights that it inherits. Against the recorded stand-alone
scores: rank correlations, of all networks and of the sound ones; and on replay the steps until one of the
best 5 % is complete, without the shared training and with it.
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
from analysis.evidence.sources import mean_run_seconds
from analysis.evidence.text import with_interval
from analysis.rendering import render_table
from analysis.replay.table import RecordedTable, table_of
from analysis.replay.tries import ReplayStrategy, feasible
from conf.compose import compose
from search.confirmation.confirmation import ConfirmationSettings
from search.confirmation.repeats import estimated, refined
from search.named import named_architecture
from search.runs.bundle import histories_of
from search.samplers.base import Observation, Proposal
from search.samplers.factory import make_sampler
from search.samplers.linear import LinearSettings
from search.settings import SearchSettings, settings_from_plain
from search.strategies.supernet import SupernetSettings
from space.architecture import Architecture
from space.candidates import Candidate
from space.paths import SpacePaths
from space.search_space import AnySpace
from space.shared.plain import InputError
from training.checkpoints import Checkpoints
from training.data.factory import load_data
from training.supernet import SupernetTrainer

SOURCES = [f"recorded:{name}" for name in ("table", "table-2", "table-3", "pairs")]
SOUND_FID = 500.0  # at the end: below it a network has learnt more than grey
STEPS_KEPT = 125  # between two saved states
Losses = dict[str, float]  # by architecture id


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("folder", type=Path)
    words.add_argument("--sources", nargs="+", default=SOURCES)
    words.add_argument("--steps", type=int, nargs="+", default=[125, 250, 500, 1000])
    words.add_argument("--words", nargs="*", default=[], help="of the search: strategy.decay=none")
    words.add_argument("--halves", type=int, default=20, help="of the table, for the replay")
    words.add_argument("--seeds", type=int, default=2, help="of each half")
    chosen = words.parse_args()
    torch.set_num_threads(1)
    try:
        histories = histories_of(chosen.sources)
        table = table_of(histories)
        settings = settings_from_plain(compose("search", ["strategy=supernet", *chosen.words]))
    except InputError as error:
        words.error(str(error))
    networks, full = feasible(table), table.rungs[-1]
    losses = {
        steps: inherited_losses(chosen.folder / str(steps), networks, settings, steps)
        for steps in chosen.steps
    }
    print(f"{len(networks)} networks; a trial: {full} steps, {mean_run_seconds(table):.0f} s as recorded\n")
    print(render_table([], correlation_rows(losses, table), "markdown"))
    noise = refined(table.noise, estimated(list(histories.values()), table.noise))
    references = [named_architecture(name) for name in ConfirmationSettings().references]
    known = teachers(histories, references, table.space)
    draws = list(halves(table, known, "all", chosen.halves, chosen.seeds))
    compared = tuple(strategies(losses, table))
    taught = frozenset(each.name for each in compared if TAUGHT in each.name)
    found = replayed_all(draws, Replaying(compared, taught, noise, (4.0,)), 1, Console())
    print(render_table([], replay_rows(found, full), "markdown"))


# ---------------------------------------------------------------------- inherited scores


def inherited_losses(
    folder: Path, networks: Sequence[Architecture], settings: SearchSettings, steps: int
) -> Losses:
    """Of each network, after a shared training of so many steps; kept in the folder."""
    scores, strategy = folder / "scores.json", settings.strategy
    known: Losses = json.loads(scores.read_text()) if scores.is_file() else {}
    if known.keys() >= {network.id for network in networks}:
        return known
    assert isinstance(strategy, SupernetSettings)
    folder.mkdir(parents=True, exist_ok=True)
    training = replace(
        settings.training,
        steps=steps,
        decay=strategy.decay,
        validation_images=strategy.validation_images,
    )
    data = load_data(settings.data)
    paths = SpacePaths(settings.space, settings.budget)
    trainer = SupernetTrainer(paths, settings.proxy, data, training, seed=settings.seed)
    states = Checkpoints(folder)
    if (state := states.latest()) is not None:
        trainer.restore(state)
    began = time.process_time()
    while trainer.step < steps:
        trainer.train_to(min(steps, trainer.step + STEPS_KEPT))
        states.write(trainer.state())
    states.close()
    trained = time.process_time()
    for network in networks:
        trainer.inherit(network)
        known[network.id] = trainer.validation_loss()
    scores.write_text(json.dumps(known))
    seconds = trained - began, time.process_time() - trained
    print(
        f"{steps} steps: {seconds[0]:.0f} s to train, {seconds[1]:.0f} s for {len(networks)} scores",
        flush=True,
    )
    return known


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

TAUGHT, UNTAUGHT = "linear, taught by others", "linear alone"


@dataclass(frozen=True)
class InheritedRanks:
    """A sampler that tries recorded networks in the order of what they inherited: alone, or by the mean of
    its ranks and the linear sampler's."""

    losses: Losses
    with_linear: bool = False
    name: str = "inherited"

    def make(self, seed: int) -> InheritedRanks:
        return replace(self, name=f"inherited {seed}")

    def proposals(self, space: AnySpace, past: Sequence[Observation], number: int) -> Iterator[Proposal]:
        raise AssertionError("a replay asks for ranks")

    def rank(
        self, space: AnySpace, candidates: Sequence[Candidate], past: Sequence[Observation], number: int
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
    """Random and linear as they are; then inherited ranks, alone and beside linear ones. None stops early."""
    random = replay_strategy(BASE, compose("search", ["sampler=random", "stopping=none"]), table)
    linear = replay_strategy(TAUGHT, compose("search", ["sampler=linear", "stopping=none"]), table)
    yield from (random, replace(linear, name=UNTAUGHT), linear)
    for steps, inherited in sorted(losses.items()):
        name = f"{steps} shared steps"
        yield replace(linear, name=name, sampler=InheritedRanks(inherited))
        for beside in (UNTAUGHT, TAUGHT):
            yield replace(linear, name=f"{name}, {beside}", sampler=InheritedRanks(inherited, True))


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
