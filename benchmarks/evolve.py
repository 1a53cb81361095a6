"""Are stages valued right, and is what evolves any good? `python -m benchmarks.evolve FOLDER`.

values: robust training of one network (MD with two blocks a level), the value of each of its stages, and
each network without a stage trained anew, with each seed. Rank correlations of the two, with intervals by
networks, and of the seeds among themselves; stages without which a network is the same are one, by their mean
value. Some 50 core-minutes; 20 with one seed. By multiply-accumulates, and with --prices by the milliseconds
of a list (`--help` has the command that measures it).

rivals: for each seed `experiment=snapfusion`, and samplers on its space and budget for as many training
steps; the winners are trained again with another seed. Some 20 core-minutes a seed.

Every part is a search in FOLDER, and goes on where it was left.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

import mdsearch
from analysis.evidence.resampling import bootstrap_interval, spearman
from analysis.evidence.text import with_interval
from analysis.rendering import render_table
from search.objectives import Objective
from search.runs.files import BEST_NAME, RECORD_NAME
from search.runs.header import objectives_of
from search.runs.record import History, Trial
from search.strategies.actions import CostOf, Limit, valued
from search.strategies.evolve import EvolveSettings
from space.architecture import Architecture
from space.prices.latency import PriceList
from space.prices.macs import price
from space.shared.plain import InputError
from space.subnet import Subnet

START = """
schema_version: 1
levels:
- {channels: 320, conv: full, down: [0, 0], up: [0, 0, 0]}
- {channels: 640, conv: full, down: [1, 1], up: [1, 1, 1], cross_attention: true}
- {channels: 1024, conv: separable, down: [3, 3], up: [3, 3, 3], self_attention: true, cross_attention: true}
"""
AROUND_START = (  # a space whose price list holds the start, and what is left of it without any stage
    "space=paper",
    *(f"space.levels.{level}.blocks=[1,2]" for level in ("level_1", "level_2")),
    *(f"space.levels.level_2.layers_{way}=[0,1]" for way in ("down", "up")),
    "space.levels.level_3.channels=[1024]",
    *(f"space.levels.level_3.layers_{way}=[0,1,2,3]" for way in ("down", "up")),
)
ALIKE = ("stopping=none", "confirmation=none", "recorded=false")
RIVALS = ("random", "linear")
JUDGED = 1000  # added to a seed where winners are trained again


def main() -> None:
    listed = f"The list of --prices: mdsearch latency prices {' '.join(AROUND_START)} out=prices.json"
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0], epilog=listed)
    words.add_argument("folder", type=Path)
    words.add_argument("--parts", nargs="+", default=["values", "rivals"], choices=["values", "rivals"])
    words.add_argument("--steps", type=int, default=1000, help="of robust training before stages are valued")
    words.add_argument("--round", type=int, default=250, help="steps of robust training in a round of rivals")
    words.add_argument("--length", type=int, default=500, help="steps of a training by itself")
    words.add_argument("--anew", type=int, nargs="+", default=[0, 1, 2], help="seeds of what is trained anew")
    words.add_argument("--prices", type=Path, help="a price list: values by its milliseconds too")
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of rivals")
    words.add_argument("--words", nargs="*", default=[], help="of every search: backend=inline")
    chosen = words.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    searches = Searches(chosen.folder.resolve(), (*chosen.words, f"rungs=[{chosen.length}]"))
    if "values" in chosen.parts:
        try:
            by_unit = costs(chosen.prices)
        except InputError as error:
            words.error(f"--prices: {error}")
        tried = tried_stages(searches, chosen.steps, chosen.anew, chosen.prices)
        for unit, cost_of in by_unit.items():
            rows = value_rows(tried, cost_of)
            print(f"{len(rows)} networks without a stage; CLIP and loss lost for each {unit} saved\n")
            print(render_table([], correlations(rows), "markdown"))
        if len(chosen.anew) > 1:
            print(f"\nseeds of training anew among themselves\n\n{agreement(rows, chosen.anew)}")
    if "rivals" in chosen.parts:
        print(
            render_table(
                [], list(rival_rows(searches, chosen.seeds, chosen.length, chosen.round)), "markdown"
            )
        )


@dataclass(frozen=True)
class Searches:
    folder: Path
    words: tuple[str, ...]

    def history(self, name: str, *words: str) -> History:
        """Of a search of this name: a new one, or what is left of it."""
        if (self.folder / name / RECORD_NAME).is_file():
            return mdsearch.search(f"resume={self.folder / name}").history
        return mdsearch.search(*words, *self.words, f"name={name}", f"runs_folder={self.folder}").history


# ---------------------------------------------------------------------- values against training anew


@dataclass(frozen=True)
class TriedStages:
    """`network`, what is left of it without each stage (by the stage), scores that all of these inherit, and
    trainings of the network and of each of these by themselves: one mapping by id a seed."""

    network: Subnet
    children: Mapping[str, Architecture]
    history: History
    anew: Mapping[int, Mapping[str, Trial]]


def costs(prices: Path | None) -> dict[str, CostOf]:
    """What a network costs, by its unit. Raises InputError."""
    found: dict[str, CostOf] = {"GMAC": lambda network: price(network).gmacs}
    return found | ({"ms": PriceList.load(prices).milliseconds} if prices else {})


def tried_stages(
    searches: Searches, steps: int, seeds: Sequence[int], prices: Path | None = None
) -> TriedStages:
    """The search values stages by the list, if there is one."""
    start = Architecture.from_yaml(START)
    file = _written(searches.folder / "start.yaml", start)
    network = Subnet.of(start)
    robust = ("experiment=snapfusion", *AROUND_START, "budget=none", f"strategy.start={file}", "trials=1")
    once = ("strategy.rounds=1", f"strategy.steps={steps}", "strategy.actions=1", "confirmation=none")
    just_below = {unit: f"{0.999 * cost_of(start):.4f}" for unit, cost_of in costs(prices).items()}
    bound = [f"budget.gmacs={just_below['GMAC']}"]
    if prices:
        bound = [f"budget.prices={prices.resolve()}", f"budget.latency_ms={just_below['ms']}"]
        bound += ["strategy.cost=latency_ms", "budget.gmacs=null"]
    history = searches.history("values", *robust, *once, *bound)
    _refuse_unfinished(searches.folder / "values", len(history.evolved), 1)
    children = {stage: network.without(stage).architecture for stage in network.stages}
    networks = list({child.id: child for child in children.values()}.values())
    anew = {seed: trained(searches, f"anew-{seed}", [start, *networks], seed) for seed in seeds}
    return TriedStages(network, children, history, anew)


def value_rows(tried: TriedStages, cost_of: CostOf) -> list[dict[str, float]]:
    """For each network without a stage, its value by CLIP and by the loss: of shared weights, and trained
    anew. Networks that cost no less have none."""
    start, (event,) = tried.network.architecture, tried.history.evolved
    limit = Limit(cost_of, cost_of(start), lambda a: True)
    rows: dict[str, dict[str, float]] = defaultdict(dict)
    for name, objective in measures(tried.history).items():
        shared = defaultdict(list)
        for row in valued(tried.network, event["inherited"], objective, limit):
            if row.value is not None:
                shared[tried.children[row.stage].id].append(row.value)
        for key, child in {child.id: child for child in tried.children.values()}.items():
            saved = limit.at_most - cost_of(child)
            lost = {
                seed: objective.gain(_last(of[start.id], objective), over=_last(of[key], objective)) / saved
                if saved > 0
                else float("nan")
                for seed, of in tried.anew.items()
            }
            rows[key][f"{name} shared"] = float(np.mean(shared[key])) if shared[key] else float("nan")
            rows[key][f"{name} anew"] = float(np.mean(list(lost.values())))
            rows[key] |= {f"{name} anew, seed {seed}": value for seed, value in lost.items()}
    return list(rows.values())


def measures(history: History) -> dict[str, Objective]:
    objectives = objectives_of(history)
    kinds = {"CLIP": EvolveSettings(), "loss": EvolveSettings(rank_by="validation_loss")}
    return {name: settings.objective(objectives) for name, settings in kinds.items()}


def trained(
    searches: Searches, name: str, networks: Sequence[Architecture], seed: int
) -> Mapping[str, Trial]:
    """Networks by id, each trained by itself."""
    files = [_written(searches.folder / "networks" / f"{network.id}.yaml", network) for network in networks]
    chosen = (f"enqueue=[{','.join(files)}]", f"trials={len(files)}", "budget=none", f"seed={seed}")
    history = searches.history(name, *ALIKE, *chosen)
    found = {trial.architecture.id: trial for trial in history.trials if trial.state == "complete"}
    _refuse_unfinished(searches.folder / name, len(found), len(networks))
    return found


def _refuse_unfinished(run: Path, ended: int, of: int) -> None:
    """Raises SystemExit where a search was interrupted, or a training failed."""
    if ended < of:
        sys.exit(f"{run}: {ended} of {of} ended; the same command goes on, or tries what failed again")


def correlations(rows: Sequence[Mapping[str, float]]) -> list[dict[str, str]]:
    found = []
    for shared in ("CLIP shared", "loss shared"):
        cells = {"value by": shared}
        for anew in ("CLIP anew", "loss anew"):
            text, networks = _rank_correlation(rows, shared, anew)
            cells[f"{anew} ({networks} networks)"] = text
        found.append(cells)
    return found


def agreement(rows: Sequence[Mapping[str, float]], seeds: Sequence[int]) -> str:
    """What no value can foretell better, as Markdown."""
    shown = [
        {"seeds": f"{one}, {other}"}
        | {
            name: _rank_correlation(rows, f"{name} anew, seed {one}", f"{name} anew, seed {other}")[0]
            for name in ("CLIP", "loss")
        }
        for one, other in combinations(seeds, 2)
    ]
    return render_table([], shown, "markdown")


def _rank_correlation(rows: Sequence[Mapping[str, float]], one: str, other: str) -> tuple[str, int]:
    """With its interval over networks, of which so many have both."""
    pairs = np.array([[row[one], row[other]] for row in rows])
    sound = pairs[np.isfinite(pairs).all(axis=1)]
    return with_interval(bootstrap_interval(sound, spearman)), len(sound)


def _last(trial: Trial, objective: Objective) -> float:
    score = trial.score(objective.name)
    assert score is not None
    return score


def _written(file: Path, network: Architecture) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(network.to_yaml(), encoding="utf-8")
    return str(file)


# ---------------------------------------------------------------------- against samplers


def rival_rows(searches: Searches, seeds: Sequence[int], length: int, steps: int) -> Iterator[dict[str, str]]:
    for seed in seeds:
        histories = dict(rivals(searches, seed, length, steps))
        best = {name: searches.folder / f"{name}-{seed}" / BEST_NAME for name in histories}
        winners = {name: Architecture.load(file) for name, file in best.items() if file.is_file()}
        networks = list({network.id: network for network in winners.values()}.values())
        again = trained(searches, f"judged-{seed}", networks, JUDGED + seed)
        for name, history in histories.items():
            row = {"seed": str(seed), "strategy": name, "training steps": str(_steps(history))}
            row["worker minutes"] = f"{sum(t.seconds for t in history.by_key.values()) / 60:.1f}"
            judged = again.get(winners[name].id) if name in winners else None
            row["GMACs"] = f"{judged.cost.gmacs:.1f}" if judged else "-"
            for objective in objectives_of(history):
                score = judged.score(objective.name) if judged else None
                row[f"{objective.label}, trained again"] = (
                    "-" if score is None else objective.value_text(score)
                )
            yield row


def rivals(searches: Searches, seed: int, length: int, steps: int) -> Iterator[tuple[str, History]]:
    """Evolution with one trial, and samplers with as many training steps in trials."""
    evolve = ("experiment=snapfusion", "trials=1", "confirmation=none", f"strategy.steps={steps}")
    history = searches.history(f"evolve-{seed}", *evolve, f"seed={seed}")
    yield "evolve", history
    trials = max(1, round(_steps(history) / length))
    alike = ("space=paper", "space.levels.level_3.channels=[1024]", "budget.gmacs=170", *ALIKE)
    for sampler in RIVALS:
        own = (f"sampler={sampler}", f"trials={trials}", f"seed={seed}")
        yield sampler, searches.history(f"{sampler}-{seed}", *alike, *own)


def _steps(history: History) -> int:
    return sum(trial.last_step for trial in history.by_key.values())


if __name__ == "__main__":
    main()
