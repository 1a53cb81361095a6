"""What a run was asked for: its objectives, noise, trials and reference points, from its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from search.objectives import Objectives, objectives_from_plain, with_exact
from search.runs.compatibility import foreign_parts
from search.runs.record import History
from search.statistics.noise import NO_NOISE, Noise, noise_from_plain
from space.decoder_space import any_space
from space.search_space import AnySpace

MEASURED_UNDER = "measured_under"
ELSEWHERE = "elsewhere"  # in place of the settings of a training
SEARCHED, DECODERS = "searched", "decoders"  # of headers: what is searched; UNets where none says it
_OF_ALL = "data-afb4d33377c5", "proxy-14de771fdcce", "scores-4444a724501d"  # scenes under widths / 16
EARLIER_DEFAULTS = ((*_OF_ALL, "training-c130ba423666"), (*_OF_ALL, "training-f6cb149907f5"))


def objectives_of(history: History) -> Objectives:
    return objectives_of_header(history.header)


def objectives_of_header(header: Mapping[str, Any]) -> Objectives:
    found = objectives_from_plain(header.get("objectives"))
    return found if header.get("training") == ELSEWHERE else with_exact(found)


def noise_of(history: History) -> Noise | None:
    """The noise of the run's own protocol, as far as it states it; None before its header is written."""
    may_state_none = trained_elsewhere(history) or searches_decoders(history.header)
    if may_state_none and "noise" not in history.header:
        return NO_NOISE
    return noise_here(history.header) if history.header.get("noise") else None


def trained_elsewhere(history: History) -> bool:
    """Whether the search was asked and told (`search.ask_tell`)."""
    return history.header.get("training") == ELSEWHERE


def searches_decoders(header: Mapping[str, Any]) -> bool:
    """Whether its networks are decoders of one encoder (`search.decoders`)."""
    return header.get(SEARCHED) == DECODERS


def noise_here(header: Mapping[str, Any]) -> Noise:
    """The noise that a header states; without any figure where it was measured under another protocol."""
    stated = noise_from_plain(header["noise"])
    return stated if foreign_to(stated.measured_under, header) == [] else stated.unknown


def noise_of_rule(history: History) -> Noise:
    """What a stopping rule was, and is, made with. Rules of earlier versions were given the stated noise,
    wherever it was measured, and at every rung that of the nearest step: what they decided must come out
    again."""
    header = history.header
    if "noise" not in header:
        return NO_NOISE
    if MEASURED_UNDER in header["noise"]:
        return noise_here(header)
    stated = noise_from_plain(header["noise"])
    rungs = (
        replace(min(stated.rungs, key=lambda rung: abs(rung.step - step)), step=step)
        for step in header["rungs"]
    )
    return replace(stated, rungs=tuple(rungs))


def foreign_to(measured_under: Sequence[str] | None, header: Mapping[str, Any]) -> list[str] | None:
    """In which parts of its protocol a header differs from the one that its noise was measured under; None
    where nobody knows. Records of earlier versions do not say it: their presets were measured under the
    default of their time."""
    if MEASURED_UNDER not in header.get("noise", {}):
        return min((foreign_parts(each, header) for each in EARLIER_DEFAULTS), key=len)
    return None if measured_under is None else foreign_parts(measured_under, header)


def space_of(history: History) -> AnySpace:
    """Raises InputError before the header is written."""
    return any_space(history.header.get("space"))


def trials_asked(history: History) -> int:
    """How many trials the search is to have: a resumed one may ask for more than it was begun with."""
    latest = [history.header, *history.sessions][-1]
    return int(latest.get("trials", history.header.get("trials", 0)))


def references_of(history: History) -> list[str]:
    """Names of confirmed networks that are no trial of the search: the reference points."""
    of_search = {trial.name for trial in history.trials}
    return list(dict.fromkeys(t.name for t in history.confirmations if t.name not in of_search))
