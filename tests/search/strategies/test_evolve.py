"""A network sheds and copies stages: what is recorded, and going on after a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.findings import evolution_in_words
from search import trial as trials
from search.display import round_in_words
from search.objectives import FID_AND_CLIP, VALIDATION_LOSS
from search.runs.files import SHARED_KEY
from search.runs.record import History, MemoryRecord, Record, read_history
from search.samplers.random import RandomSampler
from search.stopping.none import NoStopping
from search.strategies.base import SearchTask
from search.strategies.evolve import EvolveSettings
from search.strategy import Job, Report, Strategy
from search.toy import RUNGS, SPACE, decisions
from search.trial import TrialSettings, TrialWorker
from space.budget import Budget
from space.corners import corners
from space.paths import RobustPaths
from space.prices.macs import price
from space.proxy import Proxy
from space.subnet import Subnet
from tests.search.strategies.driving import drive as driven
from tests.search.strategies.test_supernet import Brightness
from tests.space.price_lists import by_widths, made_list
from tests.training.objectives.test_supernet import PROXY as TINY_PROXY
from tests.training.objectives.test_supernet import SPACE as TINY_SPACE
from training.checkpoints import Checkpoints
from training.data.scenes import ScenesSettings
from training.files import remove_states
from training.settings import TrainingSettings

FID, CLIP = FID_AND_CLIP
LARGEST = corners(SPACE)[0]  # two levels, each side a stack of layers
COST = price(LARGEST).gmacs
SETTINGS = EvolveSettings(cost="gmacs", rounds=4, steps=10, actions=2)


def worth(network: Subnet) -> dict[str, float]:
    """What is outside or on the way up is worth more, a copy as much as a half."""
    total = 0.0
    for number, stage in enumerate(network.stages):
        best = stage.startswith(("up", "down-1"))
        total += (0.5 if "+" in stage else 1.0) * (0.02 if best else 0.002 * number)
    return {CLIP.name: total, FID.name: 50.0, VALIDATION_LOSS: 0.1}


def strategy_on(record: MemoryRecord, trials: int = 3, **changes: Any) -> Strategy:
    if not record.history.start_scores:
        record.append("run", name="toy", trials=trials)
        record.append("start", scores={FID.name: 100.0, CLIP.name: 0.0}, protocol={})
    task = SearchTask(
        SPACE,
        changes.pop("budget", Budget(500, 0.88 * COST)),
        Proxy(),
        RandomSampler(0),
        NoStopping(),
        FID_AND_CLIP,
        RUNGS,
        trials,
        seed=0,
        enqueued=changes.pop("enqueued", ()),
    )
    return replace(SETTINGS, **changes).make(record, task)


def report_of(job: Job, step: int) -> Report:
    if job.shared is None:
        return Report(step, {CLIP.name: 0.1, FID.name: 50.0}, {"training": 1.0})
    inherited = tuple(worth(Subnet.of(each)) for each in job.shared.candidates)
    return Report(step, inherited[0], {"training": 2.0}, inherited=inherited)


def drive(strategy: Strategy, most_reports: int | None = None) -> list[Job]:
    return driven(strategy, report_of, most_reports)


def test_a_network_evolves_and_what_fits_is_trained_by_itself() -> None:
    record = MemoryRecord(lambda: 0.0)
    jobs = drive(strategy_on(record))
    history, shared = record.history, [job for job in jobs if job.shared is not None]
    assert [(job.key, job.rungs) for job in shared] == [(SHARED_KEY, (10 * n,)) for n in (1, 2, 3)]
    for number, job in enumerate(shared):
        assert job.shared is not None and (job.shared.steps, job.shared.images) == (40, True)
        paths = [path for path, _ in job.shared.rounds]
        assert [until for _, until in job.shared.rounds] == [10 * n for n in range(1, number + 2)]
        assert all(isinstance(path, RobustPaths) and path.probability == 0.9 for path in paths)
    events = history.evolved
    over = [event["over"] for event in events]
    assert over == [True, False, False]
    assert [event["actions"] for event in events] == [
        ["remove down-2/0/layer-0", "remove down-2/0/layer-1"],  # worth least, and all alike in cost
        ["copy down-1/0/layer-0"],  # nothing else fits
        [],
    ]
    network = Subnet.of(LARGEST)
    for event in events:
        assert event["cost_before"] == price(network.architecture).gmacs
        for row in event["stages"]:
            without = price(network.without(row["stage"]).architecture).gmacs
            lost = event["score"] - row["score"]
            assert row["value"] == pytest.approx(lost / (event["cost_before"] - without))
        network = network.after(event["actions"])
    assert (events[0]["cost"], events[0]["lists"], events[0]["ranked_by"]) == ("gmacs", [], CLIP.name)
    (trained,) = history.shared
    assert (trained.state, trained.reason, trained.steps, trained.architecture) == (
        "complete",
        "",
        40,
        LARGEST,
    )
    assert [rung.step for rung in trained.rungs] == [10, 20, 30]
    final, *earlier = history.trials
    assert final.architecture == network.architecture and final.cost.gmacs <= 0.88 * COST
    assert all(trial.cost.gmacs <= 0.88 * COST for trial in earlier)
    assert len({trial.architecture.id for trial in history.trials}) == len(history.trials)
    assert final.state == "complete" and final.params is None
    assert round_in_words(events[1]).startswith(
        "round 2: 155 GMACs of at most 160.412: copy down-1/0/layer-0: "
    )
    said = evolution_in_words(history)
    assert "in 3 rounds from 182.3 GMACs to 159.9 GMACs, at most 160.412 (in the place of latency" in said
    assert "2 stages removed, 1 copied, valued by clip embedded lost" in said and "Not reached" not in said
    assert evolution_in_words(History()) == ""


@pytest.mark.parametrize("reports", [0, 1, 2, 3, 4, 6])
def test_killed_anywhere_it_goes_on_as_if_it_never_was(tmp_path: Path, reports: int) -> None:
    folders = tmp_path / "straight", tmp_path / "killed"
    for folder in folders:
        folder.mkdir()
        record = Record(folder)
        if folder is folders[1]:
            drive(strategy_on(record), most_reports=reports)
            record.close()
            record = Record(folder)
        drive(strategy_on(record))
        record.close()
    straight, killed = map(read_history, folders)
    assert decisions(folders[1]) == decisions(folders[0])
    strip = [
        [{k: v for k, v in e.items() if k != "time"} for e in each.evolved] for each in (straight, killed)
    ]
    assert strip[0] == strip[1] and len(strip[0]) >= 3


@pytest.mark.parametrize("last", ["evolved", "rung"])
def test_killed_between_two_events_of_a_round(last: str) -> None:
    """Actions count once the rung is recorded too; the end is written where only that was missing."""
    whole = MemoryRecord(lambda: 0.0)
    events: list[tuple[str, dict[str, Any]]] = []
    whole.listeners.append(lambda event, _: events.append((event["event"], dict(event))))
    drive(strategy_on(whole, trials=1))
    places = [
        place
        for place, (name, event) in enumerate(events)
        if name == last and event.get("key") == SHARED_KEY and event["step"] == 30
    ]
    record = MemoryRecord(lambda: 0.0)
    for _, event in events[: places[0] + 1]:
        record.history.apply(event)
    drive(strategy_on(record, trials=1))
    assert record.history.trials[0].architecture == whole.history.trials[0].architecture
    assert record.history.evolved == whole.history.evolved
    assert record.history.shared[0].state == "complete"


def test_where_the_budget_is_not_reached_it_says_why_and_trains_nothing_over_it() -> None:
    record = MemoryRecord(lambda: 0.0)
    drive(strategy_on(record, rounds=1, actions=1))
    (trained,) = record.history.shared
    assert trained.reason.startswith("evolved to ") and trained.reason.endswith("no round is left")
    assert f" GMACs > {0.88 * COST:g}): " in trained.reason
    assert record.history.trials == []
    assert f"Not reached: {trained.reason}." in evolution_in_words(record.history)
    stuck = MemoryRecord(lambda: 0.0)
    strategy = strategy_on(stuck)
    job = strategy.propose()
    assert job is not None and job.shared is not None and strategy.propose() is None
    strategy.judge(job.key, Report(10, {}, {}, inherited=({},) * len(job.shared.candidates)))
    strategy.take_result(job.key, "complete")
    assert stuck.history.shared[0].reason.endswith("nothing that can go saves anything")
    assert strategy.propose() is None and strategy.finished


def test_if_it_fails_what_was_enqueued_is_still_trained() -> None:
    record = MemoryRecord(lambda: 0.0)
    strategy = strategy_on(record, enqueued=(SPACE.first,))
    job = strategy.propose()
    assert job is not None
    strategy.take_result(job.key, "failed", "diverged")
    assert [each.architecture for each in drive(strategy)] == [SPACE.first]


# ---------------------------------------------------------------------- with training


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialWorker:
    monkeypatch.setattr(trials, "load_evaluator", lambda *arguments: Brightness())
    training = TrainingSettings(batch_size=2, sampling_steps=2, validation_images=4, device="cpu")
    data = ScenesSettings(scenes=32, image_size_px=16)
    return TrialWorker(TrialSettings(str(tmp_path), "", TINY_PROXY, data, training))


def test_a_worker_trains_on_from_round_to_round(worker: TrialWorker, tmp_path: Path) -> None:
    """Killed before the driver heard of a report, or with its state lost, it reports the same again."""
    record = MemoryRecord(lambda: 0.0)
    record.append("start", scores={FID.name: 100.0, CLIP.name: 0.0}, protocol={})
    task = SearchTask(
        TINY_SPACE,
        Budget(gmacs=0.05),
        TINY_PROXY,
        RandomSampler(0),
        NoStopping(),
        FID_AND_CLIP,
        (1,),
        1,
        seed=0,
    )
    settings = EvolveSettings(cost="gmacs", rounds=2, steps=1, actions=3, validation_images=4)
    strategy, folder = settings.make(record, task), tmp_path / SHARED_KEY
    for place in range(2):
        job = strategy.propose()
        assert job is not None and job.shared is not None
        report = reported(worker, job)
        assert len(report.inherited) == len(job.shared.candidates) and report.scores == report.inherited[0]
        assert strategy.judge(job.key, report).word == "end"
        strategy.take_result(job.key, "complete")
        saved = Checkpoints(folder).latest()
        assert saved is not None
        assert (saved.step, saved.plain["identity"].get("round", 0)) == (place + 1, place)
    assert reported(worker, job).inherited == report.inherited
    remove_states(folder)
    assert reported(worker, job).inherited == report.inherited
    first, second = record.history.evolved
    assert len(first["actions"]) == 3 and len(second["stages"]) == len(first["stages"]) - 3
    assert len({row["score"] for row in first["stages"]}) > 1


def reported(worker: TrialWorker, job: Job) -> Report:
    (report,) = [each for each in worker.run(job) if isinstance(each, Report)]
    return report


def test_by_price_lists_the_budget_says_what_it_may_take(tmp_path: Path) -> None:
    """Of two lists what is nearest to its bound; each is named."""
    made_list([LARGEST]).write(tmp_path / "one.json")
    made_list([LARGEST], lambda part: 3 * by_widths(part), device="slow").write(tmp_path / "three.json")
    files = (str(tmp_path / "one.json"), str(tmp_path / "three.json"))
    whole = made_list([LARGEST]).milliseconds(LARGEST)
    record = MemoryRecord(lambda: 0.0)
    budget = Budget(latency_ms=(whole, 0.88 * 3 * whole), prices=files)
    drive(strategy_on(record, cost="latency_ms", budget=budget))
    first, *_, last = record.history.evolved
    assert first["lists"] == [
        "onnx in fp32 on made, 1 thread, 2026-01-02",
        "onnx in fp32 on slow, 1 thread, 2026-01-02",
    ]
    assert first["over"] and first["cost_before"] == pytest.approx(whole / 0.88) and not last["over_after"]
    assert first["actions"] and not budget.excess(record.history.trials[0].architecture)
    assert "ms, at most" in evolution_in_words(record.history)
