"""A sampler and a rule of the user's own: the documented ones as written, and what can be wrong with one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from search.custom import keep_custom
from search.runs.record import MemoryRecord, Record
from search.samplers.base import Ranks
from search.samplers.custom import CustomSamplerSettings, custom_sampler
from search.samplers.factory import make_sampler
from search.samplers.random import RandomSampler
from search.stopping.custom import CustomRuleSettings, custom_rule
from search.stopping.factory import make_rule
from search.stopping.median import MedianRule
from search.stopping.none import NoStoppingSettings
from search.testing import RuleContract, proposed, some_past
from search.toy import NOISE, SPACE, drive, search_in
from space.shared.plain import InputError
from space.shared.renamed import note_renamed

ROOT = Path(__file__).parents[2]
SOUND = """
import random
from search.samplers.base import Proposal

class Sound:
    def __init__(self, seed, tries=3):
        self.seed, self.tries = seed, tries
    def proposals(self, space, past, number):
        chance, free = random.Random(number), space.free()
        if number == 2:
            {body}
        while True:
            yield Proposal.of(space, {name: chance.choice(values) for name, values in free.items()})

class Rule:
    def __init__(self, noise):
        pass
    def reason_to_stop(self, trial, peers, start, full_steps):
        if len(peers) == 2:
            {rule}
        return ""

class NoMethod:
    def __init__(self, seed):
        pass

class OtherArguments:
    def __init__(self, seed):
        pass
    def proposals(self, space, past):
        return iter(())

class Unmakable:
    def __init__(self, seed):
        raise OSError("no table here")
    def proposals(self, space, past, number):
        return iter(())
