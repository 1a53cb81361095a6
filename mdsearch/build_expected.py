"""What a system would take, before anything starts: as its preset states, else as its commands plan it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mdsearch.build_plan import BuildStage
from search.formats import counted, duration
from space.shared.plain import InputError
from training.plan import WorkPlan

_STATED, _PLANNED, _UNKNOWN = "stated", "by its own plan", "not known: its command has no plan"


@dataclass(frozen=True)
class ExpectedStage:
    """Attributes:
    command: to be pasted.
    seconds: None: not known.
    source: where these are from.
    accelerators: that work together, where a plan says it.
    not_there: what must be there before, and no stage makes.
    """

    name: str
    command: str
    seconds: float | None
    source: str
    accelerators: int | None = None
    accelerator_hours: float | None = None
    not_there: tuple[str, ...] = ()

    def line(self) -> str:
        took = "?" if self.seconds is None else duration(self.seconds)
        many = "" if self.accelerators is None else f" on {self.accelerators} accelerators"
        hours = (
            "" if self.accelerator_hours is None else f" ({self.accelerator_hours:,.0f} accelerator-hours)"
        )
        return f"{self.name}: {took}{many}{hours}, {self.source}"


def expected_stage(stage: BuildStage) -> ExpectedStage:
    if stage.minutes is not None:
        return ExpectedStage(stage.name, stage.line(), 60 * stage.minutes, _STATED)
    if stage.command not in PLANS:
        return ExpectedStage(stage.name, stage.line(), None, _UNKNOWN)
    there = [word for word in stage.words if not _reads_what_is_to_come(stage, word)]
    try:
        plan = PLANS[stage.command](there)
    except InputError as error:
        return ExpectedStage(stage.name, stage.line(), None, _PLANNED, not_there=(str(error),))
    figures = plan.figures
    return ExpectedStage(
        stage.name,
        stage.line(),
        figures.get("seconds"),
        _PLANNED,
        figures.get("accelerators"),
        figures.get("accelerator_hours"),
        tuple(line for line in plan.refused if not _is_to_come(line, stage)),
    )


def expected_text(stages: Sequence[ExpectedStage], notes: Sequence[str]) -> str:
    lines = []
    for stage in stages:
        lines += [stage.line(), f"    {stage.command}", *(f"    not there: {one}" for one in stage.not_there)]
    known = [stage.seconds for stage in stages if stage.seconds is not None]
    unknown = len(stages) - len(known)
    rest = f", and {counted(unknown, 'stage')} of which it is not known" if unknown else ""
    return "\n".join([*lines, *notes, f"in all: {duration(sum(known))}{rest}"])


def expected_json(stages: Sequence[ExpectedStage], notes: Sequence[str]) -> str:
    return json.dumps({"stages": [vars(stage) for stage in stages], "notes": list(notes)}, indent=1)


def _reads_what_is_to_come(stage: BuildStage, word: str) -> bool:
    """Whether it names what another stage is still to make."""
    name = word.partition("=")[0]
    return name in stage.paths and name != "out" and not any(path.exists() for path in stage.reads.values())


def _is_to_come(refused: str, stage: BuildStage) -> bool:
    """Whether a line of a plan is about a field that another stage's folder will be."""
    field = refused.partition(":")[0]
    return any(name == field or name.endswith(f".{field}") for name in stage.paths)


def _search_plan(words: list[str]) -> WorkPlan:
    from mdsearch.api import settings_of
    from search.plan import search_plan

    return search_plan(settings_of(words)[0])


def _decoder_plan(words: list[str]) -> WorkPlan:
    from mdsearch.decoder_search import decoder_settings_of
    from search.decoders.plan import decoder_plan

    return decoder_plan(decoder_settings_of(words)[0])


def _train_plan(words: list[str]) -> WorkPlan:
    from mdsearch.train_command import command_of
    from mdsearch.train_plan import train_plan

    return train_plan(command_of(words)[0])


PLANS: Mapping[str, Callable[[list[str]], WorkPlan]] = {
    "search": _search_plan,
    "search decoder": _decoder_plan,
    "train": _train_plan,
}
