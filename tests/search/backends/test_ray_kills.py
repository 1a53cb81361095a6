"""A hundred workers of a real Ray killed at random moments, on the way to 150 rungs of four trials: none is
lost, though each sees more deaths than any limit allows in a row."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from search.backends.cluster import ClusterSettings
from search.backends.connection import RayConnection
from tests.search.backends.light import LightActor
from tests.search.killing import PATIENT, workers_of
from tests.search.worlds import make_search

TRIALS, KILLS, RUNGS = 4, 100, tuple(range(10, 1510, 10))
CLUSTER = ClusterSettings(workers=TRIALS, dashboard=False, max_worker_deaths=9)

pytestmark = PATIENT


class Killer(threading.Thread):
    """Kills a worker, one of those that train or start, after none to three events more and a moment."""

    def __init__(self, seed: int, events: list[object]) -> None:
        super().__init__(daemon=True)
        self.chance, self.events, self.killed, self.over = random.Random(seed), events, 0, threading.Event()

    def run(self) -> None:
        while self.killed < KILLS and not self.over.is_set():
            least = len(self.events) + self.chance.randrange(4)
            while len(self.events) < least and not self.over.wait(0.02):
                pass
            time.sleep(self.chance.uniform(0, 1))
            if workers := workers_of(psutil.Process()):
                self.chance.choice(workers).kill()
                self.killed += 1


@pytest.mark.slow  # a hundred workers start anew
@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_killed_workers_lose_no_trial(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    search = make_search(tmp_path, trials=TRIALS, rungs=RUNGS)
    events: list[object] = []
    search.record.listeners.append(lambda event, history: events.append(event))
    killer = Killer(seed, events)
    with RayConnection() as ray:
        ray.use(CLUSTER, said.append)
        from search.backends import ray_tune

        with_resources = ray_tune.tune.with_resources
        monkeypatch.setattr(
            ray_tune.tune, "with_resources", lambda actor, needed: with_resources(LightActor, needed)
        )
        killer.start()
        ray_tune.run_on_ray(search, SimpleNamespace(run_folder=str(tmp_path)), CLUSTER, said.append)  # type: ignore[arg-type]
        killer.over.set()
        killer.join()
    deaths = [sum(line.startswith(f"trial {n}: its worker died") for line in said) for n in range(TRIALS)]
    print(f"seed {seed}: {killer.killed} workers killed; deaths of each trial: {deaths}")
    trials = search.history.trials
    assert [trial.state for trial in trials] == ["complete"] * TRIALS
    assert all([rung.step for rung in trial.rungs] == list(RUNGS) for trial in trials)
    for trial in trials:
        work = [int(step) for step in (tmp_path / f"{trial.key}.work").read_text().split()]
        assert work == sorted(set(work)), "a kept step was trained again"
    assert killer.killed == KILLS and max(deaths) > CLUSTER.max_worker_deaths
