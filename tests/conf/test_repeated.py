"""A name given twice, and words that leave each other without effect: refused, with both named."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.compose import compose
from conf.words import expand
from mdsearch.api import settings
from mdsearch.commands import count, evaluate, noise, train
from space.architecture import Architecture
from space.shared.plain import InputError
from space.shared.strict_yaml import RepeatedKey, read_yaml


@pytest.mark.parametrize(
    ("main", "words", "name"),
    [
        ("search", ["trials=3", "trials=4"], "trials"),
        ("search", ["trials=3", "++trials=4"], "trials"),
        ("search", ["~prior", "prior=[a]"], "prior"),
        ("search", ["budget=md", "budget=md_lite"], "budget"),
        ("search", ["budget={gmacs: 9}", "budget.gmacs=8"], "budget.gmacs"),
        ("search", ["scoring={images: 9}", "scoring={images: 8, reference: a}"], "scoring.images"),
        ("search", ["sampler=tpe", "sampler=custom"], "sampler"),
        ("search", ["sampler=tpe", "sampler.name=random"], "sampler"),
        ("search", ["sampler=tpe", "sampler={name: random}"], "sampler"),
        ("search", ["data.name=folder", "data=scenes"], "data"),
        ("search", ["noise.fid=null", "noise.fid.a=3"], "noise.fid"),
        ("evidence", ["budget@md_budget=md", "budget@md_budget=none"], "budget@md_budget"),
        ("evaluate", ["images=a", "reference=b", "images=c"], "images"),
    ],
)
def test_a_name_given_twice_is_refused_with_both_words(main: str, words: list[str], name: str) -> None:
    with pytest.raises(InputError) as caught:
        compose(main, words)
    told = str(caught.value)
    both = [word for word in words if name.partition(".")[0] in word.partition("=")[0]]
    assert told.startswith(f"{name}: given twice")
    assert [word for word in both if repr(word.removeprefix("++")) not in told] == []


def test_an_old_name_and_its_new_one_are_one_name() -> None:
    with pytest.raises(InputError, match=r"^sampler: given twice"):
        compose("search", ["sampler=own", "sampler=custom"])


def test_what_a_shell_made_of_braces_is_told_to_be_quoted() -> None:
    with pytest.raises(InputError, match=r"images: given 3 times, as 'images=a/0\.tar' and .*in quotes"):
        evaluate.main([f"images=a/{number}.tar" for number in range(3)])


@pytest.mark.parametrize(
    "words",
    [
        ["budget=md_lite", "budget.gmacs=9", "budget={parameters_millions: 99}"],
        ["sampler=own", "sampler.use=a.py:A", "sampler.name=own"],
        ["evaluators=own", "evaluators.name=mine"],
        ["weights.files={}", "++weights.files.a=b"],
    ],
)
def test_a_preset_and_fields_of_it_go_together(words: list[str]) -> None:
    assert compose("search", words)


def test_the_words_of_a_notebook_are_held_to_it_too() -> None:
    with pytest.raises(InputError, match="trials: given twice"):
        settings("trials=3", "trials=3")


def test_an_earlier_command_line_may_be_given_anew() -> None:
    before = ["cluster=existing", "trials=3", "seed=1", "trials=4", "budget=md_lite"]
    found = compose("search", ["cluster=local", "trials=5", "budget={gmacs: 9}"], before=before)
    assert (found["cluster"]["address"], found["trials"], found["seed"]) == (None, 5, 1)
    assert found["budget"] == compose("search", ["budget=md_lite", "budget.gmacs=9"])["budget"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["seed=1,2", "trials=3", "seed=3"], "seed: given twice, as 'seed=1,2' and 'seed=3'"),
        (["seed=1,2,1"], "seed=1,2,1: lists 1 twice"),
    ],
)
def test_a_sweep_runs_nothing_twice(words: list[str], told: str) -> None:
    with pytest.raises(InputError) as caught:
        expand(words)
    assert str(caught.value).startswith(told)


def test_a_key_given_twice_in_a_mapping_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'gmacs' is given twice"):
        compose("search", ["budget={gmacs: 1, gmacs: 2}"])
    file = tmp_path / "mine.yaml"
    file.write_text("context_width: 1\nlevels: []\ncontext_width: 2\n")
    with pytest.raises(InputError, match=r"mine\.yaml: .*'context_width' is given twice.* line 3"):
        Architecture.load(file)
    with pytest.raises(RepeatedKey, match=r"'a' .* twice.* line 2"):
        read_yaml("b: {a: 1,\n a: 2}")
    assert read_yaml("a: {b: 1}\nc: {b: 1}") == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize(
    ("main", "words", "name"),
    [
        (count.main, ["arch_file=a.yaml", "arch=sd15"], "arch"),
        (count.main, ["+arch.head_width=8", "arch_file=a.yaml"], "arch.head_width"),
        (train.main, ["arch=md", "arch_file=a.yaml"], "arch"),
        (train.main, ["resume=a", "arch=md"], "arch"),
        (train.main, ["resume=a", "out=b"], "out"),
        (train.main, ["resume=a", "run=b"], "run"),
        (
            evaluate.main,
            ["evaluator=a", "evaluators.images.size_px=8", "images=b"],
            "evaluators.images.size_px",
        ),
    ],
)
def test_a_word_that_another_leaves_without_effect_is_refused(main, words: list[str], name: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError) as caught:
        main(words)
    assert str(caught.value).startswith(f"{name}: has no effect beside")


def test_a_run_counts_once_however_it_is_written(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "record.jsonl").write_text("")
    with pytest.raises(InputError, match="named twice"):
        noise.main([str(run), f"{tmp_path}/./run/"])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "sampler.name=random",
            "sampler.name: 'random' has other fields than 'lasso'; write sampler=random",
        ),
        (
            "stopping={name: asha}",
            "stopping.name: 'asha' has other fields than 'leaders'; write stopping=asha",
        ),
        ("data.name=digits", "data.name: 'digits' has other fields than 'scenes'; write data=digits"),
    ],
)
def test_a_name_of_another_preset_chooses_none(word: str, said: str) -> None:
    """Its fields would stay those of the preset that is there."""
    with pytest.raises(InputError) as caught:
        compose("search", [word])
    assert str(caught.value) == said


def test_the_name_of_the_preset_that_is_there_is_no_fault() -> None:
    assert compose("search", ["sampler.name=lasso"])["sampler"] == compose("search", [])["sampler"]
    assert compose("search", ["sampler=random", "sampler.name=random"])["sampler"] == {"name": "random"}