"""


@pytest.fixture
def own(tmp_path):
    """Writes the file, what it does at the third trial being given, and names a class of it."""

    def write(body="pass", rule="pass", name="Sound"):
        (tmp_path / "mine.py").write_text(SOUND.replace("{body}", body).replace("{rule}", rule))
        return f"{tmp_path / 'mine.py'}:{name}"

    return write


@pytest.fixture
def documented(tmp_path):
    """The files of docs/extend.md, as they stand there."""
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", (ROOT / "docs/extend.md").read_text(), re.DOTALL)
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    assert [name for name, _ in blocks] == ["my_sampler.py", "my_rule.py", "test_my_sampler.py"]
    return tmp_path


def test_the_documented_ones_pass_the_contract_by_the_documented_file(documented):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_sampler.py"]
    environment = {"PYTHONPATH": f"{ROOT}:{documented}", "PATH": "", "OMP_NUM_THREADS": "1"}  # as this one
    ran = subprocess.run(
        command, cwd=documented, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"\b2\d passed", ran.stdout)


def test_the_documented_ones_search(documented):
    sampler = CustomSamplerSettings(use=f"{documented}/my_sampler.py:Neighbours", options={"parents": 5})
    rule = CustomRuleSettings(use=f"{documented}/my_rule.py:FarBehind", options={"share": 0.9})
    search = search_in(MemoryRecord(lambda: 0.0), make_sampler(sampler, 0), make_rule(rule, NOISE), trials=20)
    drive(search)
    states = [trial.state for trial in search.history.trials]
    assert states.count("halted") >= 3 and states.count("complete") >= 3
    assert all(trial.reason.startswith("CLIP") for trial in search.history.trials if trial.state == "halted")


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (None, r"sampler\.use: missing; allowed: a class of your own, as in my_file\.py:MyClass"),
        ("Sound", r"sampler\.use: 'Sound' names no class; allowed: .*my_file\.py:MyClass"),
        ("{folder}/none.py:Sound", r"sampler\.use: .*none\.py: no such file"),
        ("{folder}/mine.py:Sund", r"has no class 'Sund'; did you mean 'Sound'\? Valid: NoMethod, Other"),
        ("{folder}/mine.py:Proposal", "has no class 'Proposal'|no method"),
        ("{folder}/mine.py:NoMethod", r"mine\.py:NoMethod has no method proposals\(space, past, number\)"),
        (
            "{folder}/mine.py:OtherArguments",
            r"cannot be called as proposals\(space, past, number\): too many",
        ),
        ("{folder}/mine.py:Unmakable", r"mine\.py:Unmakable: making it \(line \d+\): OSError: no table here"),
    ],
)
def test_what_cannot_be_made_is_said_with_file_and_class(own, tmp_path, use, said):
    own()
    with pytest.raises(InputError, match=said):
        custom_sampler(use and use.replace("{folder}", str(tmp_path)), None, 0)


def test_options_that_do_not_fit_are_said_with_those_that_would(own):
    with pytest.raises(InputError, match=r"made with seed=, trys=?: .*'trys'; .*Sound\(seed, tries=3\)"):
        custom_sampler(own(), {"trys": 5}, 0)
    assert custom_sampler(own(), {"tries": 5}, 7).made.tries == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Sound(:\n", r"cannot be imported \(line 1\): SyntaxError"),
        ("import numpy_\n", r"cannot be imported \(line 1\): ModuleNotFoundError: No module named 'numpy_'"),
    ],
)
def test_a_file_that_cannot_be_imported_is_said_with_the_line(tmp_path, text, said):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(InputError, match=said):
        custom_sampler(f"{tmp_path}/mine.py:Sound", None, 0)


CHOSEN = "params = {name: values[0] for name, values in free.items()}; made = Proposal.of(space, params)"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("1 / 0", r"proposals \(line 11\): ZeroDivisionError: division by zero"),
        ("yield free", r"proposals: it yielded \{.*allowed: a Proposal"),
        (
            "yield Proposal.of(space, {'level_1.chanels': 1})",
            r"line 11\): level_1\.chanels: no free choice.*mean",
        ),
        ("yield Proposal.of(space, {})", r"level_1\.channels: missing; allowed: \[256, 320\]"),
        (
            f"{CHOSEN}; yield Proposal.of(space, params, {{'x': {{1}}}})",
            "attributes: .* cannot be recorded as",
        ),
        (
            f"{CHOSEN}; yield Proposal(params | {{'level_2.channels': 896}}, made.architecture)",
            "params that do not encode its architecture",
        ),
    ],
)
def test_what_goes_wrong_in_a_sampler_is_one_message_and_the_record_goes_on(own, tmp_path, body, said):
    none = make_rule(NoStoppingSettings(), NOISE)
    use, record = own(body), Record(tmp_path)
    with pytest.raises(InputError, match=said) as raised:
        drive(search_in(record, custom_sampler(use, None, 0), none, trials=4))
    assert str(raised.value).startswith(use) and str(raised.value).endswith("what was recorded is kept")
    record.close()
    own()  # put right
    record = Record(tmp_path)
    assert [trial.state for trial in record.history.trials] == ["complete"] * 2
    drive(search_in(record, custom_sampler(use, None, 0), none, trials=4))
    assert [trial.state for trial in record.history.trials] == ["complete"] * 4
    record.close()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("return None", r"reason_to_stop: it returned None; allowed: why it stops"),
        ("return start.fid / 0", r"reason_to_stop \(line 20\): ZeroDivisionError"),
    ],
)
def test_what_goes_wrong_in_a_rule_is_one_message_and_the_trial_goes_on(own, tmp_path, rule, said):
    use, record = own(rule=rule, name="Rule"), Record(tmp_path)
    with pytest.raises(InputError, match=said):
        drive(search_in(record, RandomSampler(0), custom_rule(use, None, NOISE), trials=4))
    record.close()
    own()
    record = Record(tmp_path)
    assert [trial.state for trial in record.history.trials] == ["complete", "complete", "running"]
    drive(search_in(record, RandomSampler(0), custom_rule(use, None, NOISE), trials=4))
    assert [trial.state for trial in record.history.trials] == ["complete"] * 4
    record.close()


def test_numpy_numbers_become_plain_ones(own):
    body = "import numpy; yield Proposal.of(space, {n: numpy.array(v)[0] for n, v in free.items()})"
    made = proposed(custom_sampler(own(body), None, 0), [], number=2, count=1)[0]
    assert json.loads(json.dumps(made.params)) == made.params


def test_what_a_user_sampler_also_can_is_handed_on(tmp_path):
    (tmp_path / "two.py").write_text(
        "class Plain:\n    def __init__(self, seed): pass\n"
        "    def proposals(self, space, past, number): return iter(())\n"
        "class Ranking(Plain):\n    exhaustive = True\n"
        "    def rank(self, space, candidates, past, number): return list(range(len(candidates)))[::-1]\n"
        "class Wrong(Plain):\n    def rank(self, space, candidates, past, number): return [0, 0]\n"
    )
    plain, ranking, wrong = (
        custom_sampler(f"{tmp_path}/two.py:{name}", None, 0) for name in ("Plain", "Ranking", "Wrong")
    )
    assert not isinstance(plain, Ranks) and not plain.exhaustive
    assert isinstance(ranking, Ranks) and ranking.exhaustive
    candidates = [SPACE.architecture(SPACE.pinned() | seen.params) for seen in some_past(2)]
    assert ranking.rank(SPACE, candidates, [], 0) == [1, 0]
    with pytest.raises(InputError, match=r"two\.py:Wrong: rank: .* \[0, 0\]; allowed: each place"):
        wrong.rank(SPACE, candidates, [], 0)


def test_a_run_keeps_each_version_and_says_that_the_file_has_changed(own, tmp_path):
    use, record, said = own(), MemoryRecord(lambda: 0.0), []

    def session():
        kept = keep_custom(tmp_path, record.history, said.append, sampler=use, stopping=None)
        record.append("session", trials=1, own=kept)

    session(), session()
    assert said == [] and len(list((tmp_path / "own").iterdir())) == 1
    own("1 / 0")
    session(), session()
    assert len(said) == 1 and said[0].startswith(f"{use}: its file has changed")
    assert {
        path.read_text() == (tmp_path / "mine.py").read_text() for path in (tmp_path / "own").iterdir()
    } == {
        True,
        False,
    }


def test_a_changed_file_is_read_anew(own):
    use = own()
    before = proposed(custom_sampler(use, None, 0), [], number=2)
    own("chance = random.Random(99)")
    assert proposed(custom_sampler(use, None, 0), [], number=2) != before


def test_a_rule_by_the_old_name_of_its_method_stops_as_before_and_is_told(own, tmp_path, capsys):
    use = own(rule='return "behind"', name="Rule")
    file = tmp_path / "mine.py"
    file.write_text(file.read_text().replace("reason_to_stop", "reason_to_halt"))
    note_renamed.cache_clear()
    rule = custom_rule(use, None, NOISE)
    said = "note: reason_to_halt of a stopping rule is now reason_to_stop; the old name goes with the next"
    assert capsys.readouterr().err.startswith(said)
    search = search_in(MemoryRecord(lambda: 0.0), RandomSampler(0), rule, trials=4)
    drive(search)
    stopped = [trial for trial in search.history.trials if trial.state == "halted"]
    assert [trial.number for trial in stopped] == [2] and stopped[0].reason == "behind"


class StoppingByTheOldName:
    def __init__(self, noise):
        self.rule = MedianRule(minimum_peers=1)

    def reason_to_halt(self, trial, peers, start, full_steps):
        return self.rule.reason_to_stop(trial, peers, start, full_steps)


class TestARuleByTheOldName(RuleContract):
    make = StoppingByTheOldName
