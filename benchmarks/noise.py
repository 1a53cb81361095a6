"""Seed-to-seed noise of the default proxy: `python -m benchmarks.noise [architecture=md,md_lite] [seeds=4]`.

Trains each architecture under the default search's proxy, training and evaluation with several seeds, and
prints the scores at each rung, their mean and their standard deviation: of the FID as a share of the mean;
pooled, of its logarithm, with 95 % intervals.
The default's figures stand in conf/noise/embedded.yaml. About a minute a run on one core.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import fmean, stdev

from conf.compose import compose
from search.plan import named_architecture
from search.runs.scores import all_of
from search.scoring.evaluator import prepare_evaluator
from search.settings import SearchSettings, settings_from_plain
from search.statistics.pareto import Point
from search.statistics.variance import within
from search.strategy import Job
from search.trial import TrialSettings, TrialWorker
from space.shared.retries import Waiting
from training.data.factory import load_data


def curves(settings: SearchSettings, names: list[str], seeds: int) -> dict[str, list[list[Point]]]:
    """Name -> for each seed the scores at each rung."""
    import torch

    torch.set_num_threads(1)
    found: dict[str, list[list[Point]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare_evaluator(settings, folder / "evaluator", load_data(settings.data))
        worker = TrialWorker(
            TrialSettings(
                run_folder=scratch,
                evaluator_folder=str(folder / "evaluator"),
                proxy=settings.proxy,
                data=settings.data,
                training=settings.training,
                compute=settings.compute,
                weights=settings.weights,
            )
        )
        for name in names:
            for seed in range(seeds):
                job = Job(f"{name}-{seed}", "confirm", name, named_architecture(name), seed, settings.rungs)
                points = [
                    all_of(report.scores, settings.objectives)
                    for report in worker.run(job)
                    if not isinstance(report, Waiting)
                ]
                print(name, seed, *(f"{point.fid:.0f}/{point.clip:.3f}" for point in points), flush=True)
                found.setdefault(name, []).append(points)
    return found


def main(words: list[str]) -> None:
    given = dict(word.split("=", 1) for word in words)
    names = given.get("architecture", "md,md_lite").split(",")
    settings = settings_from_plain(compose("search", []))
    found = curves(settings, names, int(given.get("seeds", "4")))
    print(f"\n{'architecture':14} {'step':>5} {'FID':>8} {'deviation':>10} {'CLIP':>7} {'deviation':>10}")
    for name, runs in found.items():
        for index, step in enumerate(settings.rungs):
            fid, clip = [run[index].fid for run in runs], [run[index].clip for run in runs]
            print(
                f"{name:14} {step:5d} {fmean(fid):8.0f} {stdev(fid) / fmean(fid):10.1%} "
                f"{fmean(clip):7.3f} {stdev(clip):10.3f}"
            )
    for index, step in enumerate(settings.rungs):
        fid_noise = within([[run[index].even[0] for run in runs] for runs in found.values()])
        clip_noise = within([[run[index].clip for run in runs] for runs in found.values()])
        intervals = [noise.deviation_interval() for noise in (fid_noise, clip_noise)]
        print(
            f"{'pooled':14} {step:5d} {fid_noise.deviation:19.1%} {clip_noise.deviation:18.3f}   between "
            + ", ".join(f"{low:.3f} and {high:.3f}" for low, high in intervals)
        )


if __name__ == "__main__":
    main(sys.argv[1:])
