"""What a message says to type is read back as what was meant: by a shell, and by the command behind it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from conf.compose import compose
from conf.words import as_text, as_typed, divided, expand, parsed_word, path_of, readable
from mdsearch.commands import divide
from space.shared.command_lines import command_line, setting_word, source_word
from space.shared.plain import InputError

ODD = (
    *(
        "2024",
        "007",
        "1e3",
        "null",
        "True",
        ".5",
        "inf",
        "-x",
        "--help",
        "~x",
        "a=b",
        "=",
        "x y",
        "a (1)",
        "[a]",
    ),
    *("{b}", "a,b", "it's", '"', "'x'", "\\", "a\\", '\\"', "Größe", "${seed}", "\\${seed}", "#1", "a?", "*"),
    *("a:b", "$(x)", "!!", "%", "", " ", "a\nb"),
)
SPECIAL = st.sampled_from("aZ0. _-=[]{}()'\"\\$~+?*@:;,!#ßäe\n漢/")
TEXT = st.text(SPECIAL | st.characters(exclude_categories=["Cs"]))
names = settings(max_examples=150, deadline=None, database=None)


def pasted(line: str) -> list[str]:
    program, *words = shlex.split(line)
    assert program == "mdsearch"
    return words


def test_odd_names_are_read_back() -> None:
    for text in ODD:
        is_read_back(text)


@names
@given(TEXT)
def test_any_name_is_read_back(text: str) -> None:
    is_read_back(text)


def read_as_text(word: str) -> object:
    [meant] = as_text([word], ["resume"])
    return OmegaConf.to_container(OmegaConf.create({"it": parsed_word(meant).value()}), resolve=True)["it"]


def is_read_back(text: str) -> None:
    command, word = pasted(command_line("search", resume=text))
    assert command == "search"
    assert read_as_text(word) == text
    [same] = as_text([word], ["resume"])
    assert read_as_text(same) == text  # words that a run folder holds are read once more
    assert readable(word) == word and expand([word]) == [[word]]


@names
@given(TEXT.filter(lambda text: text.strip(".") and "/" not in text and "\0" not in text))
@example("a=b")
@example("-x")
@example("recorded")
@example("again")
def test_any_folder_is_a_source_and_no_setting(name: str) -> None:
    for folder in (Path(name), Path("runs") / name, Path("/") / name):
        line = command_line("evidence", folder, out="a.md")
        command, words = divide(pasted(line))
        sources, chosen = divided(words)
        assert command == "evidence"
        assert [Path(source) for source in sources] == [folder]
        assert chosen == ["out=a.md"]
        assert not sources[0].startswith(("-", "~", "+", "recorded"))


@pytest.mark.parametrize("value", [None, True, 3, 0.5, 1e-05, "runs/a", "3", ["a b", "md", 2], []])
def test_values_of_settings_are_read_back_by_the_grammar(value: object) -> None:
    assert parsed_word(setting_word("x", value)).value() == value


def test_plain_names_stand_as_they_are() -> None:
    assert command_line("search", resume=Path("runs/first-2.b")) == "mdsearch search resume=runs/first-2.b"
    assert command_line("compare", "recorded:table", "runs/a") == "mdsearch compare recorded:table runs/a"
    assert source_word(Path("first")) == "./first"


def test_words_that_the_grammar_cannot_read_are_text() -> None:
    for text in ("Größe (2)", "a=b", "x#1", "what?", "it's"):
        assert compose("compare", [f"out={text}"])["out"] == text
    assert compose("compare", ["out=~/a", "runs=['~/b']"])["runs"] == [str(Path.home() / "b")]
    assert compose("generate", ["model=~/a", "prompt=~/b"])["prompt"] == "~/b"
    typed = ["name=2024", "name=1_0", "name=true", "trials=3", "name=null", "name=Größe"]
    read = ['name="2024"', 'name="1_0"', 'name="true"', "trials=3", "name=null", "name=Größe"]
    assert as_typed(typed, ["name"]) == read
    for word in ("rungs=[1", "name=a,b(", "budget={a", "name='x", "na me=("):
        with pytest.raises(InputError, match="cannot be read as name=value"):
            compose("compare", [word])


def test_a_path_is_read_before_anything_is_composed() -> None:
    assert path_of(["resume=a", "trials=3", "resume=b c"], "resume") == Path("b c")
    assert path_of(["resume=~/a"], "resume") == Path.home() / "a"
    assert path_of(["resume=null"], "resume") is path_of([], "resume") is None


def test_stored_fields_stand_for_a_preset_unless_a_word_names_one() -> None:
    stored = {"data": {"name": "folder", "folder": "a ${seed} \\${x}", "more": [1, "${seed}"]}}
    assert compose("train", [], stored=stored)["data"] == stored["data"]
    assert compose("train", ["data.folder=new"], stored=stored)["data"] == stored["data"] | {"folder": "new"}
    digits = compose("train", ["data=digits"])["data"]
    assert compose("train", ["data=digits"], stored=stored)["data"] == digits
    with pytest.raises(InputError, match="no preset 'stored'"):
        compose("train", ["data=stored"], stored=stored)
