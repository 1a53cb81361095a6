"""Run folders of earlier versions: read as what they mean now, left as they are, and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.comparison.runs import Run, settings_that_differ
from conf.compose import compose
from mdsearch.api import settings_of
from search.runs.compatibility import protocol_difference
from search.runs.earlier import current
from search.runs.files import CONFIG_NAME, RECORD_NAME
from search.runs.folder import claim_folder, stored_settings
from search.runs.record import History, Record, read_history
from search.samplers.custom import CustomSamplerSettings
from search.samplers.linear import LinearSettings
from search.samplers.random import RandomSettings
from search.settings import settings_from_plain
from search.stopping.paper import PaperSettings
from space.shared.plain import InputError, to_plain
from tests.search.histories import header

ALL = {
    "startup_trials": 4,
    "good_share": 0.3,
    "population": 6,
    "modelled_trials": 200,
    "most_combinations": 20000,
    "use": None,
    "options": None,
}
ALL_RULES = {
    "minimum_peers": 3,
    "quantile": 0.5,
    "deviations": 1.0,
    "ahead_deviations": 2.0,
    "reduction": 2.0,
    "confidence": 0.9,
    "use": None,
    "options": None,
}


def earlier(words: list[str], **changes: Any) -> dict[str, Any]:
    """Settings as an earlier version stored them."""
    plain = to_plain(settings_from_plain(compose("search", words)))
    del plain["strategy"]
    return plain | changes


def run_of(folder: Path, stored: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / CONFIG_NAME).write_text(yaml.safe_dump(stored, sort_keys=False))
    record = Record(folder)
    record.append("run", **header())
    record.close()
    return folder


def test_fields_that_only_other_samplers_act_on_are_left_out() -> None:
    stored = {"sampler": {"name": "linear", **ALL, "modelled_trials": 500}, "trials": 3}
    assert current(stored) == {
        "sampler": {"name": "linear", "modelled_trials": 500},
        "trials": 3,
        "strategy": {"name": "independent"},
    }
    assert stored["sampler"]["good_share"] == 0.3  # what was given is left alone


def test_what_the_sampler_acts_on_stays_and_what_nobody_knew_is_refused() -> None:
    assert current({"sampler": {"name": "tpe", **ALL, "good_share": 0.5}})["sampler"] == {
        "name": "tpe", "startup_trials": 4, "good_share": 0.5, "modelled_trials": 200,
    }  # fmt: skip
    assert current({"confirmation": {"halted": 2, "best": 3}})["confirmation"] == {"stopped": 2, "best": 3}
    assert current({"stopping": {"name": "asha", "gama": 2}})["stopping"] == {"name": "asha", "gama": 2}


@pytest.mark.parametrize("word", ["sampler=random", "sampler=linear"])
def test_an_earlier_run_folder_is_gone_on_with(tmp_path: Path, word: str) -> None:
    name = word.partition("=")[2]
    sampler = {"name": name, **ALL, "modelled_trials": 500}
    stored = earlier([word], sampler=sampler, stopping={"name": "paper", **ALL_RULES})
    folder = run_of(tmp_path / "old", stored)
    found = stored_settings(folder)
    assert found.sampler == (RandomSettings() if name == "random" else LinearSettings())
    assert found.stopping == PaperSettings()
    now = settings_of([f"resume={folder}", "trials=20"])[0]
    assert (now.trials, now.stopping) == (20, PaperSettings())  # what stops by default now is another rule
    assert claim_folder(now) == folder
    assert yaml.safe_load((folder / CONFIG_NAME).read_text()) == stored
    for changed, field in (("sampler=tpe", "sampler"), ("stopping.deviations=3", "stopping")):
        with pytest.raises(InputError, match=f"^resume: {field} differ"):
            claim_folder(settings_of([f"resume={folder}", changed])[0])


def test_a_class_that_was_stored_as_own_is_a_custom_one(tmp_path: Path) -> None:
    use = {"use": "mine.py:Mine", "options": {"tries": 3}}
    folder = run_of(tmp_path / "old", earlier([], sampler={"name": "own", **ALL, **use}))
    assert stored_settings(folder).sampler == CustomSamplerSettings(**use)
    words = ["sampler=own", "sampler.use=mine.py:Mine", "sampler.options={tries:3}"]
    assert claim_folder(settings_from_plain(compose("search", [*words, f"resume={folder}"]))) == folder


def test_an_earlier_and_a_present_run_differ_in_nothing_but_what_differs() -> None:
    was, now = History(), History()
    was.apply({"event": "run", **header(sampler={"name": "random", **ALL})})
    now.apply({"event": "run", **header(sampler={"name": "random"}, strategy={"name": "independent"})})
    for history in (was, now):
        history.header["protocol"] = {"fid": "x"}
    assert protocol_difference(was, now) == []
    runs = [Run(Path(name), name, history) for name, history in (("a", was), ("b", now))]
    assert settings_that_differ(runs) == {}


def test_a_record_is_left_as_it_was(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.append("run", **header(sampler={"name": "own", **ALL}))
    record.close()
    before = (tmp_path / RECORD_NAME).read_bytes()
    assert b'"name":"own"' in before
    assert read_history(tmp_path).header["sampler"] == {"name": "custom", "use": None, "options": None}
    assert (tmp_path / RECORD_NAME).read_bytes() == before


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"name": "random", "good_share": 0.2}, r"sampler\.good_share: no such field; Valid: name"),
        ({"name": "tpe", "population": 4}, r"sampler\.population: no such field"),
        ({"name": "tpee"}, r"sampler\.name: 'tpee' is not a choice here; did you mean 'tpe'\?"),
        ({"good_share": 0.2}, r"sampler\.name: missing"),
        (3, "sampler: expected a mapping"),
    ],
)
def test_settings_of_now_are_held_to_their_own_fields(plain: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        settings_from_plain(compose("search", []) | {"sampler": plain})


def test_an_override_of_another_samplers_field_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"sampler\.good_share: no such key"):
        compose("search", ["sampler=random", "sampler.good_share=0.2"])
    with pytest.raises(InputError, match=r"sampler\.good_share: no such field"):
        settings_from_plain(compose("search", ["sampler=random", "+sampler.good_share=0.2"]))
