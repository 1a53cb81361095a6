"""The command line: what composes, what every wrong word is told, what --help teaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conf.compose import compose
from conf.words import expand, fields_of_today
from space.shared.plain import InputError
from space.shared.renamed import note_renamed

SMALL = "small_conf"


@pytest.fixture(autouse=True)
def small_conf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def composed(*words: str, main: str = "main") -> dict[str, Any]:
    return compose(main, words, package=SMALL)


def message(*words: str, main: str = "main") -> str:
    with pytest.raises(InputError) as caught:
        composed(*words, main=main)
    return str(caught.value)


def test_defaults_are_plain_and_resolved() -> None:
    settings = composed()
    assert settings == {
        "budget": {"parameters_millions": 400, "gmacs": 200},
        "sampler": {"name": "tpe", "startup_trials": 5},
        "reference": {"width": 1024},
        "trials": 12,
        "seed": 0,
        "data": {"name": "scenes", "size_px": 32},
        "pinned": {},
        "widths": [8, 16],
        "copy_of_seed": 0,
    }
    assert {type(settings[key]) for key in ("budget", "widths", "trials")} == {dict, list, int}


def test_overrides_reach_presets_fields_and_new_keys() -> None:
    settings = composed(
        "budget=md_lite", "arch@reference=md_lite", "budget.gmacs=1.5", "seed=7", "+pinned.a=1"
    )
    assert settings["budget"] == {"parameters_millions": 280, "gmacs": 1.5}
    assert settings["reference"] == {"width": 896}
    assert (settings["copy_of_seed"], settings["pinned"]) == (7, {"a": 1})


@pytest.mark.parametrize("group", ["sampler", "stopping"])
def test_an_older_name_of_a_preset_is_understood_and_noted(
    group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    note_renamed.cache_clear()
    use = f"{group}.use=a.py:A"
    assert compose("search", [f"{group}=own", use]) == compose("search", [f"{group}=custom", use])
    note = f"note: {group}=own is now {group}=custom; the old name goes with the next release\n"
    assert capsys.readouterr().err == note


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("budget=mdlite", ["budget: no preset 'mdlite'", "did you mean 'md_lite'?", "Valid: md, md_lite"]),
        ("budget=3", ["budget: no preset '3'", "Valid: md, md_lite"]),
        ("arch@reference=mdd", ["arch: no preset 'mdd'", "did you mean 'md'?"]),
        ("bugdet=md", ["bugdet: no such key", "did you mean 'budget'?"]),
        ("budget.gmac=1", ["budget.gmac: no such key", "'budget.gmacs'", "Valid in budget: gmacs, param"]),
        ("gmacs=3", ["gmacs: no such key", "did you mean 'budget.gmacs'?"]),
        ("budget={a: 1}", ["budget.a: no such key", "Valid in budget: gmacs"]),
        ("~nothing", ["nothing: no such key"]),
        ("seed.x=1", ["seed.x: no such key", "seed holds the value 0"]),
        ("pinned.x=1", ["pinned.x: no such key", "to add a new one write +pinned.x=value"]),
        ("unused=one", ["unused: not chosen from here", "budget, sampler"]),
        ("+budget=md", ["+budget=md", "more than once"]),
        ("budget", ["'budget': a value is missing", "write budget=value"]),
        ("trials=", ["'trials=': a value is missing", "trials='' for empty text"]),
        ("=3", ["a name is missing"]),
        ("runs/a", ["'runs/a' has no name; write name=runs/a"]),
        ("data.name=\udcff", ["'data.name=\\udcff' is not UTF-8"]),
        ("--trials=3", ["not an option", "write trials=3"]),
        ("trials=[1", ["'trials=[1' cannot be read as name=value", "quotes"]),
        ("data.name='x", ["cannot be read as name=value"]),
        ("sampler=tpe,random", ["sampler=tpe,random", "only with -m"]),
        ("data.name=${nope}", ["data.name", "nope"]),
        ("hydra.run.dir=x", ["hydra.run.dir: no such key"]),
    ],
)
def test_a_wrong_word_is_told_what_would_be_right(word: str, parts: list[str]) -> None:
    told = message(word)
    assert [part for part in parts if part not in told] == []
    assert "\n" not in told


def test_what_must_be_given_is_named() -> None:
    told = message(main="needs")
    assert told.startswith("sampler: ") and told.endswith("Valid: random, tpe")
    assert message("sampler=tpe", main="needs").startswith("folder: missing (required)")
    assert composed("sampler=tpe", "folder=x", main="needs")["folder"] == "x"


@pytest.mark.parametrize("words", [[], ["x=1"]])
def test_a_mistake_of_the_yaml_itself_is_no_input_error(words: list[str]) -> None:
    with pytest.raises(Exception, match="nowhere/md") as caught:
        composed(*words, main="broken")
    assert not isinstance(caught.value, InputError)


def test_composing_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra.core.global_hydra import GlobalHydra

    monkeypatch.chdir(tmp_path)
    composed("budget=md_lite")
    assert Path.cwd() == tmp_path
    assert list(tmp_path.iterdir()) == []
    assert not GlobalHydra.instance().is_initialized()


def test_a_sweep_is_every_combination_the_first_word_slowest() -> None:
    assert expand(["budget=md,md_lite", "seed=range(0,3,2)", "w=choice([1,2],3)", "trials=5", "x=[1,2]"]) == [
        [budget, seed, width, "trials=5", "x=[1,2]"]
        for budget in ("budget=md", "budget=md_lite")
        for seed in ("seed=0", "seed=2")
        for width in ("w=[1,2]", "w=3")
    ]
    assert expand([]) == [[]]


def test_fields_of_one_preset_of_a_sweep_go_with_that_alone(tmp_path: Path) -> None:
    custom = ["sampler=custom", "sampler.use=a.py:A", "sampler.options={tries:3}"]
    words = ["sampler=custom,random,tpe", *custom[1:], "sampler.good_share=0.2", "seed=1,2"]
    random, tpe = ["sampler=random"], ["sampler=tpe", "sampler.good_share=0.2"]
    assert expand(words) == [[*each, f"seed={seed}"] for each in (custom, random, tpe) for seed in (1, 2)]
    for each in expand(["sampler=own,random", "sampler.use=a.py:A,b.py:B"]):
        assert compose("search", each)["sampler"]["name"] in ("custom", "random")
    assert expand(["sampler=own,random", "sampler.use=a.py:A,b.py:B"]) == [
        ["sampler=own", "sampler.use=a.py:A"], ["sampler=own", "sampler.use=b.py:B"], ["sampler=random"]
    ]  # fmt: skip
    (tmp_path / "my own.yaml").write_text("defaults:\n  - tpe\n  - _self_\nstartup_trials: 9\n")
    own = f"{tmp_path / 'my own.yaml'}"
    mixed = expand([f"sampler={own},random", "sampler.good_share=0.2"])
    assert [len(words) for words in mixed] == [2, 1]
    assert compose("search", mixed[0])["sampler"]["good_share"] == 0.2
    for word in ("sampler.population=3", "sampler.nothing=3"):  # of none of them, and refused where composed
        assert expand(["sampler=tpe,random", word])[0] == ["sampler=tpe", word]


@pytest.mark.parametrize("word", ["seed=interval(0,1)", "sampler=glob(*)", "seed", "seed=[1"])
def test_what_cannot_be_swept_is_refused(word: str) -> None:
    with pytest.raises(InputError, match=r"seed|sampler"):
        expand([word])


@pytest.mark.parametrize(
    ("command", "word", "name", "value"),
    [
        ("explore", "draws=7", "samples", 7),
        ("explore", "picture=map.png", "plot", "map.png"),
        ("table1", "picture=a.svg", "plot", "a.svg"),
        ("walk", "picture=a.svg", "plot", "a.svg"),
        ("train", "pictures=6", "images", 6),
        ("confirm", "halted=6", "stopped", 6),
    ],
)
def test_older_names_of_settings_are_taken_for_one_release(
    command: str, word: str, name: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    note_renamed.cache_clear()
    assert compose(command, [word])[name] == value
    assert compose(command, [f"{name}={value}"], before=[word])[name] == value  # of a training that goes on
    noted = capsys.readouterr().err
    assert noted.startswith("note: ") and f"{name}=" in noted and noted.count("\n") == 1
    with pytest.raises(InputError):
        compose(command, [word, f"{name}={value}"])


def test_an_older_name_within_a_preset_is_taken_too() -> None:
    assert compose("search", ["confirmation.halted=3"])["confirmation"]["stopped"] == 3


def test_what_an_earlier_version_kept_is_read_by_the_names_of_now() -> None:
    assert fields_of_today({"pictures": 6, "seed": 1}, "train") == {"images": 6, "seed": 1}
    assert fields_of_today([1], "train") == [1]
