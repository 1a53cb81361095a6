"""What changes nothing in a search: words that name it are refused, other settings said in a line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mdsearch.api import settings_of
from search.expected_time import Pace, time_lines
from search.idle import idle_notes, nobody_learns
from search.samplers.tpe import TpeSettings
from search.settings import SearchSettings
from space.shared.plain import InputError


def settings(*words: str) -> SearchSettings:
    return settings_of(words)[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("strategy=evolve", "sampler=tpe"), r"^sampler: has no effect beside strategy=evolve"),
        (("strategy=evolve", "sampler=lasso"), r"^sampler: has no effect"),  # the usual one, but named
        (
            ("experiment=snapfusion", "sampler.modelled_trials=99"),
            r"^sampler\.modelled_trials: has no effect",
        ),
        (("strategy=evolve", "sampler={modelled_trials: 99}"), r"^sampler\.modelled_trials: has no effect"),
        (("training.steps=9",), r"^training\.steps: has no effect in a search.*allowed: rungs="),
        (("training={steps: 9, batch_size: 2}",), r"^training\.steps: has no effect"),
    ],
)
def test_a_word_that_changes_nothing_is_refused(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        settings(*words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("words", [(), ("strategy=supernet", "sampler=tpe"), ("sampler=random", "prior=[a]")])
def test_what_acts_is_taken_without_a_word(words: tuple[str, ...]) -> None:
    assert idle_notes(settings(*words)) == []


def test_what_promises_too_much_is_said_in_a_line() -> None:
    """An evolution of four rounds leaves five networks; with one enqueued, six."""
    (note,) = idle_notes(settings("strategy=evolve", "trials=7", "enqueue=[md]"))
    assert note.startswith("trials=7 are not reached") and note.endswith("make 6 at most")
    assert idle_notes(settings("strategy=evolve", "trials=6", "enqueue=[md]")) == []
    (note,) = idle_notes(settings("strategy=evolve", "trials=5", "strategy.start=md"))
    assert note == "space bounds no network: the evolution starts from strategy.start=md"
    (note,) = idle_notes(settings("backend=inline", "cluster.workers=4"))
    assert note.startswith("cluster has no effect")
    assert idle_notes(settings("backend=inline")) == []
    (note,) = idle_notes(settings("cluster.parallel=fsdp"))
    assert note == "cluster.parallel=fsdp has no effect: a trial has one worker"
    (note,) = idle_notes(settings("training.text.folder=clip"))
    assert note.startswith("training.text.folder=clip has no effect")
    (note,) = idle_notes(settings("rungs=[9]"))
    assert note.startswith("stopping=leaders has no effect")
    assert idle_notes(settings("rungs=[9]", "stopping=none")) == []
    (note,) = idle_notes(settings("sampler=sobol", "stopping=none", "prior=[runs/a]"))
    assert note.startswith("prior=['runs/a'] is in the report alone: neither sampler=sobol nor stopping=none")


def test_a_sampler_that_a_file_chose_is_said() -> None:
    evolving = replace(settings("strategy=evolve", "trials=5"), sampler=TpeSettings())
    assert idle_notes(evolving) == ["sampler=tpe has no effect: strategy=evolve proposes"]


def test_who_learns_of_earlier_trials() -> None:
    assert nobody_learns(settings()) == nobody_learns(settings("stopping=none")) == ""
    assert nobody_learns(settings("sampler=random")) == ""  # the rule does
    assert nobody_learns(settings("sampler=grid", "stopping=none"))
    assert "strategy=evolve" in nobody_learns(settings("strategy=evolve", "stopping=none"))


def test_time_is_that_of_the_trials_that_can_come() -> None:
    """Five trials of 10 s, one after the other."""
    evolving = settings("strategy=evolve", "confirmation=none", "rungs=[10]", "trials=50")
    assert time_lines(evolving, Pace(step=1.0, rung=0.0), 1)[0].startswith("at most about 50.0 s")
