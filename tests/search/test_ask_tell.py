"""Ask and tell: the decisions of the engine, for training that is elsewhere."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mdsearch
from analysis.evidence.origins import provenance_chapter
from analysis.replay.recheck import rechecks
from mdsearch.commands import gather
from search.ask_tell import Asked, AskTell, Told
from search.ask_tell_settings import AskTellSettings
from search.runs.bundle import commands, read_bundle
from search.runs.header import noise_of
from search.runs.record import Record, read_history
from search.runs.rows import trial_rows
from search.samplers.factory import SamplerSettings, make_sampler
from search.statistics.noise import NO_NOISE
from search.stopping.factory import StoppingSettings, make_rule
from search.strategies.base import SearchTask
from search.strategies.independent import ArchitectureSearch
from search.toy import BUDGET, NOISE, RUNGS, SPACE, START, decisions, drive, scores_at
from space.proxy import Proxy
from space.shared.plain import InputError, from_plain

NAMES = tuple(objective.name for objective in START.objectives)


def settings_in(folder: Path, **changes: Any) -> AskTellSettings:
    """The world of `search.toy`."""
    plain = {"name": "linear", "modelled_trials": 500}
    usual = AskTellSettings(
        space=SPACE,
        budget=BUDGET,
        sampler=from_plain(SamplerSettings, plain),
        stopping=from_plain(StoppingSettings, {"name": "paper"}),
        rungs=RUNGS,
        start=dict(zip(NAMES, START.values, strict=True)),
        fid=NAMES[0],
        clip=NAMES[1],
        noise=replace(NOISE, measured_under=()),
        trials=9,
        name="told",
        runs_folder=str(folder),
    )
    return replace(usual, **changes)


def scores(asked: Asked, step: int) -> dict[str, float]:
    point = scores_at(asked.architecture, step)
    return {"validation_loss": 1.0} | dict(zip(NAMES, point.values, strict=True))


def drive_told(search: AskTell, most: int | None = None) -> None:
    """Train nothing, tell what the toy says; stop dead after `most` rungs."""
    told = 0
    while (asked := search.ask()) is not None:
        for step in asked.rungs:
            if told == most:
                return
            told += 1
            if not search.tell(asked, step, scores(asked, step), seconds=1.0).goes_on:
                break


def of_the_engine(folder: Path, settings: AskTellSettings) -> list[dict[str, Any]]:
    """What an inline backend records of the same search."""
    folder.mkdir()
    record = Record(folder)
    record.append("run", name="engine", trials=settings.trials)
    record.append("start", scores=settings.start, protocol={})
    assert settings.noise is not None and settings.noise.measured_under == ()
    task = SearchTask(
        space=SPACE,
        budget=BUDGET,
        proxy=Proxy(),
        sampler=make_sampler(settings.sampler, settings.seed),
        rule=make_rule(settings.stopping, settings.noise or NOISE),
        objectives=settings.objectives,
        rungs=RUNGS,
        trials=settings.trials,
        seed=settings.seed,
    )
    drive(ArchitectureSearch(record, task))
    record.close()
    return decisions(folder)


@pytest.mark.parametrize("sampler", ["linear", "random", "tpe"])
def test_it_decides_as_the_engine_does_also_after_interruptions(sampler: str, tmp_path: Path) -> None:
    chosen = from_plain(SamplerSettings, {"name": sampler})
    settings = settings_in(tmp_path, sampler=chosen)
    expected = of_the_engine(tmp_path / "engine", settings)
    assert {event["event"] for event in expected} >= {"proposed", "rung", "ended", "rejected"}
    for resume, most in ((None, 4), ("told", 7), ("told", None)):
        again = None if resume is None else str(tmp_path / resume)
        with AskTell(replace(settings, resume=again)) as search:
            drive_told(search, most)
    assert decisions(tmp_path / "told") == expected
    result = mdsearch.read_run(tmp_path / "told")
    states = {trial.state for trial in result.history.trials}
    assert states == {"complete", "halted"} and not result.interrupted
    assert not [trial for trial in result.history.trials if BUDGET.excess(trial.architecture)]


def test_several_are_asked_for_before_the_first_is_told(tmp_path: Path) -> None:
    with AskTell(settings_in(tmp_path, trials=3)) as search:
        asked = [search.ask() for _ in range(4)]
        assert [one.key for one in asked if one] == ["0", "1", "2"] and asked[3] is None
        assert not search.finished
        first = asked[1]
        assert first is not None
        assert search.tell("1", 100, scores(first, 100)) == Told("running")
        search.fail("0", "diverged")
        search.fail("2", "its machine was lost")
    with AskTell(settings_in(tmp_path, trials=3, resume=str(tmp_path / "told"))) as search:
        assert search.tell("1", 200, scores(first, 200)).goes_on  # without asking again
        assert search.tell("1", 200, scores(first, 200)).goes_on  # told again
        assert search.tell("1", 400, scores(first, 400)) == Told("complete")
        assert search.ask() is None and search.finished and search.best == first.architecture
        result = search.close()
    assert [trial.state for trial in result.history.trials] == ["failed", "complete", "failed"]
    assert result.history.trials[0].reason == "diverged"
    assert [row["steps"] for row in trial_rows(result.history)[1]] == [0, 400, 0]


def test_one_that_goes_on_says_from_where(tmp_path: Path) -> None:
    with AskTell(settings_in(tmp_path)) as search:
        asked = search.ask()
        assert asked is not None and (asked.rungs, asked.from_step) == (RUNGS, 0)
        search.tell(asked, 100, scores(asked, 100))
    with AskTell(settings_in(tmp_path, resume=str(tmp_path / "told"))) as search:
        again = search.ask()
    assert again == replace(asked, rungs=RUNGS[1:], from_step=100)


def test_a_driver_killed_between_judging_and_ending_is_made_good(tmp_path: Path) -> None:
    with AskTell(settings_in(tmp_path)) as search:
        asked = search.ask()
        assert asked is not None
        for step in RUNGS:
            search.tell(asked, step, scores(asked, step))
    record = tmp_path / "told" / "record.jsonl"
    lines = record.read_text().splitlines(keepends=True)
    assert json.loads(lines[-1])["event"] == "ended"
    record.write_text("".join(lines[:-1]))
    with AskTell(settings_in(tmp_path, resume=str(tmp_path / "told"))) as search:
        second = search.ask()
        assert second is not None and second.key == "1"
    assert read_history(tmp_path / "told").trials[0].state == "complete"


def test_what_cannot_be_told_is_refused(tmp_path: Path) -> None:
    with AskTell(settings_in(tmp_path)) as search:
        asked = search.ask()
        assert asked is not None
        good = scores(asked, 100)

        def refused(key: str, step: int, told: dict[str, float]) -> str:
            with pytest.raises(InputError) as caught:
                search.tell(key, step, told)
            return str(caught.value)

        assert "trial 7: was never asked for" in refused("7", 100, good)
        assert "step 200 is not its next rung; allowed: 100" in refused("0", 200, good)
        assert f"{NAMES[1]!r} is no score of this search" in refused("0", 100, {NAMES[0]: 1.0})
        assert "nan is no number; a trial that diverged has failed" in refused(
            "0", 100, good | {NAMES[0]: math.nan}
        )
        for value, said in (
            (None, "None is no number"),
            ("x", "'x' is no number"),
            ("3", "'3' is no number"),
            (True, "True is no number"),
            (np.bool_(True), "is no number"),
            (10**400, "is no number"),
            (math.inf, "inf is no number"),
            (-3.0, "-3 has no logarithm"),
        ):
            assert f"{NAMES[0]}" in (told := refused("0", 100, good | {NAMES[0]: value})) and said in told  # type: ignore[dict-item]
        for seconds in (math.nan, math.inf, -math.inf, -1.0, True, "2", None):
            assert "seconds" in refused("0", 100, good | {"seconds": seconds})  # type: ignore[dict-item]
        for step in (True, 100.0, "100", None, math.nan):
            assert f"step: {step!r} is no whole number" in refused("0", step, good)  # type: ignore[arg-type]
        for key in (7, None, True, 0.0, ["0"]):
            assert f"trial {key}: was never asked for" in refused(key, 100, good)  # type: ignore[arg-type]
        search.tell(0, np.int64(100), good | {"seconds": np.float32(2)})  # type: ignore[arg-type]
        assert "differs from" in refused("0", 100, good | {NAMES[0]: 1.0})
        search.fail(asked, "diverged")
        assert "trial 0: has ended already: failed" in refused("0", 200, good)
        with pytest.raises(InputError, match="has ended already"):
            search.fail(asked, "again")
    with pytest.raises(InputError, match="is closed; go on with: mdsearch serve resume="):
        search.tell(asked, 200, good)
    with pytest.raises(InputError, match="seed differ from what"):
        AskTell(settings_in(tmp_path, seed=3, resume=str(tmp_path / "told")))
    with pytest.raises(InputError, match=r"holds a run .*: mdsearch serve resume="):
        AskTell(settings_in(tmp_path))


@pytest.mark.parametrize(("under", "said"), [(None, True), ((), False)])
def test_noise_that_stops_no_trial_is_told(
    under: tuple[str, ...] | None, said: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A preset by hand that does not say where it was measured."""
    with AskTell(settings_in(tmp_path, noise=replace(NOISE, measured_under=under))):
        assert ("noise: the stated noise does not say" in capsys.readouterr().out) == said


