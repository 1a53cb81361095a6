"""The table of commands: what is listed, what a wrong word is told, and that help waits for nothing."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path

import pytest

from conf.help import help_text
from mdsearch.__main__ import commands_text, main, run_and_exit
from mdsearch.commands import COMMANDS, FLAT, divide, run_command
from space.shared.plain import InputError

ROOT = Path(__file__).parents[2]
SLOW = ("torch", "ray", "optuna", "matplotlib", "pandas", "scipy")
HELP = """
import contextlib, io, sys
from mdsearch.__main__ import main
text = io.StringIO()
with contextlib.redirect_stdout(text):
    for command in sys.argv[1:]:
        assert main([*command.split(), "--help"]) == 0
print(text.getvalue())
print([name for name in SLOW if name in sys.modules])
"""


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["-h"]) == main(["--help"]) == 0
    assert capsys.readouterr().out == f"{commands_text()}\n" * 3
    for name, about in FLAT.items():
        assert re.search(rf"^  {name} +{re.escape(about)}$", commands_text(), re.MULTILINE)
    assert [title for title in COMMANDS if f"\n{title}:\n" not in commands_text()] == []


def test_help_may_be_asked_for_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == main(["--help"]) == 0
    whole = capsys.readouterr().out
    assert whole == f"{commands_text()}\n" * 2
    assert main(["help", "generate", "samples"]) == main(["generate", "samples", "--help"]) == 0
    assert capsys.readouterr().out == f"{help_text('generate_samples')}\n" * 2


def test_every_command_of_the_table_has_its_file_and_its_settings_and_every_file_is_in_the_table() -> None:
    files = {name.replace(" ", "_") for name in FLAT}
    assert files == {path.stem for path in (ROOT / "mdsearch" / "commands").glob("[!_]*.py")}
    assert files == {path.stem for path in (ROOT / "conf").glob("*.yaml")}
    assert all(callable(import_module(f"mdsearch.commands.{name}").main) for name in files)


def test_help_of_every_command_names_its_examples_and_imports_nothing_slow() -> None:
    """What takes seconds to import is imported when a command runs, so that help comes at once."""
    code = HELP.replace("SLOW", repr(SLOW))
    ran = subprocess.run(
        [sys.executable, "-c", code, *FLAT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "[]"
    assert ran.stdout.count("\nExamples:\n") == len(FLAT)
    for command in FLAT:
        assert f"\n  mdsearch {command}" in ran.stdout


@pytest.mark.parametrize("command", FLAT)
def test_examples_name_a_command_and_settings_that_there_are(command: str) -> None:
    text = help_text(command.replace(" ", "_")).replace("\\\n", "")
    for example in re.findall(r"^  mdsearch (.*?)(?:  #.*)?$", text.partition("\nExamples:\n")[2], re.M):
        words = shlex.split(example)
        name, rest = divide(words)
        assert name in FLAT
        known = help_text(name.replace(" ", "_"))
        for word in rest:
            field = re.match(r"\+?([\w.]+)=", word)
            if field and name == command and not word.startswith("+"):
                group = field[1].partition(".")[0]
                shown = (f"  {field[1]}=", f"{group}=...", f"  {group}.", f"  {group}={{}}")
                assert any(each in known for each in shown), word


def test_the_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mdsearch {metadata.version('mdsearch')}\n"


@pytest.mark.parametrize(
    ("words", "command", "left"),
    [
        ("search", "search", []),
        ("generate curves run=runs/a", "generate curves", ["run=runs/a"]),
        ("generate model=a", "generate", ["model=a"]),
        ("evidence recorded out=a.md", "evidence", ["recorded", "out=a.md"]),
        ("evidence again runs/a", "evidence again", ["runs/a"]),
        ("compare runs/a runs/b", "compare", ["runs/a", "runs/b"]),
    ],
)
def test_words_divide_into_a_command_and_the_rest(words: str, command: str, left: list[str]) -> None:
    assert divide(words.split()) == (command, left)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("serch", "serch: no such command; did you mean 'search'"),
        (
            "qqq abc",
            "qqq: no such command; Valid: attach, average, build, compare, completion, confirm, convert, ",
        ),
        ("generate sampels model=a", "generate sampels: no such command; did you mean 'generate samples'"),
        ("evidence pair runs/a", "evidence pair: no such command; did you mean 'evidence pairs'"),
    ],
)
def test_what_is_no_command_is_refused_in_one_line(words: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        main(words.split())
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_a_run_that_is_called_like_a_part_of_a_command_is_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pair").mkdir()
    assert divide(["evidence", "pair"]) == ("evidence", ["pair"])


def test_settings_alone_are_a_search_with_a_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[tuple[str, list[str]]] = []

    def run(name: str, words: list[str]) -> int:
        called.append((name, words))
        return 0

    monkeypatch.setattr("mdsearch.__main__.run_command", run)
    assert main(["trials=3"]) == main(["-m", "trials=3,4"]) == 0
    assert called == [("search", ["trials=3"]), ("search", ["-m", "trials=3,4"])]
    assert capsys.readouterr().err.count("is now mdsearch search name=value") == 2


def test_a_command_returns_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdsearch.commands.walk.main", lambda words: len(words))
    assert run_command("walk", ["a", "b"]) == 2


def _raise(error: BaseException) -> Callable[[list[str]], int]:
    def main(words: list[str]) -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "status", "told"),
    [
        (len, 1, ""),
        (_raise(InputError("trials: too few")), 2, "error: trials: too few\n"),
        (_raise(KeyboardInterrupt()), 130, ""),
    ],
)
def test_what_happened_becomes_a_status(
    main: Callable[[list[str]], int], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run_and_exit(main, ["word"])
    assert caught.value.code == status
    assert capsys.readouterr().err == told


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_and_exit(_raise(ZeroDivisionError()), [])
