"""What commands that begin with a trained model have in common: which words decide what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conf.compose import compose_and_keep
from conf.repeated import refuse_beside, without
from conf.words import as_text, path_of
from mdsearch.long_training import WORDS, read_kept
from mdsearch.train_command import trained_as, whole_settings
from space.shared.plain import InputError
from training.files import CONFIG_NAME
from training.model import ModelSettings
from training.teachers import describe_base


@dataclass(frozen=True)
class WithBase:
    """Settings of such a command, and those of its base.

    Attributes:
        plain: as its dataclass is read from.
        words: with those of before, where it is gone on with.
    """

    plain: dict[str, Any]
    base: ModelSettings
    words: list[str]


def composed_with_base(
    command: str, words: list[str], texts: Sequence[str], decided: Mapping[str, str], what: str, missing: str
) -> WithBase:
    """From a command line; what is resumed starts from its own first words. Data are the base's, unless words
    choose others.

    Args:
        command: by which its YAML is named.
        texts: settings that are text as they stand.
        decided: settings that words may not give, by what decides them.
        what: is gone on with.
        missing: what is asked where no base is named.

    Raises:
        InputError: words that have no effect, or name no base.
    """
    refuse_beside(words, "resume", ["init_from", "out"], "whose base and folder go on")
    _refuse_decided(words, decided)
    resume, start = (path_of(words, name) for name in ("resume", "init_from"))
    before, kept, stored = list[str](), dict[str, str](), dict[str, Any]()
    if resume is not None:
        before = list(map(str, read_kept(resume, WORDS, list)))
        stored = read_kept(resume, CONFIG_NAME, dict)
        start, kept = path_of(before, "init_from"), stored.get("presets", {})
        if start is None:
            raise InputError(f"resume: {str(resume)!r} is no folder of {what} (it began with no model)")
    elif start is not None:
        stored = trained_as(start)
    if start is None:
        raise InputError(f"init_from: missing; {missing}")
    base = describe_base(start)
    if "data" not in stored and not any(word.startswith("data=") for word in (*before, *words)):
        raise InputError(
            f"data: {str(start)!r} does not say what it was trained on; needed: data=folder, data=scenes, ..."
        )
    new, earlier = (as_text(each, texts) for each in (words, before))
    of_run = whole_settings({"data": stored["data"]} if "data" in stored else {})
    plain, presets = compose_and_keep(command, new, before=earlier, stored=of_run, kept=kept)
    added = [word for word in words if not word.startswith("resume=")]
    return WithBase(plain | {"presets": presets}, base, [*without(before, added), *added])


def _refuse_decided(words: Sequence[str], decided: Mapping[str, str]) -> None:
    for word in words:
        name = word.lstrip("+~").partition("=")[0]
        for field, by in decided.items():
            if name == field or name.startswith(f"{field}."):
                raise InputError(f"{name}: has no effect here, where {by} decides it; leave it out")