def test_words_make_one_and_its_folder_is_no_other_search(tmp_path: Path) -> None:
    words = [
        "rungs=[10,20]",
        "start={fid: 300, clip: 0.1}",
        "budget.gmacs=120",
        "name=a",
        f"runs_folder={tmp_path}",
    ]
    with mdsearch.ask_tell(*words) as search:
        asked = search.ask()
        assert asked is not None and mdsearch.price(asked.architecture).gmacs <= 120
        assert asked.trained == asked.architecture
        search.tell(asked, 10, fid=40.0, clip=0.3, seconds=2.0)
    with mdsearch.ask_tell(f"resume={tmp_path}/a", "trials=9") as search:
        again = search.ask()
        assert again is not None and (again.key, again.from_step) == ("0", 10)
    [checked] = rechecks(str(tmp_path / "a"))
    assert checked.agrees
    assert noise_of(read_history(tmp_path / "a")) == NO_NOISE
    assert (tmp_path / "a" / "report.html").is_file() and (tmp_path / "a" / "rungs.csv").is_file()
    with pytest.raises(InputError, match=r"elsewhere; .*:? mdsearch serve"):
        mdsearch.settings(f"resume={tmp_path}/a")
    with pytest.raises(InputError, match=r"^start: missing \(required\)"):
        mdsearch.ask_tell("rungs=[10]")


