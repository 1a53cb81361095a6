"""What torch.export needs of a module before it writes code of it."""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def named_for_code(module: nn.Module) -> Iterator[None]:
    """While it lasts, no part is called by a keyword of Python, which torch would write into the code of a
    graph (`places.in`); afterwards all have their names, and their order, again."""
    before: list[tuple[nn.Module, dict[str, nn.Module | None]]] = []
    for part in list(module.modules()):
        own = dict(part._modules)
        if any(map(keyword.iskeyword, own)):
            before.append((part, own))
            _rename(
                part, {f"{name}_" if keyword.iskeyword(name) else name: each for name, each in own.items()}
            )
    try:
        yield
    finally:
        for part, own in before:
            _rename(part, own)


def _rename(part: nn.Module, own: dict[str, nn.Module | None]) -> None:
    part._modules.clear()
    part._modules.update(own)
