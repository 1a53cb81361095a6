"""Every command that is printed, parsed as a shell and the command itself do: the settings are the run's."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import yaml

from analysis.evidence.network_files import search_command
from analysis.report.page import Page
from analysis.report.sections.next import next_section
from conf.compose import compose
from conf.words import as_text, divided
from mdsearch.__main__ import main
from mdsearch.api import settings_of
from mdsearch.commands import divide, train
from mdsearch.train_command import TrainCommand
from search.confirmation.confirmation import ConfirmationSettings
from search.named import named_architecture
from search.preparation import header_of
from search.runs.commands import more_seeds_command, train_command
from search.runs.folder import begin_record, run_around, stored_settings
from search.runs.record import Record, read_history
from search.settings import SearchSettings
from space.architecture import Architecture
from space.shared.command_lines import command_line
from space.shared.plain import InputError, from_plain, to_plain
from space.shared.retries import resume_command
from tests.search.histories import end, open_run, propose
from tests.search.sweeps import searches_of
from training.distributed.ranks import RankGroup

NAMES = ["2024", "-größe=3 [it's]?"]  # more of them in tests/conf/test_pasted.py
OWN = (  # what none of the defaults is
    "data=folder", "data.folder=photos", "data.seed=4", "evaluators=own", "training.learning_rate=0.002",
    "training.text.layers=1", "proxy.width_divisor=8", "rungs=[10,20]", "sampler=random",
)  # fmt: skip


def words_of(line: str) -> list[str]:
    program, *words = shlex.split(line)
    assert program == "mdsearch"
    return words


def a_run(folder: Path, *overrides: str) -> SearchSettings:
    """A run folder with one complete trial, as a search with these words leaves it."""
    settings, words = settings_of([*OWN, *overrides])
    folder.mkdir(parents=True)
    record = Record(folder)
    begin_record(settings, folder, record, header_of(settings, folder, words))
    key = propose(record, named_architecture("md_lite"))
    scores = {objective.name: 0.5 for objective in settings.objectives}
    rung = {"seconds": {"training": 1.0}, "decision": "end", "reason": ""}
    record.append("rung", key=key, step=20, scores=scores, **rung)
    end(record, key)
    record.close()
    (folder / "best.yaml").write_text(named_architecture("md_lite").to_yaml(), encoding="utf-8")
    return settings


@pytest.fixture(params=NAMES)
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = Path("runs") / request.param
    a_run(folder)
    return folder


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[SearchSettings]:
    """What would be searched."""
    asked: list[SearchSettings] = []

    def take(settings: SearchSettings, *rest: object) -> None:
        asked.append(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr("search.run.execute", take)
    return asked


def test_what_resumes_a_run_has_its_settings(run: Path, searches: list[SearchSettings]) -> None:
    with pytest.raises(KeyboardInterrupt):
        main(words_of(resume_command(run)))
    [asked] = searches
    assert asked == replace(stored_settings(run), resume=str(run))
    assert to_plain(asked.data)["folder"] == "photos"


def test_what_confirms_a_run_has_its_settings(run: Path, searches: list[SearchSettings]) -> None:
    own = ConfirmationSettings(best=3, references=("mine (2).yaml",), seeds=5, steps=40, stopped=1)
    with pytest.raises(KeyboardInterrupt):
        main(words_of(more_seeds_command(run, own)))
    [asked] = searches
    stored = stored_settings(run)
    assert asked == replace(stored, confirmation=asked.confirmation, resume=str(run), trials=1)
    assert asked.confirmation == replace(own, seeds=15, minutes=10)


def test_a_confirmation_of_a_usual_search_needs_no_words_and_has_more_seeds() -> None:
    usual = ConfirmationSettings()
    assert more_seeds_command(Path("runs/a"), usual) == "mdsearch confirm runs/a"
    plain = compose("confirm", [])
    del plain["run"], plain["runs_folder"]
    confirmed = from_plain(ConfirmationSettings, plain)
    assert confirmed == replace(usual, seeds=3 * usual.seeds, minutes=10)


def test_what_the_report_says_to_do_next_is_read_by_its_commands(run: Path) -> None:
    found = next_section(Page(run, read_history(run)))
    assert found is not None
    named = {}
    for _, line in found["commands"]:
        command, words = divide(words_of(line))
        sources, chosen = divided(words)
        settings = compose(command, as_text(chosen, ["prompt", "model", "run", "resume"]))
        given = (settings.get(name) for name in ("resume", "run", "model", "arch_file"))
        named[command] = sources or [path for path in given if path is not None]
    assert named == {
        "search": [str(run)],
        "confirm": [str(run)],
        "generate": [str(run / "trials" / "0")],
        "train": [str(run)],
        "count": [str(run / "best.yaml")],
    }


def test_a_run_that_was_told_its_scores_is_gone_on_with_by_serve(tmp_path: Path) -> None:
    record = open_run(tmp_path / "told")
    end(record, propose(record, named_architecture("md")))
    record.close()
    lines = (tmp_path / "told" / "record.jsonl").read_text().replace('"training"', '"elsewhere"')
    (tmp_path / "told" / "record.jsonl").write_text(lines)
    page = Page(tmp_path / "told", read_history(tmp_path / "told"))
    found = next_section(page)
    assert found is not None
    assert [words_of(line)[0] for _, line in found["commands"]] == ["serve"]


class Untrained:
    """A trainer that needs no data."""

    def __init__(self, architecture: Architecture, data: object, *given: object, **named: object) -> None:
        self.architecture, self.data, self.micro_batches = architecture, data, Mock()

    def unread_text(self) -> list[str]:
        return []


def interrupt(command: TrainCommand, words: list[str]) -> None:
    """A training that leaves its folder behind, and no state."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(train, "load_data", lambda settings: SimpleNamespace(notes=list, digest="none"))
        patched.setattr(train, "Trainer", Untrained)
        patched.setattr(train, "run_stages", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train.train(command, words, RankGroup(), None)


def test_what_trains_for_longer_has_the_data_of_the_run(run: Path) -> None:
    name, *words = words_of(train_command(run, 20))
    assert name == "train"
    stored, (command, kept) = stored_settings(run), train.command_of(words)
    assert command.data == stored.data
    assert command.proxy == stored.proxy
    assert command.training == replace(stored.training, steps=200)
    assert command.architecture() == named_architecture("md_lite")
    assert command.folder().name.startswith(f"{run.name}-")
    changed, _ = train.command_of([*words, "data=digits", "training.batch_size=3", "arch=md"])
    assert changed.data.name == "digits"
    assert changed.training == replace(command.training, batch_size=3)
    assert changed.architecture() == named_architecture("md")
    folder = command.folder()
    interrupt(command, kept)
    run.rename("elsewhere")
    name, *words = words_of(command_line("train", resume=folder))
    resumed, _ = train.command_of([*words, "training.steps=300"])
    assert (name, resumed.folder()) == ("train", folder)
    assert (resumed.data, resumed.proxy) == (command.data, command.proxy)
    assert resumed.training == replace(command.training, steps=300)


def test_a_run_without_a_winner_and_a_winner_without_its_run_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    a_run(Path("runs/a"))
    assert run_around(Path("runs/a/trials/0/architecture.yaml")) == Path("runs/a").resolve()
    train.command_of(["arch_file=runs/a/best.yaml", "training.steps=9"])
    note = capsys.readouterr().err
    assert note.startswith("note: ") and "had other settings of proxy, data; run=" in note
    train.command_of(["arch_file=runs/a/best.yaml", "data=digits", "proxy=full", "training=short"])
    assert capsys.readouterr().err == ""
    Path("runs/a/best.yaml").unlink()
    with pytest.raises(InputError, match=r"runs/a: has no winner yet"):
        train.command_of(["run=runs/a"])
    with pytest.raises(InputError, match=r"not a run folder"):
        train.command_of(["run=runs/b"])


@pytest.mark.parametrize("name", NAMES)
def test_what_compares_runs_names_them(name: str) -> None:
    folders = [Path("runs") / f"{name}-{number}" for number in (1, 2)]
    command, words = divide(words_of(command_line("compare", *folders)))
    assert command == "compare"
    assert divided(words) == ([str(folder) for folder in folders], [])


@pytest.mark.parametrize("name", NAMES)
def test_networks_are_trained_again_as_their_run_trained(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "000-a.yaml").write_text(named_architecture("md").to_yaml())
    before, words = settings_of([*OWN, "trials=9", "name=old", "enqueue=[md]"])
    new = [f'name="{name}"'] if "'" in name else [f"name='{name}'"]
    line = search_command({"overrides": words}, new, str(tmp_path / name), 1)
    command, *again = words_of(line)
    settings, _ = settings_of(again)
    assert command == "search"
    enqueue = (f"{tmp_path / name / '000-a.yaml'}",)
    changes = {"recorded": False, "trials": 1, "name": name, "enqueue": enqueue}
    assert settings == replace(before, **changes, presets=settings.presets)


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_sweep_names_its_searches_as_they_were_named(name: str) -> None:
    named = searches_of([f"name={name}", "seed=1,2"], 2)
    assert [(settings.name, settings.seed) for settings in named] == [(f"{name}-1", 1), (f"{name}-2", 2)]


def test_a_training_prints_what_goes_on_and_what_generates(tmp_path: Path) -> None:
    folder = tmp_path / "a b=(1)"
    folder.mkdir()
    (folder / "overrides.yaml").write_text(yaml.safe_dump(["data=folder", "data.folder=a", "seed=3"]))
    command, *words = words_of(command_line("train", resume=folder))
    resumed, _ = train.command_of([*words, "data.folder=moved"])
    assert (command, to_plain(resumed.data)["folder"], resumed.seed) == ("train", "moved", 3)
    assert resumed.folder() == folder


def test_nothing_else_makes_a_command_to_paste() -> None:
    root = Path(__file__).parents[2]
    rooms = ("mdsearch", "analysis", "search", "training", "evaluators", "conf", "space")
    files = {file: file.read_text(encoding="utf-8") for room in rooms for file in (root / room).rglob("*.py")}
    quoting = [str(file.relative_to(root)) for file, text in files.items() if "shlex." in text]
    completion = "mdsearch/commands/completion.py"  # a script, and no command
    assert sorted(quoting) == [completion, "space/shared/command_lines.py"]
    unquoted = re.compile(r"[`: ]mdsearch [a-z]+(?: [a-z]+)? [^\n`\"']*\{[a-z]")
    assert [str(file.relative_to(root)) for file, text in files.items() if unquoted.search(text)] == []
