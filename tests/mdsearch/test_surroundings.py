"""The installed command, in folders, locales and homes that are not ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mdsearch.surroundings import settle
from tests.traps import COMMAND, ROOT, folder_with_traps, of_a_user

WORKERS = """
import math, operator
from mdsearch.surroundings import settle
settle()
from space.shared.workers import in_workers
if __name__ == "__main__":
    for method in ("spawn", "forkserver"):
        found = in_workers(operator.neg, [1, 2], 1, math.sqrt, method=method, preload=["conf.files"])
        print(sorted(found))
"""


@pytest.fixture
def traps(tmp_path: Path) -> Path:
    return folder_with_traps(tmp_path / "here")


def run(*words: str, cwd: Path, **environment: str | None) -> subprocess.CompletedProcess[str]:
    environment = of_a_user(**environment)
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_installed_command_imports_nothing_from_the_current_folder(traps: Path) -> None:
    ran = run(COMMAND, "count", "arch=md", "format=json", cwd=traps)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["parameters"] == 387376712


@pytest.mark.parametrize("temporary", [".", "long" * 30])  # a fork server's socket has no room for the second
def test_nor_do_worker_processes(temporary: str, traps: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(WORKERS)
    (tmp_path / temporary).mkdir(exist_ok=True)
    ran = run(sys.executable, str(script), cwd=traps, TMPDIR=str(tmp_path / temporary))
    assert (ran.returncode, ran.stdout) == (0, "[-2, -1]\n[-2, -1]\n"), ran.stderr


def test_ray_is_told_of_no_folder_but_our_own() -> None:
    from ray.job_config import JobConfig

    from search.backends.import_path import importing_ours

    job = importing_ours(JobConfig())
    job._py_driver_sys_path.extend(["/somewhere", str(ROOT)])  # as ray.init does with the current folder
    assert job._py_driver_sys_path == [str(ROOT)]
    assert list(job._get_proto_job_config().py_driver_sys_path) == [str(ROOT)]


ASCII = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}


def test_a_current_folder_that_was_removed_is_one_line(tmp_path: Path) -> None:
    ran = run("bash", "-c", f"mkdir gone && cd gone && rmdir ../gone && {COMMAND} count", cwd=tmp_path)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1) and "folder was removed" in ran.stderr


def test_an_ascii_terminal_gets_what_it_can_show(tmp_path: Path) -> None:
    ran = run(COMMAND, "count", "arch=md", cwd=tmp_path, **ASCII)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "387,376,712" in ran.stdout and ran.stdout.isascii()


def test_json_stays_json_on_an_ascii_stream(tmp_path: Path) -> None:
    code = """
from mdsearch.surroundings import settle
settle()
print('["caf\\u00e9 \\u2203 \\U0001f600"]')
"""
    ran = run(sys.executable, "-c", code, cwd=tmp_path, **ASCII)
    assert ran.stdout.isascii() and json.loads(ran.stdout) == ["caf\u00e9 \u2203 \U0001f600"]


@pytest.mark.parametrize(
    ("word", "environment", "told"),
    [
        (b"arch_file=\xff.yaml", {}, r"word: 'arch_file=\udcff.yaml' is not UTF-8; allowed: UTF-8"),
        ("arch_file=ä.yaml".encode(), ASCII, "with PYTHONUTF8=1"),
    ],
)
def test_bytes_that_are_not_utf8_are_refused_in_one_line(
    word: bytes, environment: dict[str, str], told: str, tmp_path: Path
) -> None:
    ran = run(COMMAND, "count", os.fsdecode(word), cwd=tmp_path, **environment)
    assert ran.returncode == 2
    assert told in ran.stderr and ran.stderr.count("\n") == 1


def test_a_reader_that_has_had_enough_ends_a_command_quietly(tmp_path: Path) -> None:
    command = f"{COMMAND} count | true; exit ${{PIPESTATUS[0]}}"
    ran = run("bash", "-c", command, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk that is always full here")
@pytest.mark.parametrize("words", ["count", "--help"])  # by rich, and by print
def test_a_full_disk_under_the_output_is_one_line(words: str, tmp_path: Path) -> None:
    ran = run("bash", "-c", f"{COMMAND} {words} > /dev/full", cwd=tmp_path)
    assert ran.returncode == 1 and ran.stderr.count("\n") == 1
    assert ran.stderr.startswith("error: ") and ran.stderr.endswith(": No space left on device\n")


@pytest.mark.parametrize("home", [None, "/dev/null", "absent"])
def test_a_home_that_is_missing_or_cannot_be_written_ends_no_command(
    home: str | None, tmp_path: Path
) -> None:
    """Nor does a user without an entry, as in many a container."""
    code = """
import getpass, os, pwd, sys
if sys.argv[1:]:
    def unknown(uid): raise KeyError(uid)
    pwd.getpwuid = unknown
from mdsearch.surroundings import settle
settle()
from space.shared.caches import cache_folder
folder = cache_folder(None, "weights")
folder.mkdir(parents=True)
print(getpass.getuser(), os.path.expanduser("~"), folder, sep="\\n")
"""
    cleared = dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME", "TMPDIR"))
    place = home and str(tmp_path / home)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words = [sys.executable, "-c", code, *(["unknown"] if home is None else [])]
    ran = run(*words, cwd=tmp_path, **{**cleared, "HOME": place, "TMPDIR": str(temporary)})
    assert ran.returncode == 0, ran.stderr
    user, found, folder = ran.stdout.split()
    if home is None:
        assert user == f"user-{os.getuid()}"
        assert found == str(temporary / f"mdsearch-home-{os.getuid()}") and found in ran.stderr
    elif home == "/dev/null":
        assert folder == str(temporary / f"mdsearch-cache-{os.getuid()}" / "weights")
    else:
        assert folder == str(tmp_path / "absent" / ".cache" / "mdsearch" / "weights")


def test_a_temporary_folder_that_is_not_there_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    settle()
    assert "TMPDIR" not in os.environ


def test_what_is_set_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    before, path = dict(os.environ), list(sys.path)
    settle()
    assert (dict(os.environ), list(sys.path)) == (before, path)
    assert capsys.readouterr() == ("", "")
