"""YAML that people wrote: a key given twice in one mapping is refused, where PyYAML takes the last."""

from __future__ import annotations

from typing import Any

import yaml


class RepeatedKey(yaml.YAMLError):
    """The message names the key and its line."""


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys: list[Any] = []
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in keys:
                raise RepeatedKey(
                    f"{name!r} is given twice, the second time in line {key.start_mark.line + 1}"
                )
            keys.append(name)
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """What the text holds.

    Raises:
        yaml.YAMLError: it is none, or repeats a key (`RepeatedKey`).
    """
    return yaml.load(text, _Loader)
