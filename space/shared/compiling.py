"""What torch.compile needs here, and functions that it compiles one by one."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any


def missing_to_compile(device: str) -> str | None:
    """What torch.compile lacks to build its kernels: C++ for a CPU, C for what launches those of a GPU."""
    cxx = "clang++" if sys.platform == "darwin" else "g++"
    variable, usual = ("CXX", [cxx]) if device == "cpu" else ("CC", ["gcc", "clang"])
    names = [os.environ[variable]] if os.environ.get(variable) else usual
    if not any(map(shutil.which, names)):
        return f"a compiler ({' or '.join(names)}, or what {variable} names)"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "Python's headers (Python.h, of python3-dev)"
    return None


def with_own_code(function: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of a function, to be compiled by itself: torch compiles one piece of code for some eight modules
    or shapes, and runs further ones eagerly without a word."""
    assert isinstance(function, FunctionType)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # warns that a CPU is no GPU
    code, closure = function.__code__.replace(), function.__closure__
    return FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
