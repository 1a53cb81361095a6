"""What no file in git may hold, how long one may be, and what a trial and a test leave alone.

Who may import whom is the import contract in pyproject.toml, checked by `make lint`.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from grimp import ImportGraph

from tests.import_contract import AcyclicFiles
from tests.privates import privates_of

ROOT = Path(__file__).parents[1]
PACKAGES = ("space", "training", "evaluators", "search", "analysis", "conf", "mdsearch")
FOLDERS = (*PACKAGES, "benchmarks", "tests")
MOST_LINES = 300
TABLES_OF_DATA: set[str] = set()  # may be longer

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


def test_no_file_is_too_long_to_read() -> None:
    long = {
        name: lines
        for name in tracked()
        if name.endswith(".py") and name.partition("/")[0] in FOLDERS and name not in TABLES_OF_DATA
        if (lines := len((ROOT / name).read_text().splitlines())) > MOST_LINES
    }
    assert long == {}


SUFFIXES = "csv|db|gz|html|ipynb|json|jsonl|md|npz|onnx|png|pt|safetensors|txt|yaml"
FILE_NAME = re.compile(rf"[\w-][\w.-]*\.({SUFFIXES})")
OF_CONTRACT = {"main"}  # what every command, and every script, has
OLDER_NAMES = {"search"}  # `search.search`, until the next release


def sources() -> Iterator[tuple[str, ast.Module]]:
    for name in tracked():
        if name.endswith(".py") and name.partition("/")[0] in PACKAGES:
            yield name, ast.parse((ROOT / name).read_text())


def test_no_file_name_stands_in_two_files() -> None:
    holders: dict[str, set[str]] = {}
    for name, tree in sources():
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and FILE_NAME.fullmatch(text):
                holders.setdefault(text, set()).add(name)
    assert {text: found for text, found in holders.items() if len(found) > 1} == {}


def public_names(tree: ast.Module) -> Iterator[str]:
    """Functions, classes, constants and names of types; a `TypeVar` is of its file alone."""
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names = [name]
            case ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar"))):
                names = []
            case ast.Assign(targets=targets):
                names = [part.id for each in targets for part in ast.walk(each) if isinstance(part, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                names = [name]
            case _:
                names = []
        yield from (name for name in names if not name.startswith("_"))


def test_no_two_public_things_of_one_name() -> None:
    homes: dict[str, set[str]] = {}
    for file, tree in sources():
        for name in public_names(tree):
            homes.setdefault(name, set()).add(file)
    twice = {name: found for name, found in homes.items() if len(found) > 1}
    assert {name: found for name, found in twice.items() if name not in OF_CONTRACT | OLDER_NAMES} == {}
    assert twice.keys() == OF_CONTRACT | OLDER_NAMES


def test_public_names_are_those_of_constants_and_types_too() -> None:
    text = "T = TypeVar('T')\na, B = 1, 2\nC: int = 3\n_d = 4\nclass E: f = 5\ndef g(): h = 6"
    assert list(public_names(ast.parse(text))) == ["a", "B", "C", "E", "g"]


def test_the_import_contract_sees_a_circle_of_files() -> None:
    graph = ImportGraph()
    for importer, imported in (("a.one", "b.two"), ("b.two", "a.three")):
        graph.add_import(importer=importer, imported=imported)
    contract = AcyclicFiles("", {}, {})
    assert contract.check(graph, False).kept
    graph.add_import(importer="a.three", imported="a.one")
    broken = contract.check(graph, False)
    assert not broken.kept and set(broken.metadata["circle"]) == {"a.one", "b.two", "a.three"}


# Of libraries, for want of anything public that does it; none of ours stands here.
PRIVATES_OF_LIBRARIES = {
    "_replace": "collections.namedtuple: public, with an underscore lest it be taken for a field",
    "_read1": "zipfile: how much of an archive was unpacked, whichever way it is read",
    "_compare": "optuna: what TPE compares, and so whether it was asked at all",
    "_hypervolume": "optuna: a second opinion of ours",
    "_load_ip_adapter_weights": "diffusers: the name by which its pipelines load into any UNet, ours too",
    "_cdata": "torch: which storage a view is of",
    "_python_dispatch": "torch: what every operation allocates",
    "_py_driver_sys_path": "ray: where its workers import from",
    "_get_proto_job_config": "ray: what its workers are told",
}


def test_tests_and_benchmarks_leave_private_parts_alone() -> None:
    files = [name for name in tracked() if re.match(r"(tests|benchmarks)/.*\.py$", name)]
    touched = {name: privates_of((ROOT / name).read_text(encoding="utf-8")) for name in files}
    allowed = PRIVATES_OF_LIBRARIES.keys()
    assert {name: found - allowed for name, found in touched.items() if found - allowed} == {}
    assert allowed == set().union(*touched.values())  # none is left over


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from search.run import _drive", {"_drive"}),
        ("from a._b import c", {"_b"}),
        ("import a._b", {"_b"}),
        ("record._lines._file", {"_lines", "_file"}),
        ("network._device = 3", {"_device"}),
        ("monkeypatch.setattr(search.run, '_run', None)", {"_run"}),
        ("monkeypatch.setattr('search.run._run', None)", {"_run"}),
        ("mock.patch.object(run, attribute='_run')", {"_run"}),
        ("getattr(a, '_b')", {"_b"}),
        ("a.__dict__['_b'], vars(a)['_c']", {"_b", "_c"}),
        ("class Mine(Theirs):\n    def f(self): return self._theirs", {"_theirs"}),
        ("class Mine:\n    def f(self): self._mine = 3\n    def g(self): return self._mine", set()),
        ("from __future__ import annotations\na.__dict__, {'_b': 3}['_b'], f(_b=3)", set()),
    ],
)
def test_a_private_part_is_seen_however_it_is_touched(text: str, found: set[str]) -> None:
    assert privates_of(text) == found


def test_what_benchmarks_import_of_ours_is_where_they_look_for_it() -> None:
    """No other check runs them, so that a name that has moved would be seen by users first."""
    files = [name for name in tracked() if re.match(r"benchmarks/.*\.py$", name)]
    missing = {name: missing_of((ROOT / name).read_text(encoding="utf-8")) for name in files}
    assert files and {name: found for name, found in missing.items() if found} == {}
    assert missing_of(
        "from training.loop import seconds_per_step, TrainingLoop\nfrom training import loop"
    ) == ["training.loop.seconds_per_step"]
    assert missing_of("from search.no_such_file import a") == ["search.no_such_file.a"]


def missing_of(text: str) -> list[str]:
    """What a file imports from files of ours that define and import no such name."""
    missing = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in FOLDERS:
            place = ROOT.joinpath(*str(node.module).split("."))
            files = [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
            there = {each.stem for each in place.glob("*")}.union(*map(_names_in, files))
            missing += [f"{node.module}.{alias.name}" for alias in node.names if alias.name not in there]
    return missing


@cache
def _names_in(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


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
        if name != "tests/test_layout.py" and FORBIDDEN[what].search(text):
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
