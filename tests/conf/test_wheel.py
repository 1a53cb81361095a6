"""The built wheel, used from an empty folder: the configuration is inside."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
USE = """
import conf.compose, conf.help, mdsearch.__main__
config = conf.compose.compose("search", ["budget=md_lite", "trials=3"])
assert config["trials"] == 3 and config["budget"]["parameters_millions"] == 280, config
assert "md_lite" in conf.help.groups("search")["budget"]
assert mdsearch.Architecture.__module__ == "space.architecture"
print(conf.compose.__file__)
"""


def test_the_wheel_works_from_an_empty_folder(tmp_path: Path) -> None:
    wheels, site, empty = tmp_path / "wheels", tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(ROOT)]
    built = subprocess.run(build, capture_output=True, text=True, cwd=empty, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    with zipfile.ZipFile(next(wheels.glob("mdsearch-*.whl"))) as wheel:
        wheel.extractall(site)
        names = set(wheel.namelist())
    for name in ("conf/search.yaml", "conf/arch/md.yaml", "conf/budget/md.yaml", "mdsearch/__main__.py"):
        assert name in names
    # strategies compare in pairs without the repository
    benchmark = (
        "mdsearch/commands/efficiency.py",
        "analysis/efficiency/plots.py",
        "search/recorded.jsonl.gz",
    )
    assert set(benchmark) <= names
    in_conf = {str(path.relative_to(ROOT)) for path in (ROOT / "conf").rglob("*.yaml")}
    assert in_conf <= names
    templates = (ROOT / "analysis").rglob("templates/**/*.*")
    assert {str(path.relative_to(ROOT)) for path in templates} <= names
    shipped = (ROOT / "evaluators" / "networks" / "shipped").rglob("*.*")
    assert {str(path.relative_to(ROOT)) for path in shipped} <= names
    assert not {name.partition("/")[0] for name in names} & {"tests", "benchmarks", "docs"}
    information = next(site.glob("*.dist-info"))
    assert "mdsearch = mdsearch.__main__:entry" in (information / "entry_points.txt").read_text()
    assert all((information / "licenses" / name).exists() for name in ("LICENSE", "NOTICE"))

    # An editable install puts the checkout on the path too; the wheel's folder stands before it.
    environment = {**os.environ, "PYTHONPATH": str(site)}
    used = subprocess.run(
        [sys.executable, "-c", USE], capture_output=True, text=True, cwd=empty, env=environment, check=False
    )
    assert used.returncode == 0, used.stderr
    assert Path(used.stdout.strip()).is_relative_to(site)
    assert list(empty.iterdir()) == []
