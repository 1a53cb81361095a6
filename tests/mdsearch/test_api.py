"""`import mdsearch`: every public name, at once and without a search's libraries; searches from words."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import mdsearch
from mdsearch.__main__ import main
from space.shared.retries import resume_command

ROOT = Path(__file__).parents[2]
BARE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "optuna", "hydra", "omegaconf"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import mdsearch
print(sorted(name for name in ("torch", "yaml", "space.architecture", "search.run") if name in sys.modules))
from mdsearch import Architecture, Budget, Curve, InputError, Proposal, Sampler, StoppingRule, price
print(price(Architecture.load("conf/arch/md.yaml")).parameters)
"""


def test_every_public_name_is_there_once() -> None:
    assert len(set(mdsearch.__all__)) == len(mdsearch.__all__)
    for name in mdsearch.__all__:
        assert getattr(mdsearch, name) is not None
    assert set(mdsearch.__all__) <= set(dir(mdsearch))
    with pytest.raises(AttributeError, match="'mdsearch' has no attribute 'Archtecture'"):
        mdsearch.Archtecture  # noqa: B018


def test_importing_it_imports_nothing_and_pricing_works_where_a_search_does_not() -> None:
    ran = subprocess.run([sys.executable, "-c", BARE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "[]\n387376712\n"), ran.stderr


def test_settings_are_those_of_the_command_line() -> None:
    settings = mdsearch.settings("budget=md_lite", "trials=6", "sampler=random")
    assert (settings.trials, settings.sampler.name, settings.budget.gmacs) == (6, "random", 156)
    with pytest.raises(mdsearch.InputError, match="did you mean 'budget'"):
        mdsearch.settings("bugdet=md")


def test_a_search_is_run_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[mdsearch.SearchSettings, list[str]]] = []
    monkeypatch.setattr("search.run.execute", lambda settings, words, *_: asked.append((settings, words)))
    mdsearch.search("trials=2", f"runs_folder={tmp_path}")
    [(settings, words)] = asked
    assert (settings.trials, words) == (2, ["trials=2", f"runs_folder={tmp_path}"])
    with pytest.raises(mdsearch.InputError, match=r"no record\.jsonl here"):
        mdsearch.read_run(tmp_path)


@pytest.mark.parametrize("name", ["plain", "two words", "a,b [c] {d}", "it's"])
def test_what_a_message_says_to_type_means_that_folder(name: str, tmp_path: Path) -> None:
    """A hint is pasted into a shell, whose words go through Hydra: neither may read the name otherwise."""
    command, *words = shlex.split(resume_command(tmp_path / name))
    assert command == "mdsearch"
    with pytest.raises(mdsearch.InputError) as caught:
        main(words)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
