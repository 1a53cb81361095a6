"""`import mdsearch` beside files of a user's that are called as packages of ours."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.mdsearch.test_surroundings import run

PRICED = """
import sys
before = sys.path[:]
from mdsearch import Architecture, price
assert sys.path == before
import conf, search, space, training
print([hasattr(module, "HERS") for module in (conf, search, space, training)], Architecture.__module__)
"""
IN_WORKERS = """
import math, operator
import mdsearch
from space.shared.workers import in_workers
if __name__ == "__main__":
    for method in ("spawn", "forkserver"):
        print(sorted(in_workers(operator.neg, [1, 2], 1, math.sqrt, method=method, preload=["conf.files"])))
"""


@pytest.fixture
def hers(tmp_path: Path) -> Path:
    (tmp_path / "training").mkdir()
    (tmp_path / "analysis").mkdir()  # no package: ours comes before it anyway
    for name in ("conf.py", "search.py", "space.py", "training/__init__.py"):
        (tmp_path / name).write_text("HERS = True\n")
    return tmp_path


@pytest.mark.parametrize("script", [False, True])
def test_ours_come_in_and_one_line_names_hers(script: bool, hers: Path) -> None:
    (hers / "mine.py").write_text(PRICED)
    ran = run(sys.executable, *(["mine.py"] if script else ["-c", PRICED]), cwd=hers)
    assert (ran.returncode, ran.stdout) == (0, "[False, False, False, False] space.architecture\n"), (
        ran.stderr
    )
    assert ran.stderr.startswith("warning: ") and ran.stderr.count("\n") == 1
    for name in ("conf.py", "search.py", "space.py", "training/__init__.py"):
        assert str(hers / name) in ran.stderr
    assert "`import training`" in ran.stderr and "analysis" not in ran.stderr


def test_workers_of_hers_import_ours_too(hers: Path) -> None:
    (hers / "mine.py").write_text(IN_WORKERS)
    ran = run(sys.executable, "mine.py", cwd=hers)
    assert (ran.returncode, ran.stdout) == (0, "[-2, -1]\n[-2, -1]\n"), ran.stderr


def test_what_she_has_imported_already_is_not_taken_from_her(hers: Path) -> None:
    ran = run(sys.executable, "-c", "import conf\nimport mdsearch", cwd=hers)
    last = ran.stderr.splitlines()[-1]
    assert ran.returncode == 1 and last.startswith("ImportError: ")
    assert str(hers / "conf.py") in last and "rename" in last


def test_elsewhere_nothing_is_said_and_nothing_more_is_loaded(tmp_path: Path) -> None:
    code = "import mdsearch, sys; print([name for name in ('torch', 'yaml', 'numpy') if name in sys.modules])"
    ran = run(sys.executable, "-c", code, cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[]\n", "")
