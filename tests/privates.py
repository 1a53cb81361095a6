"""Which names of another file's private parts a file of Python touches."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

BY_NAME = {"getattr", "setattr", "hasattr", "delattr", "attrgetter", "patch", "object"}  # take a name as text
OWN_OBJECTS = {"self", "cls"}


def privates_of(text: str) -> set[str]:
    """Names with one leading underscore that are imported, or read or set on an object, also by their text.

    What a class of the file defines itself and uses of `self` is its own.
    """
    tree = ast.parse(text)
    own = set(_defined(tree))
    return {name for node in ast.walk(tree) for name in _touched(node, own) if re.match(r"_[A-Za-z]", name)}


def _defined(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_own(node.value):
            yield node.attr


def _touched(node: ast.AST, own: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Attribute):
        if not (_is_own(node.value) and node.attr in own):
            yield node.attr
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield from alias.name.split(".")
        yield from (getattr(node, "module", None) or "").split(".")
    elif isinstance(node, ast.Call) and _last(node.func) in BY_NAME:
        for argument in [*node.args, *(word.value for word in node.keywords)]:
            yield from _text(argument)
    elif isinstance(node, ast.Subscript) and _last(node.value) in ("__dict__", "vars"):
        yield from _text(node.slice)


def _is_own(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in OWN_OBJECTS


def _last(node: ast.expr) -> str:
    """The last name of a.b.c, or of what is called there."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _text(node: ast.expr) -> list[str]:
    """The names in "a.b.c"; none in what is no such text."""
    value = node.value if isinstance(node, ast.Constant) else None
    return value.split(".") if isinstance(value, str) and re.fullmatch(r"[\w.]+", value) else []
