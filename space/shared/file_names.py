"""Names of files: what a pattern names, in which order they stand, and those inside webdataset's shards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import product, takewhile


def braces(pattern: str) -> Iterator[str]:
    """What a pattern names, in its order.

    >>> list(braces("a-{8..10}.tar"))
    ['a-8.tar', 'a-9.tar', 'a-10.tar']
    """
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices = []
    for index, part in enumerate(parts):
        span = re.fullmatch(r"(\d+)\.\.(\d+)", part)
        if index % 2 == 0:
            choices.append([part])
        elif span:
            first, last = span.groups()
            width = len(first) if first.startswith("0") else 0
            choices.append([f"{number:0{width}d}" for number in range(int(first), int(last) + 1)])
        else:
            choices.append(part.split(","))
    return ("".join(chosen) for chosen in product(*choices))


def key_and_suffix(name: str) -> tuple[str, str]:
    """webdataset's rule: a key ends at the first dot of the base name.

    >>> key_and_suffix("a.b/000.seg.png")
    ('a.b/000', '.seg.png')
    """
    folder, slash, base = name.rpartition("/")
    key, dot, suffix = base.partition(".")
    return f"{folder}{slash}{key}", f"{dot}{suffix}".lower()


def common_folder(files: Sequence[str]) -> str:
    """The folder that all files are in, or in folders of; of addresses too.

    >>> common_folder(["https://host/data/a/0.tar", "https://host/data/ab/1.tar"])
    'https://host/data'
    """
    folders = [file.rpartition("/")[0].split("/") for file in files]
    same = takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))
    return "/".join(parts[0] for parts in same)


def natural_order(names: Iterable[str]) -> list[str]:
    """Sorted with numbers by their value, so that `img2` comes before `img10`."""

    def key(name: str) -> tuple[list[tuple[int, str]], str]:
        parts = re.split(r"(\d+)", name)  # text and digits take turns, so tuples at one place compare alike
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name

    return sorted(names, key=key)
