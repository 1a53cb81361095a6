"""What --help teaches, all of it from YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.files import presets_of
from conf.help import groups, help_text
from space.shared.plain import InputError

SMALL = "small_conf"


@pytest.fixture(autouse=True)
def small_conf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def test_groups_are_those_chosen_from_with_their_descriptions() -> None:
    assert groups("main", package=SMALL) == {
        "arch@reference": {"md": "", "md_lite": "Lite"},
        "budget": {"md": "400 M parameters, 200 GMACs", "md_lite": "Just above MD-Lite"},
        "sampler": {"random": "At random", "tpe": "Tree-structured Parzen estimator"},
    }


def test_help_teaches_presets_fields_and_examples() -> None:
    lines = help_text("main", package=SMALL).splitlines()
    squeezed = [" ".join(line.split()) for line in lines]
    for expected in (
        "What it does,",
        "budget=... (default md)",
        "md_lite Just above MD-Lite",
        "trials=12 trials to train, at most",
        "data.name=scenes scenes or digits",
        "budget.parameters_millions=400 at most",
        "reference.width=1024",
    ):
        assert expected in squeezed
    assert lines[:3] == ["What it does,", "on two lines.", ""]
    assert lines[-2:] == ["Examples:", "  x budget=md  # less"]
    assert not [line for line in squeezed if line.startswith("defaults")]
    chosen = [line.partition("=")[0] for line in squeezed if "=... " in line]
    assert chosen == ["budget", "sampler", "arch@reference"]


def test_every_preset_of_the_project_describes_itself_in_its_first_line() -> None:
    presets = presets_of("conf")
    assert {"arch", "budget", "sampler", "stopping", "space"} <= set(presets)
    silent = [
        f"{group}/{name}" for group in presets for name, text in presets[group].items() if text[:2] != "# "
    ]
    assert silent == []


def test_help_shows_the_fields_of_the_presets_that_the_words_choose() -> None:
    words = ["data=folder", "sampler=own", "budget=md,none", "name=a (b"]
    usual, chosen = help_text("search"), help_text("search", words)
    assert "  data.scenes=5760 " in usual and "  data.folder=" not in usual
    assert "mdsearch search strategy=evolve --help" in usual
    assert "  data.folder=...  " in chosen and "required: of the images" in chosen
    assert "  data.scenes" not in chosen and "  sampler.use=" in chosen
    assert "\ndata=... (default scenes; here folder)\n" in chosen


def test_help_shows_the_fields_of_the_preset_that_a_preset_begins_with() -> None:
    shown = help_text("train", ["training=emoji"])
    assert "training.defaults" not in shown and "  training.gradient_clip=1.0 " in shown
    rate = next(line for line in shown.splitlines() if line.startswith("  training.learning_rate="))
    assert "=2e-3 " in rate and rate.endswith("of AdamW, after the warm-up")  # its value, the other's words


@pytest.mark.parametrize(
    ("main", "word", "said"),
    [
        (
            "search",
            "data=photos",
            "data: no preset 'photos'; Valid: digits, emoji, encoded, folder, scenes, stream, or a .yaml "
            "file",
        ),
        ("train", "sampler=tpe", "sampler: not chosen from here; Valid: arch, data, proxy, recipe, training"),
    ],
)
def test_help_refuses_a_preset_that_there_is_not(main: str, word: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        help_text(main, [word])
    assert str(caught.value) == said
