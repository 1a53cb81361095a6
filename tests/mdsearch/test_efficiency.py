"""`mdsearch efficiency`: what it compares, writes and refuses."""

import json

import pytest

from analysis.efficiency.figures import DEFAULT
from conf.compose import compose
from mdsearch.commands.efficiency import COMPARED_STRATEGIES, main
from space.shared.plain import InputError
from tests.analysis.replay.recordings import write_run


def test_our_default_is_the_searchs_own_and_replays_too():
    of_search, of_replay = (compose("search", []), compose("replay", ["runs=[a]"]))
    assert COMPARED_STRATEGIES[DEFAULT] == ()
    for group in ("sampler", "stopping"):
        assert of_search[group] == of_replay[group]


def test_who_is_taught_is_said_by_the_searchs_own_words():
    taught = [name for name, words in COMPARED_STRATEGIES.items() if compose("search", words)["recorded"]]
    assert taught == ["TPE, no stopping, taught", "our default, no stopping", DEFAULT]


CUSTOM = """
from mdsearch import Proposal
from space.choices import UniformSuggestions
import random

class Mine:
    def __init__(self, seed):
        self.chance = random.Random(seed)

    def proposals(self, space, past, number):
        while True:
            yield Proposal.of(space, space.encode(space.sample(UniformSuggestions(self.chance))))
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "table"
    return write_run(folder, "trials=16", "stopping=none", "sampler=sobol", noise=0.05)


def test_the_command_reports_every_strategy_and_the_same_each_time(recorded, tmp_path, capsys):
    (tmp_path / "my file.py").write_text(CUSTOM)
    use = f"sampler.use='{tmp_path}/my file.py:Mine'"
    also = ["stopping=median", "sampler=random rungs=[4]", f'sampler=custom "{use}" recorded=false']
    words = [str(recorded), "half=all", "budgets=1,3", *(f"also={one}" for one in also)]
    for name in ("a", "b"):
        assert main([*words, "halves=2", "seeds=1", f"out={tmp_path / name}"]) == 0
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "a" / "efficiency.json").read_text())
    assert list(found["strategies"]) == [*COMPARED_STRATEGIES, *also]
    assert all(len(one["full_lengths_to_top"]) == 2 for one in found["strategies"].values())
    text = (tmp_path / "a" / "efficiency.md").read_text()
    assert (
        text in said
        and "| oracle at the first rung |" in text
        and "| oracle at a quarter |" not in text  # the first rung is there
        and "What stopping gains" in text
        and "2 halves of the table, 1 seed each: 8 networks replayed, the top 1; 8 teachers" in text
    )
    assert (tmp_path / "a" / "efficiency.png").read_bytes().startswith(b"\x89PNG")
    for name in ("efficiency.md", "efficiency.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no run named"),
        (["a", "half=third"], "half: 'third' is not a choice here; Valid: all"),
        (["a", "halves=null", "seeds=1"], "seeds: 1 is too few"),
        (["a", "halves=1"], "halves: 1 is too few for an interval; allowed: 2 or more, or null"),
        (["a", "seeds=0"], "seeds: 0 is too few"),
        (["a", "share=0.5"], "share: 0.5 .*allowed: with halves=null"),
        (["a", "seeds=many"], "seeds: expected a whole number, got 'many'"),
        (["a", "share=0"], "share: 0 is not a share"),
        (["a", "budgets=0"], "budgets: "),
        (["a", "seedz=4"], "seedz: no such key; did you mean 'seeds'"),
        (["nowhere"], "nowhere: no record.jsonl here"),
    ],
)
def test_bad_words_are_refused_in_one_line(words, said):
    with pytest.raises(InputError, match=said):
        main(words)
