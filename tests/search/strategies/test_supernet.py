"""One training that ranks, then trials in that order: what is proposed, recorded and gone on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.efficiency.replays import replay_strategy
from analysis.findings import ranking_in_words, seconds_by_kind
from analysis.replay.table import RecordedTable
from conf.compose import compose
from search import trial as trials
from search.ask_tell_settings import AskTellSettings
from search.checks import check
from search.latency import latency_score
from search.objectives import FID_AND_CLIP, VALIDATION_LOSS, Objective
from search.runs.files import SHARED_KEY
from search.runs.record import History, MemoryRecord, Record, read_history
from search.runs.rows import rung_rows
from search.samplers.random import RandomSampler
from search.settings import settings_from_plain
from search.stopping.none import NoStopping
from search.strategies.base import SearchTask
from search.strategies.independent import IndependentSettings
from search.strategies.phases import Phases
from search.strategies.supernet import SupernetSettings, ranked
from search.strategy import Job, Report, Strategy
from search.supernet_plan import supernet_plan
from search.toy import BUDGET, RUNGS, SPACE, START, decisions, quality, scores_at
from search.trial import TrialSettings, TrialWorker
from space.budget import LATENCY, Budget
from space.prices.coverage import parts_of_space
from space.proxy import Proxy
from space.shared.plain import InputError
from tests.search.strategies.driving import drive as driven
from tests.space.price_lists import list_of
from tests.training.objectives.test_supernet import BUDGET as TINY_BUDGET
from tests.training.objectives.test_supernet import PROXY as TINY_PROXY
from tests.training.objectives.test_supernet import SPACE as TINY_SPACE
from training.data.factory import load_data
from training.data.scenes import ScenesSettings
from training.files import has_states
from training.settings import TrainingSettings

SETTINGS = SupernetSettings(steps=10, every=4, candidates=12)
START_SCORES = {each.name: value for each, value in zip(FID_AND_CLIP, START.values, strict=True)}


def strategy_on(record: MemoryRecord, trials: int = 5, settings: SupernetSettings = SETTINGS) -> Strategy:
    if not record.history.start_scores:
        record.append("run", name="toy", trials=trials)
        record.append("start", scores=START_SCORES, protocol={})
    task = SearchTask(
        SPACE, BUDGET, Proxy(), RandomSampler(0), NoStopping(), FID_AND_CLIP, RUNGS, trials, seed=0
    )
    return settings.make(record, task)


def report_of(job: Job, step: int) -> Report:
    """In the toy world, where what is good inherits a low loss."""
    if job.shared is None:
        named = zip(FID_AND_CLIP, scores_at(job.architecture, step).values, strict=True)
        return Report(step, {each.name: value for each, value in named}, {"training": 1.0})
    losses = [{VALIDATION_LOSS: 1 - quality(a)} for a in job.shared.candidates]
    inherited = tuple(losses) if step == job.rungs[-1] else ()
    return Report(step, losses[0], {"training": 2.0}, inherited=inherited)


def drive(strategy: Strategy, most_reports: int | None = None) -> list[Job]:
    return driven(strategy, report_of, most_reports)


def test_one_training_ranks_and_the_best_are_trained_by_themselves(tmp_path: Path) -> None:
    record = Record(tmp_path)
    shared, *jobs = drive(strategy_on(record))
    history = record.history
    assert (shared.key, shared.purpose, shared.rungs) == (SHARED_KEY, "supernet", (4, 8, 10))
    assert shared.shared is not None and len({a.id for a in shared.shared.candidates}) == 12
    assert not [a.id for a in shared.shared.candidates if BUDGET.excess(a)]
    best = sorted(shared.shared.candidates, key=lambda a: 1 - quality(a))[:5]
    assert [job.architecture for job in jobs] == best and [job.purpose for job in jobs] == ["search"] * 5
    by = [trial.sampler_attributes["inherited"] for trial in history.trials]
    assert by == [
        {"place": place, "of": 12, VALIDATION_LOSS: 1 - quality(a)} for place, a in enumerate(best, 1)
    ]
    assert history.inherited["ranked_by"] == VALIDATION_LOSS and len(history.inherited["candidates"]) == 12
    # a job of its own, with its cost: no trial, no confirmation run
    assert [trial.state for trial in history.shared] == ["complete"] and history.confirmations == []
    assert seconds_by_kind(history) == {"training": (3 * 2.0 + 15 * 1.0, 0.0)}
    assert [(row["purpose"], row["step"]) for row in rung_rows(history)[1][:3]] == [
        ("supernet", 4), ("supernet", 8), ("supernet", 10)
    ]  # fmt: skip
    said = ranking_in_words(history)
    assert said.startswith("12 candidates ranked by validation loss") and "10 steps (6.0 s)" in said
    assert ranking_in_words(History()) == ""
    record.close()
    assert read_history(tmp_path).inherited == history.inherited


@pytest.mark.parametrize("reports", [0, 1, 2, 3, 4, 7])
def test_killed_anywhere_it_goes_on_as_if_it_never_was(tmp_path: Path, reports: int) -> None:
    folders = tmp_path / "straight", tmp_path / "killed"
    for folder in folders:
        folder.mkdir()
        record = Record(folder)
        if folder is folders[1]:
            jobs = drive(strategy_on(record), most_reports=reports)
            record.close()
            record = Record(folder)
            again = drive(strategy_on(record))
            if reports < 3:  # the same candidates, in the same order
                assert again[0] == jobs[0] and again[0].shared is not None
        else:
            drive(strategy_on(record))
        record.close()
    assert decisions(folders[1]) == decisions(folders[0])
    assert (
        read_history(folders[1]).inherited["candidates"] == read_history(folders[0]).inherited["candidates"]
    )


def test_while_it_trains_there_is_nothing_else_to_do_and_if_it_fails_no_trial() -> None:
    strategy = strategy_on(MemoryRecord(lambda: 0.0))
    job = strategy.propose()
    assert job is not None and strategy.propose() is None and not strategy.finished
    strategy.take_result(job.key, "failed", "diverged")
    assert strategy.propose() is None and strategy.finished


def test_more_trials_take_the_next_in_rank_until_none_is_left() -> None:
    record = MemoryRecord(lambda: 0.0)
    drive(strategy_on(record, trials=2))
    assert [job.key for job in drive(strategy_on(record, trials=40))] == [str(n) for n in range(2, 12)]
    places = [trial.sampler_attributes["inherited"]["place"] for trial in record.history.trials]
    assert places == list(range(1, 13))


def test_latency_is_an_objective_of_the_ranking_too(tmp_path: Path) -> None:
    """Of candidates that inherit the same scores the fastest comes first; the shared training, whose network
    is no candidate, has none."""
    prices = list_of(parts_of_space(SPACE)).write(tmp_path / "list.json")
    budget, record = Budget(latency_ms=1e6, prices=str(prices)), MemoryRecord(lambda: 0.0)
    objectives = (*FID_AND_CLIP, Objective(LATENCY, "minimize", "log"))
    record.append("run", name="toy", trials=6)
    record.append("start", scores=START_SCORES | {LATENCY: 1.0}, protocol={})
    task = SearchTask(
        SPACE, budget, Proxy(), RandomSampler(0), NoStopping(), objectives, RUNGS, trials=6, seed=0
    )
    strategy = SupernetSettings(steps=2, every=2, candidates=6, rank_by="objectives").make(record, task)

    def scored(job: Job, step: int) -> Report:
        shared = job.shared.candidates if job.shared else ()
        return Report(step, START_SCORES, {"training": 1.0}, inherited=(START_SCORES,) * len(shared))

    driven(Phases(strategy, scores=lambda a: latency_score(budget, a), record=record), scored)
    ranked_by = [each["scores"][LATENCY] for each in record.history.inherited["candidates"]]
    assert len(set(ranked_by)) > 3 and ranked_by == sorted(ranked_by)
    assert [trial.score(LATENCY) for trial in record.history.trials] == ranked_by
    assert record.history.shared[0].score(LATENCY) is None


def test_ranks_by_loss_or_by_all_objectives() -> None:
    """What misses a score comes last: it was no number."""
    names = [each.name for each in FID_AND_CLIP]
    rows = [(20.0, 0.5, 0.3), (10.0, 0.6, 0.4), (None, 0.9, 0.1), (15.0, 0.4, None)]
    keys = (*names, VALIDATION_LOSS)
    scores = [{key: value for key, value in zip(keys, row, strict=True) if value is not None} for row in rows]
    assert ranked(scores, "validation_loss", FID_AND_CLIP) == [2, 0, 1, 3]
    assert ranked(scores, "objectives", FID_AND_CLIP) == [1, 3, 0, 2]  # 3 is worse than 1 in both, 0 too


# ---------------------------------------------------------------------- with training


class Brightness:
    """An evaluator without networks."""

    images = 2

    def score_and_deviations(
        self, images: np.ndarray, captions: Sequence[str]
    ) -> tuple[dict[str, float], dict[str, float]]:
        return self.score(images, captions), {}

    def score(self, images: np.ndarray, captions: Sequence[str]) -> dict[str, float]:
        return {"fid_embedded_clip": float(images.mean()), "clip_embedded": float(images.std())}


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialWorker:
    monkeypatch.setattr(trials, "load_evaluator", lambda *arguments: Brightness())
    training = TrainingSettings(batch_size=2, sampling_steps=2, validation_images=4, device="cpu")
    data = ScenesSettings(scenes=32, image_size_px=16)
    return TrialWorker(TrialSettings(str(tmp_path), "", TINY_PROXY, data, training))


def tiny_strategy(record: MemoryRecord) -> Strategy:
    record.append("start", scores=START_SCORES, protocol={})
    task = SearchTask(
        TINY_SPACE, TINY_BUDGET, TINY_PROXY, RandomSampler(0), NoStopping(), FID_AND_CLIP, (1, 2), 1, seed=0
    )
    return SupernetSettings(steps=3, every=2, candidates=3, rank_by="objectives").make(record, task)


def test_a_worker_trains_it_goes_on_with_it_and_scores_every_candidate(
    worker: TrialWorker, tmp_path: Path
) -> None:
    strategy = tiny_strategy(MemoryRecord(lambda: 0.0))
    job = strategy.propose()
    assert job is not None and job.shared is not None
    first, last = [report for report in worker.run(job) if isinstance(report, Report)]
    assert (first.step, first.inherited, last.step) == (2, (), 3)
    assert len(last.inherited) == 3 and last.scores == last.inherited[0]
    assert all(set(s) == {"fid_embedded_clip", "clip_embedded", VALIDATION_LOSS} for s in last.inherited)
    assert len({s[VALIDATION_LOSS] for s in last.inherited}) == 3 and last.seconds["inherited scores"] > 0
    (again,) = [report for report in worker.run(job) if isinstance(report, Report)]  # from its last state
    assert again.inherited == last.inherited and has_states(tmp_path / SHARED_KEY)
    for report in (first, last):
        strategy.judge(job.key, report)
    strategy.take_result(job.key, "complete")
    candidate = strategy.propose()
    assert candidate is not None and candidate.shared is None
    assert candidate.architecture.id in [a.id for a in job.shared.candidates]


# ---------------------------------------------------------------------- chosen by words


def settings_of(*words: str) -> object:
    return settings_from_plain(compose("search", list(words)))


def test_it_is_chosen_by_its_name_and_refuses_what_cannot_work() -> None:
    settings = settings_from_plain(compose("search", ["strategy=supernet", "strategy.steps=900"]))
    assert settings.strategy == SupernetSettings(steps=900)
    assert SupernetSettings(steps=900, every=250).rungs == (250, 500, 750, 900)
    with pytest.raises(InputError, match=r"strategy: every: 0 is not possible|strategy\.every: 0 is not"):
        settings_of("strategy=supernet", "strategy.every=0")
    few = settings_from_plain(compose("search", ["strategy=supernet", "strategy.candidates=5"]))
    with pytest.raises(InputError, match=r"strategy\.candidates: 5 are ranked, and 12 .*allowed: 12 or more"):
        check(few)


def test_where_training_is_elsewhere_or_recorded_it_is_refused() -> None:
    """Not passed over: its figures would be another strategy's."""
    plain = compose("search", ["strategy=supernet"])
    with pytest.raises(InputError, match="strategy: supernet trains by itself, for which no recorded"):
        replay_strategy("", plain, RecordedTable({"rungs": [1]}, {}, {}))
    told = settings_from_plain(plain)
    with pytest.raises(InputError, match="strategy: supernet trains by itself, and here you do"):
        AskTellSettings(
            told.space, told.budget, told.sampler, told.stopping, (1,), START_SCORES, strategy=told.strategy
        )


def test_the_plan_says_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.supernet_plan.seconds_of_steps", lambda trainer, count: [0.25, 0.75])
    quick = ("data.scenes=192", "training.batch_size=2", "training.validation_images=2")
    settings = settings_from_plain(compose("search", ["strategy=supernet", *quick]))
    data = load_data(settings.data)
    cost, steps = supernet_plan(settings, data)
    assert (
        "4.90 M shared parameters" in cost and "500 steps of 0.500 s" in cost and "200 candidates of" in cost
    )
    assert steps == "as many steps as 1.0 trials of full length"
    assert supernet_plan(replace(settings, strategy=IndependentSettings()), data) == []
