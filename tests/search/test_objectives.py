"""Objectives as a list: by settings, in records, and a search by three of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from conf.compose import compose
from search.checks import check
from search.objectives import (
    FID_AND_CLIP,
    Objective,
    checked,
    fid_and_clip,
    objectives_from_plain,
    objectives_to_plain,
)
from search.runs.compatibility import field_differences
from search.runs.header import objectives_of
from search.runs.record import History, MemoryRecord, Record, read_history
from search.runs.scores import all_of, best_first, curve_of
from search.samplers.random import RandomSampler
from search.settings import SearchSettings, changed_fields, settings_from_plain
from search.statistics.noise import Noise, noise_from_plain, noise_to_plain
from search.stopping.none import NoStopping
from search.stopping.paper import PaperRule
from search.toy import decisions, drive, search_in
from space.shared.plain import InputError, from_plain, to_plain
from tests.search.three import NOISE_OF_THREE, START_OF_THREE, THREE, scores_of_three

LOSS = "[{name: validation_loss, direction: minimize, scale: log}]"


def settings(*words: str) -> SearchSettings:
    return settings_from_plain(compose("search", list(words)))


# ---------------------------------------------------------------------- settings and records


def test_two_decide_by_default_and_further_ones_are_named() -> None:
    assert settings().objectives == FID_AND_CLIP
    found = settings(f"further_objectives={LOSS}").objectives
    assert found[:2] == FID_AND_CLIP
    assert found[2] == Objective("validation_loss", "minimize", "log", "validation_loss")


def test_settings_of_an_earlier_version_name_none_and_are_the_same() -> None:
    plain = to_plain(settings("noise=long"))  # which says nothing of others
    del plain["further_objectives"]
    for rung in plain["noise"]["rungs"]:
        del rung["others"]
    del plain["noise"]["equivalent_others"]
    assert changed_fields(settings_from_plain(plain), settings("noise=long")) == []
    assert "further_objectives" in changed_fields(settings(), settings(f"further_objectives={LOSS}"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("[{name: clip_embedded}]", "further_objectives: name: clip_embedded is an objective twice"),
        ("[{name: loss, label: FID}]", "further_objectives: label: FID is an objective twice"),
        ("[{name: ''}]", "name: empty"),
        ("[{name: loss, direction: maximise}]", "did you mean 'maximize'"),
        ("[{name: loss, scale: ln}]", "'ln' is not a choice"),
    ],
)
def test_objectives_that_cannot_be_are_refused(words: str, message: str) -> None:
    with pytest.raises(InputError, match="further_objectives") as refused:
        settings(f"further_objectives={words}")
    assert message in str(refused.value)


def test_a_header_holds_two_as_ever_and_more_as_a_list() -> None:
    two = objectives_to_plain(fid_and_clip("fid_a", "clip_b"))
    assert two == {"fid": "fid_a", "clip": "clip_b"}
    three = objectives_to_plain(THREE)
    assert [each["name"] for each in three] == ["fid_embedded_clip", "clip_embedded", "validation_loss"]
    assert objectives_from_plain(two) == fid_and_clip("fid_a", "clip_b")
    assert objectives_from_plain(three) == THREE
    other_scale = (Objective("fid_a", "minimize", "linear", "FID"), FID_AND_CLIP[1])
    assert objectives_from_plain(objectives_to_plain(other_scale)) == other_scale
    assert objectives_of(History()) == FID_AND_CLIP


def test_a_noise_names_others_only_where_there_are_some() -> None:
    plain = {"rungs": [{"step": 400, "fid_relative": 0.1, "clip": 0.02}], "deviations": 2.0}
    assert noise_to_plain(noise_from_plain(plain))["rungs"] == plain["rungs"]
    assert noise_from_plain(noise_to_plain(NOISE_OF_THREE)) == NOISE_OF_THREE
    assert NOISE_OF_THREE.at(400).deviations(THREE) == [0.05, 0.02, 0.03]
    assert noise_from_plain(plain).at(400).deviations(THREE) == [0.1, 0.02, None]


@pytest.mark.parametrize("field", ["equivalent_others", "others"])
def test_a_negative_deviation_of_another_is_refused(field: str) -> None:
    plain = noise_to_plain(NOISE_OF_THREE)
    fields = plain if field == "equivalent_others" else plain["rungs"][1]
    fields[field] = {"validation_loss": -0.1}
    with pytest.raises(InputError, match=rf"{field}.validation_loss: -0.1 .* allowed: 0 or more"):
        from_plain(Noise, plain)


def test_an_unknown_score_is_refused_with_the_nearest() -> None:
    wrong = checked([*FID_AND_CLIP, Objective("validation_los")])
    with pytest.raises(InputError, match=r"'validation_los' is no score .*did you mean 'validation_loss'"):
        all_of({"fid_embedded_clip": 1.0, "clip_embedded": 0.1, "validation_loss": 2.0}, wrong)


@pytest.mark.parametrize(
    ("name", "evaluators", "near"),
    [
        ("validation_los", "embedded", "validation_loss"),
        ("fid_random_con", "embedded", "fid_random_conv"),
        ("fid_random_conv", "own", "fid_inception_v3"),
    ],
)
def test_an_objective_that_no_trial_records_is_refused_before_anything_starts(
    name: str, evaluators: str, near: str
) -> None:
    settings = settings_from_plain(compose("search", [f"evaluators={evaluators}", "recorded=false"]))
    wrong = replace(settings, further_objectives=(Objective("validation_loss"), Objective(name)))
    with pytest.raises(InputError, match=rf"^further_objectives\[1\]\.name: '{name}' is no .*'{near}'"):
        check(wrong)
    assert near in settings.scores and "validation_loss" in settings.scores


def test_the_scores_that_settings_name_are_those_that_trials_record() -> None:
    trials = read_history(Path(__file__).parent / "runs" / "before_refactoring").trials
    recorded = {name for trial in trials for rung in trial.rungs for name in rung.scores}
    assert recorded == set(settings_from_plain(compose("search", [])).scores)


def test_a_value_is_shown_as_its_kind_is() -> None:
    fid, clip, loss = THREE
    assert (fid.value_text(12.345), clip.value_text(0.12345), loss.value_text(0.0123456)) == (
        "12.35",
        "0.123",
        "0.01235",
    )
    assert (fid.roughly(12.345), clip.roughly(0.12345)) == ("12.3", "0.123")
    assert (fid.difference_text(-0.2), clip.difference_text(-0.2)) == ("-20%", "-0.200")


# ---------------------------------------------------------------------- a search by three


def test_a_search_by_three_ranks_by_three_and_is_read_back(tmp_path: Path) -> None:
    record = Record(tmp_path)
    search = search_in(record, RandomSampler(0), NoStopping(), trials=8, start=START_OF_THREE)
    drive(search, scores_of_three)
    record.close()
    trials = read_history(tmp_path).trials
    assert all(set(trial.rungs[-1].scores) == {each.name for each in THREE} for trial in trials)
    least_loss = min(trials, key=lambda trial: trial.score("validation_loss") or 0)
    front_of_two = best_first(trials, FID_AND_CLIP)
    assert best_first(trials, THREE) != front_of_two
    points = [curve_of(trial, THREE).points[-1] for trial in trials]
    mine = points[trials.index(least_loss)]
    assert not any(other.dominates(mine) for other in points)  # nobody has less of the third


def test_the_papers_rule_stops_by_the_third_too() -> None:
    """In this world the third objective says the opposite of the two others."""
    rule = PaperRule(NOISE_OF_THREE, 3, 0.5, 1.0, 1e9)
    search = search_in(MemoryRecord(lambda: 0.0), RandomSampler(0), rule, trials=16, start=START_OF_THREE)
    drive(search, scores_of_three)
    reasons = [trial.reason for trial in search.history.trials if trial.state == "halted"]
    assert any("validation_loss" in reason and "FID" not in reason for reason in reasons)


def test_a_search_by_three_killed_goes_on_as_if_it_never_was(tmp_path: Path) -> None:
    rule = PaperRule(NOISE_OF_THREE, 3, 0.5, 1.0, 2.0)
    for name, pieces in (("whole", [None]), ("halves", [7, 4, None])):
        (tmp_path / name).mkdir()
        for most_rungs in pieces:
            record = Record(tmp_path / name)
            search = search_in(record, RandomSampler(0), rule, trials=6, start=START_OF_THREE)
            drive(search, scores_of_three, most_rungs=most_rungs)
            record.close()
    assert decisions(tmp_path / "halves") == decisions(tmp_path / "whole")


def test_earlier_runs_by_two_teach_a_search_by_three() -> None:
    """Scores go by their full names: what further ones a search wants does not change what they mean."""
    two, three = ({"objectives": objectives_to_plain(each)} for each in (FID_AND_CLIP, THREE))
    other = {"objectives": objectives_to_plain((*fid_and_clip("fid_random_conv"), THREE[2]))}
    assert field_differences(two, three, ["objectives"]) == []
    assert field_differences(two, other, ["objectives"]) == [
        "objectives.fid: fid_embedded_clip against fid_random_conv"
    ]
    record = MemoryRecord(lambda: 0.0)
    search = search_in(record, RandomSampler(0), NoStopping(), trials=3)
    drive(search, lambda architecture, step: scores_of_three(architecture, step))
    assert [curve_of(trial, THREE).step for trial in search.history.trials] == [400] * 3
