"""Recorded searches in the world of `worlds.py`: as run folders, and as a table without any folder."""

import random
from unittest import mock

import yaml

from analysis.replay.table import RecordedRun, RecordedTable
from conf.compose import compose
from search.objectives import FID_AND_CLIP, objectives_to_plain
from search.preparation import search_strategy
from search.runs.header import noise_of_rule
from search.runs.record import Record, Rung
from search.settings import settings_from_plain
from search.statistics.pareto import Point
from space.choices import UniformSuggestions
from space.prices.macs import price
from space.proxy import Proxy
from space.shared.plain import to_plain
from tests.search.worlds import MD_BUDGET, NOISE, RUNGS, START, drive, md_space, preset, scores_at

AT = ", ".join(f"{{step: {step}, fid_relative: 0.05, clip: 0.02}}" for step in RUNGS)
WORDS = ("rungs=[100,200,400]", f"noise.rungs=[{AT}]", "noise.measured_under=[]")


def write_run(folder, *words, noise=0.0, most_rungs=None):
    """A run folder of a search in the world of `worlds.py`, with a config that its settings load from."""
    settings = settings_from_plain(compose("search", [f"name={folder.name}", *words], before=WORDS))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(to_plain(settings)))
    chance = random.Random(0)

    def noisy(architecture, step):
        point = scores_at(architecture, step)
        return Point.of(point.fid * chance.lognormvariate(0, noise), point.clip + chance.gauss(0, noise))

    with mock.patch("os.fsync"):
        record = Record(folder)
        if not record.history.header:
            plain = to_plain(settings)
            names = ("rungs", "budget", "space", "proxy", "data", "training", "sampler", "noise")
            header = {name: plain[name] for name in names if name in plain} | {"overrides": list(words)}
            header["objectives"] = objectives_to_plain(settings.objectives)
            record.append("run", name=folder.name, seed=settings.seed, trials=settings.trials, **header)
            record.append("start", scores=START, protocol={"id": "test"})
        record.append("session", trials=settings.trials, backend="inline")
        search = search_strategy(settings, record, noise_of_rule(record.history))
        drive(search, noisy, most_rungs=most_rungs)
        record.close()
    return folder


def table_of(count, seed=0, **changes):
    """Feasible random networks, one or more recorded runs each, without any folder."""
    space, chance, runs = md_space(), random.Random(seed), {}
    while len(runs) < count:
        architecture = space.sample(UniformSuggestions(chance))
        if MD_BUDGET.excess(price(architecture)):
            continue
        rungs = []
        for before, step in zip((0, *RUNGS), RUNGS, strict=False):
            point = scores_at(architecture, step)
            scores = {
                "fid_embedded_clip": point.fid * chance.lognormvariate(0, 0.02),
                "clip_embedded": point.clip,
            }
            rungs.append(Rung(step, scores, {"training": float(step - before), "sampling": 2.0}, "continue"))
        runs[architecture.id] = (RecordedRun(architecture, 0, tuple(rungs), "made up"),)
    header = {
        "rungs": list(RUNGS),
        "objectives": objectives_to_plain(FID_AND_CLIP),
        "space": to_plain(space),
        "budget": to_plain(MD_BUDGET),
        "proxy": to_plain(preset("proxy", "embedded", Proxy)),
        "noise": to_plain(NOISE),
    }
    return RecordedTable(header, START, runs, **changes)