def test_what_cannot_be_asked_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^start: objectives: 'clip_embedded' is no score"):
        settings_in(tmp_path, start={NAMES[0]: 300.0})
    with pytest.raises(InputError, match=r"^noise: missing, and stopping=paper judges by it"):
        settings_in(tmp_path, noise=None)
    with pytest.raises(InputError, match=r"^rungs: \[20, 10\] do not rise"):
        settings_in(tmp_path, rungs=(20, 10))
    with pytest.raises(InputError, match=r"^budget\.gmacs: nothing of this space fits"):
        AskTell(settings_in(tmp_path, budget=replace(BUDGET, gmacs=0.1)))


def test_earlier_runs_teach_one_that_is_told(tmp_path: Path) -> None:
    with AskTell(settings_in(tmp_path, name="before", protocol="mine")) as search:
        drive_told(search)
    taught = settings_in(tmp_path, protocol="mine", prior=(str(tmp_path / "before"),), seed=1)
    with AskTell(taught) as search:
        known = {trial.architecture.id for trial in read_history(search.folder).prior}
        asked = search.ask()
        assert asked is not None and asked.architecture.id not in known
    before = read_history(tmp_path / "before").trials
    assert len(known) == len({trial.architecture.id for trial in before}) > 3
    with AskTell(replace(taught, resume=str(tmp_path / "told"))):
        assert len(read_history(tmp_path / "told").prior) == len(before)  # once
    with pytest.raises(InputError, match=r"prior: .*before was .*protocol\.told: mine against x"):
        AskTell(replace(taught, name="other", protocol="x"))
    assert not (tmp_path / "other").exists()


def test_a_told_run_has_no_provenance_and_is_gathered_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with AskTell(settings_in(tmp_path), ["rungs=[100]"]) as search:
        drive_told(search)
    assert gather.main([str(tmp_path / "told"), f"out={tmp_path / 'a.jsonl.gz'}"]) == 0
    assert "training was elsewhere, so there is no provenance" in capsys.readouterr().out
    bundle = read_bundle(tmp_path / "a.jsonl.gz")
    assert bundle["told"].provenance == {} and len(bundle["told"].history.trials) == 9
    assert list(commands(list(bundle.values()))) == ["mdsearch serve 'rungs=[100]'"]
    assert "told" in provenance_chapter(list(bundle.values())).text()
