"""What the tab key offers, by running the function that bash would call."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from mdsearch.commands import FLAT
from mdsearch.commands.completion import main, script
from space.shared.plain import InputError

ASK = """
source "$1"; shift
for line in "$@"; do
  COMP_LINE="$line" COMP_POINT=${#line} COMPREPLY=()
  _mdsearch
  echo "${COMPREPLY[*]}"
done
"""


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("completion") / "mdsearch"
    file.write_text(script("bash"))
    return file


def offered(bash: Path, *lines: str) -> list[list[str]]:
    ran = subprocess.run(
        ["bash", "-c", f"IFS=' '; {ASK}", "bash", str(bash), *lines],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""
    return [line.split() for line in ran.stdout.splitlines()]


def test_bash_is_offered_commands_groups_presets_and_fields_of_what_is_chosen(bash: Path) -> None:
    firsts, seconds, names, presets, fields, chosen, placed, paths, unknown = offered(
        bash,
        "mdsearch ",
        "mdsearch generate s",
        "mdsearch search bud",
        "mdsearch search trials=3 budget=md",
        "mdsearch search data.s",
        "mdsearch search data=folder data.",
        "mdsearch evidence recorded budget@md_lite_budget=n",
        "mdsearch search enqueue=a",
        "mdsearch serch ",
    )
    assert set(firsts) == {command.split()[0] for command in FLAT} | {"--help", "--version"}
    assert seconds == ["samples", "seed=", "steps="]
    assert names[:2] == ["budget=", "budget.parameters_millions="]
    assert presets == ["md", "md_lite"]  # behind the sign of equality, where bash parts words
    assert fields == ["data.scenes=", "data.style=", "data.seed="]
    assert "data.captions=" in chosen and "data.scenes=" not in chosen
    assert placed == ["none"]
    assert paths == unknown == []  # bash then completes names of files


def test_a_single_word_is_ended_and_a_name_waits_for_its_value(bash: Path) -> None:
    code = f"{ASK.replace('${COMPREPLY[*]}', '[${COMPREPLY[*]}]')}"
    lines = ["mdsearch sea", "mdsearch search tri"]
    ran = subprocess.run(
        ["bash", "-c", code, "bash", str(bash), *lines], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[search ]\n[trials=]\n"


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
def test_zsh_reads_its_script() -> None:
    code = "autoload -U compinit; compinit -u -D; source /dev/stdin; _mdsearch_candidates budget=m search"
    ran = subprocess.run(
        ["zsh", "-f", "-c", code], input=script("zsh"), capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["budget=md", "budget=md_lite", "budget=none"]


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef mdsearch\n")
    with pytest.raises(InputError, match=r"shell: 'fish' is not a choice here"):
        main(["fish"])
    with pytest.raises(InputError, match="shell: given twice"):
        main(["bash", "zsh"])
    with pytest.raises(InputError, match="shell: missing"):
        main([])
