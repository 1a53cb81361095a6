"""A custom sampler or stopping rule: a class in a file of theirs, named as `my_file.py:MyClass`.

It is made with its options as keyword arguments, beside what every one of its kind is given (a sampler its
`seed`, a rule the `noise`). Whatever is wrong with it, then or while the search runs, is one message that
names file and class; the record holds all that came before, and a resumed search goes on from there.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from search.runs.files import CUSTOM_FOLDER
from search.runs.record import History
from space.shared.files import replacing
from space.shared.plain import InputError, nearest

PUT_RIGHT = "; put it right and go on: what was recorded is kept"
WANTED = "allowed: a class of your own, as in my_file.py:MyClass"


def digest_of(use: str) -> str:
    """Twelve hexadecimal digits of the file's content. Raises InputError if it cannot be read."""
    path = Path(use.rpartition(":")[0])
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise InputError(f"{use}: the file cannot be read: {error.strerror}") from None


def keep_custom(
    folder: Path, history: History, announce: Callable[[str], None], **uses: str | None
) -> dict[str, str]:
    """The digests of the user's files, for the record; each version that a run was driven with is kept in its
    folder. A file that has changed is announced and not refused: it may have been put right."""
    digests = {use: digest_of(use) for use in uses.values() if use}
    before = history.sessions[-1].get("own", {}) if history.sessions else {}
    for use, digest in digests.items():
        if before.get(use, digest) != digest:
            announce(
                f"{use}: its file has changed since this run was last driven; it decides anew from here on"
            )
        path = Path(use.rpartition(":")[0])
        kept = folder / CUSTOM_FOLDER / f"{path.stem}_{digest}.py"
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            with replacing(kept) as own:
                shutil.copyfile(path, own)
    return digests


def failed(use: str, what: str, error: Exception, advice: str = "") -> InputError:
    """What went wrong in the user's file, with the last of its lines that was gone through."""
    file = use.rpartition(":")[0]
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(Path(file).resolve())]
    if isinstance(error, SyntaxError):  # of the file itself, which was never run
        lines.append(error.lineno)
    where = f" (line {lines[-1]})" if lines else ""
    kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
    return InputError(f"{use}: {what}{where}: {kind}{' '.join(str(error).split())}{advice}")


# ---------------------------------------------------------------------- finding and making


def custom_instance(
    group: str,
    use: str | None,
    options: Mapping[str, Any] | None,
    given: dict[str, Any],
    method: Callable[[type], str],
    arguments: tuple[str, ...],
) -> Any:
    """An object of the user's class, which has the method that `method` names, called with `arguments`.

    Raises:
        InputError: there is no such class, or it cannot be made, or called so.
    """
    if use is None:
        raise InputError(f"{group}.use: missing; {WANTED}")
    found = _class(group, use)
    name = method(found)
    call = f"{name}({', '.join(arguments)})"
    if not callable(getattr(found, name, None)):
        raise InputError(f"{group}.use: {use} has no method {call}")
    problem = _misfit(getattr(found, name), (None, *arguments), {})
    if problem:
        raise InputError(f"{group}.use: {use}: {name} cannot be called as {call}: {problem}")
    keywords = given | dict(options or {})
    problem = _misfit(found, (), keywords)
    if problem:
        names = ", ".join(f"{name}=" for name in keywords)
        raise InputError(
            f"{group}.options: {use} cannot be made with {names.rstrip('=')}: {problem}; its arguments are "
            f"those of {found.__name__}{inspect.signature(found)}"
        )
    try:
        return found(**keywords)
    except Exception as error:
        raise failed(use, "making it", error) from None


def _misfit(function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> str:
    """Why a call would not fit a signature; empty if it does."""
    try:
        inspect.signature(function).bind(*arguments, **keywords)
    except TypeError as error:
        return str(error)
    return ""


def _class(group: str, use: str) -> type:
    file, colon, name = use.rpartition(":")
    if not colon or not file.endswith(".py") or not name:
        raise InputError(f"{group}.use: {use!r} names no class; {WANTED}")
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{group}.use: {file}: no such file (from {Path.cwd()})")
    try:
        module = _module(path.resolve(), digest_of(use))
    except Exception as error:
        raise failed(use, "it cannot be imported", error) from None
    found = getattr(module, name, None)
    if not isinstance(found, type):
        own = [
            key
            for key, value in vars(module).items()
            if inspect.isclass(value) and value.__module__ == module.__name__
        ]
        raise InputError(f"{group}.use: {file} has no class {name!r}; {nearest(name, own)}")
    return found


@cache
def _module(path: Path, digest: str) -> ModuleType:
    """The file as a module of its own; files beside it can be imported from it."""
    name = f"mdsearch_own_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module
