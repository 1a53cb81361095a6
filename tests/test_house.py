"""The direction of imports, and what no file in git may hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "space": set(),
    "training": {"space"},
    "evaluators": {"space"},
    "search": {"space", "training", "evaluators"},
    "conf": {"space"},
}
# Libraries that belong to one place each, and the files that may know them.
KNOWN_IN = {
    "ray": re.compile(r"search/backends/ray_\w+\.py"),
    "optuna": re.compile(r"(search/samplers/(optuna|optuna_private|nsga2)|analysis/(study|findings))\.py"),
    "hydra": re.compile(r"conf/compose\.py"),
    "omegaconf": re.compile(r"conf/compose\.py"),
}
# The folders of evaluators/, lowest first: each may import those before it, and none what stands above all.
EVALUATORS = ("files", "protocols", "images", "metrics", "networks", "measuring", "scorers")
# A file that runs as a command (`mdsearch search`) may ask the door of conf/ for its settings.
DOOR = re.compile(r"^if __name__ == .__main__.:", re.MULTILINE)


def imported(source: str) -> set[str]:
    """Whatever a source imports anywhere, in functions and under TYPE_CHECKING too, by its dotted name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def wrong_imports(path: str, source: str) -> set[str]:
    """Packages that the file at `path` (relative to the root) imports against the house's direction."""
    room = path.partition("/")[0]
    allowed = MAY_IMPORT[room] | {room}
    if DOOR.search(source):
        allowed = allowed | {"conf"}
    found = {name.partition(".")[0] for name in imported(source)}
    strangers = {name for name, known in KNOWN_IN.items() if name in found and not known.fullmatch(path)}
    return (found & set(MAY_IMPORT)) - allowed | strangers


def upward_imports(folder: str, source: str) -> set[str]:
    """What a file in this folder of evaluators/ imports from above it."""
    below = EVALUATORS[: EVALUATORS.index(folder) + 1]
    own = {name for name in imported(source) if name.partition(".")[0] == "evaluators"}
    return {name for name in own if name.split(".")[1] not in below}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_imports_run_one_way(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    wrong = {
        str(file.relative_to(ROOT)): wrong_imports(str(file.relative_to(ROOT)), file.read_text())
        for file in files
    }
    assert {path: names for path, names in wrong.items() if names} == {}


@pytest.mark.parametrize(
    ("path", "source", "wrong"),
    [
        ("space/cost.py", "def f():\n    from search.run import x", {"search"}),
        ("training/loop.py", "import evaluators.run", {"evaluators"}),
        ("evaluators/metrics/fid.py", "from space.plain import InputError\nimport ray", {"ray"}),
        ("search/backends/inline.py", "import optuna.trial", {"optuna"}),
        ("search/backends/ray_tune.py", "import ray", set()),
        ("search/run.py", "from conf.compose import compose", {"conf"}),
        (
            "search/__main__.py",
            "from conf.compose import compose\nif __name__ == '__main__':\n    pass",
            set(),
        ),
    ],
)
def test_a_wrong_import_is_seen(path: str, source: str, wrong: set[str]) -> None:
    assert wrong_imports(path, source) == wrong


def test_folders_of_evaluators_import_one_way() -> None:
    folders = [path for path in (ROOT / "evaluators").iterdir() if (path / "__init__.py").is_file()]
    assert {folder.name for folder in folders} | {"files"} == set(EVALUATORS)
    wrong = {
        str(file.relative_to(ROOT)): upward_imports(folder.name, file.read_text())
        for folder in folders
        for file in folder.rglob("*.py")
    }
    assert {path: names for path, names in wrong.items() if names} == {}


@pytest.mark.parametrize(
    ("folder", "source", "wrong"),
    [
        ("metrics", "from evaluators.networks.features import CHUNK", {"evaluators.networks.features.CHUNK"}),
        ("images", "def f():\n    from evaluators import run", {"evaluators.run"}),
        ("scorers", "import evaluators.metrics.fid\nfrom evaluators.files import replacing", set()),
    ],
)
def test_an_upward_import_is_seen(folder: str, source: str, wrong: set[str]) -> None:
    assert upward_imports(folder, source) == wrong


BARE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "optuna", "hydra", "omegaconf"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
print(len(sys.argv) - 1)
"""


def test_a_trial_runs_where_ray_optuna_and_hydra_are_absent() -> None:
    """A bare GPU machine has none of them. What a trial imports by way of other modules counts too."""
    modules = ["search.backends.inline", "search.trial", "search.strategy"]
    ran = subprocess.run(
        [sys.executable, "-c", BARE, *modules], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "3\n"), ran.stderr


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


# Spelled in parts, so that this file does not hold what it looks for.
FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.])/(?:work/|root/|home/\w|Users/\w|opt/\w+/simple)"),
    "a registry's host": re.compile("files" + r"\.pythonhosted|pypi" + r"\.org|download\.pytorch" + r"\.org"),
}


@pytest.mark.parametrize("what", sorted(FORBIDDEN))
def test_no_file_names(what: str) -> None:
    holding = []
    for name in tracked():
        text = (ROOT / name).read_bytes().decode("utf-8", errors="ignore")
        if name != "tests/test_house.py" and FORBIDDEN[what].search(text):
            holding.append(name)
    assert holding == []


def test_locks_hold_hashes_and_no_address() -> None:
    for name in ("requirements.lock", "bootstrap.lock"):
        text = (ROOT / name).read_text()
        pins = re.findall(r"^\S+==\S+", text, re.MULTILINE)
        assert pins
        assert all(
            "==" in block and "--hash=sha256:" in block for block in re.split(r"\n(?=\S)", text.strip())
        )
        assert "://" not in text
    assert not {"uv.lock", "pylock.toml"} & set(tracked())


def test_the_version_stands_in_pyproject_alone() -> None:
    assigned = re.compile(r"^__version__\b.*=", re.MULTILINE)
    assert not [
        name for name in tracked() if name.endswith(".py") and assigned.search((ROOT / name).read_text())
    ]
