"""Our own packages by their common names, whatever of these names lies in the folder of who imports us."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

PACKAGES = ("space", "training", "evaluators", "search", "conf", "analysis")
OURS = Path(__file__).resolve().parents[1]


def take_ours() -> None:
    """Import each of our packages from beside this one; `sys.path` stays as it is. Where a file of the user's
    would have come before it, one line says so.

    Raises:
        ImportError: the user's file of such a name is imported already, and works for what imported it.
    """
    missing = []
    for name in PACKAGES:
        if name not in sys.modules:
            missing.append(name)
        elif not _is_ours(name, where := _where(sys.modules[name].__spec__)):
            raise ImportError(f"{where} is imported as {name!r}, a package of mdsearch; rename it")
    hiding = {name: where for name in missing if (where := _taken(name))}
    if hiding:
        names = ", ".join(f"`import {name}`" for name in missing if name in hiding)
        print(
            f"warning: {', '.join(hiding.values())} is called as a package of mdsearch, so that {names} "
            "now gives mdsearch's in this process; rename it",
            file=sys.stderr,
        )
        import_module("space.shared.workers_path").FIRST[:] = [str(OURS)]


def _taken(name: str) -> str:
    """Import our package of this name; returns what a plain import would have found instead, if anything."""
    found = _where(PathFinder.find_spec(name))
    if _is_ours(name, found):
        import_module(name)
        return ""
    spec = spec_from_file_location(name, OURS / name / "__init__.py")
    assert spec is not None and spec.loader is not None
    sys.modules[name] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return found


def _is_ours(name: str, where: str) -> bool:
    return bool(where) and Path(where).resolve() == OURS / name / "__init__.py"


def _where(spec: object) -> str:
    """The file of a module, or the folder of one without."""
    origin = getattr(spec, "origin", None)
    return origin or next(iter(getattr(spec, "submodule_search_locations", None) or ()), "")
