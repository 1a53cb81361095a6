"""What a record shows beside the ranking: the front, verdicts, steps saved, time by kind, refusals.

Plain numbers from a `History`, which the report shows and tables print.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from analysis.wording import own_autoencoder
from search.formats import cost_in_words, counted, duration, label
from search.objectives import Objectives
from search.runs.header import noise_of, objectives_of, references_of, searches_decoders
from search.runs.record import History, Trial
from search.runs.scores import point_of
from search.statistics.pareto import Point, fronts, mean_point
from search.statistics.verdicts import Verdict, verdicts
from space.architecture import Architecture
from space.candidates import Candidate
from space.shared.plain import InputError

OWN_DECODER = "the autoencoder's own"

# ---------------------------------------------------------------------- front and confirmation


def pareto_front(history: History, objectives: Objectives | None = None) -> list[tuple[Trial, Point]]:
    """The complete trials that no other dominates, the best in the first objective (lowest FID) first.
    `objectives` None: the record's own."""
    objectives = objectives or objectives_of(history)
    scored = [
        (trial, point)
        for trial in history.trials
        if trial.state == "complete" and (point := point_of(trial, objectives)) is not None
    ]
    ranks = fronts([point for _, point in scored])
    front = [pair for pair, rank in zip(scored, ranks, strict=True) if rank == 0]
    return sorted(front, key=lambda pair: (pair[1].losses[0], pair[0].number))


def all_verdicts(history: History) -> list[Verdict]:
    """Every confirmed trial against every reference point, then against each other, under the names that
    people read."""
    noise = noise_of(history)
    if noise is None:
        return []
    found = verdicts(history, objectives_of(history), noise, references_of(history))
    return [
        replace(v, name=label(v.name), against=label(v.against), beyond=_labelled(v.beyond)) for v in found
    ]


def _labelled(text: str) -> str:
    name, of, rest = text.partition("'s FID")
    return f"{label(name)}{of}{rest}"


@dataclass(frozen=True)
class Confirmed:
    """The complete confirmation runs of one network at one length."""

    name: str
    steps: int
    runs: tuple[Trial, ...]
    points: tuple[Point, ...]

    @property
    def mean(self) -> Point:
        return mean_point(self.points)


def confirmed(history: History, objectives: Objectives | None = None) -> list[Confirmed]:
    """Confirmation runs by network and steps; reruns of stopped trials are `reruns`, not here. `objectives`
    None: the record's own."""
    objectives = objectives or objectives_of(history)
    rerun = {trial.key for trial, _, _ in reruns(history)}
    groups: dict[tuple[str, int], list[tuple[Trial, Point]]] = {}
    for trial in history.confirmations:
        point = point_of(trial, objectives)
        if trial.state == "complete" and point is not None and trial.key not in rerun:
            groups.setdefault((trial.name, trial.last_step), []).append((trial, point))
    return [
        Confirmed(name, steps, tuple(trial for trial, _ in runs), tuple(point for _, point in runs))
        for (name, steps), runs in groups.items()
    ]


def reruns(history: History) -> list[tuple[Trial, Point, bool]]:
    """Stopped trials that were trained again to full length: the run, where it came out, and whether it was
    stopped wrongly, which is to say would have joined the Pareto front of the complete trials."""
    objectives = objectives_of(history)
    stopped = {trial.name for trial in history.trials if trial.state == "halted"}
    complete = [
        point
        for trial in history.trials
        if trial.state == "complete" and (point := point_of(trial, objectives)) is not None
    ]
    return [
        (trial, point, not any(other.dominates(point) for other in complete))
        for trial in history.confirmations
        if trial.name in stopped
        and trial.state == "complete"
        and (point := point_of(trial, objectives)) is not None
    ]


def reference_networks(history: History) -> dict[str, Candidate]:
    """The reference networks by name: as confirmed, or else as conf/arch has them; of decoders
    else the one that the encoder was trained with."""
    known = {trial.name: trial.architecture for trial in history.confirmations}
    found: dict[str, Candidate] = {name: known[name] for name in references_of(history)}
    if searches_decoders(history.header):
        return found or {OWN_DECODER: own_autoencoder(history.header)}
    for entry in history.header.get("references", []):
        name = Path(entry).stem
        if name not in found and (preset := preset_network(name)) is not None:
            found[name] = preset
    return found


def preset_network(name: str) -> Architecture | None:
    """Of conf/arch; None where it has none of that name, or a network of another kind."""
    entry = resources.files("conf").joinpath("arch", f"{name}.yaml")
    try:
        return Architecture.from_yaml(entry.read_text(encoding="utf-8"), name) if entry.is_file() else None
    except InputError:
        return None


# ---------------------------------------------------------------------- stopping, time, refusals


@dataclass(frozen=True)
class Savings:
    """Training steps that stopping spared, of those that all ended trials would have taken, and a worker's
    seconds for them: each trial at its own pace so far, scoring with it."""

    steps: int
    of_steps: int
    seconds: float = 0.0

    @property
    def share(self) -> float:
        return self.steps / self.of_steps if self.of_steps else 0.0


def steps_saved(trials: Sequence[Trial]) -> Savings:
    ended = [trial for trial in trials if trial.state in ("complete", "halted")]
    left = [(trial, trial.steps - trial.last_step) for trial in ended if trial.state == "halted"]
    return Savings(
        sum(steps for _, steps in left),
        sum(trial.steps for trial in ended),
        sum(steps * trial.seconds / trial.last_step for trial, steps in left if trial.last_step),
    )


def seconds_by_kind(history: History) -> dict[str, tuple[float, float]]:
    """Worker seconds by kind of work, most first: of the search with what its trials share, and of the
    confirmation."""
    search: Counter[str] = Counter()
    confirm: Counter[str] = Counter()
    for trial in history.by_key.values():
        for rung in trial.rungs:
            (confirm if trial.purpose == "confirm" else search).update(rung.seconds)
    kinds = sorted({*search, *confirm}, key=lambda kind: -(search[kind] + confirm[kind]))
    return {kind: (float(search[kind]), float(confirm[kind])) for kind in kinds}


def ranking_in_words(history: History) -> str:
    """What decided in which order candidates were tried, where weights that they inherit did."""
    if not history.inherited or not history.shared:
        return ""
    shared, by = history.shared[-1], history.inherited["ranked_by"].replace("_", " ")
    return (
        f"{counted(len(history.inherited['candidates']), 'candidate')} ranked by {by} with weights inherited "
        f"from one shared training of {shared.last_step:,} steps ({duration(shared.seconds)})."
    )


def evolution_in_words(history: History) -> str:
    """How a network evolved, where one did, and by what its stages were valued."""
    if not history.evolved:
        return ""
    first, last = history.evolved[0], history.evolved[-1]
    actions = [action for event in history.evolved for action in event["actions"]]
    removed = sum(action.startswith("remove") for action in actions)
    by = ", ".join(first["lists"]) or "in the place of latency: no price list"
    reasons = [f"Not reached: {trial.reason}." for trial in history.shared if trial.reason]
    return " ".join(
        [
            f"One network evolved in {counted(len(history.evolved), 'round')} from "
            f"{cost_in_words(first['cost_before'], first['cost'])} to "
            f"{cost_in_words(last['cost_after'], last['cost'])}, at most {first['at_most']:g} ({by}): "
            f"{counted(removed, 'stage')} removed, {len(actions) - removed} copied, valued by "
            f"{first['ranked_by'].replace('_', ' ')} lost for cost saved.",
            *reasons,
        ]
    )


def refusals(history: History) -> dict[str, int]:
    """Proposals that became no trial, counted by what was wrong with them."""

    def kind_of(kind: str, reason: str) -> str:
        if kind == "duplicate":
            return "a network tried before"
        bounds = re.findall(r"[\d.]+ (?:M )?([^>;]+?) >", reason)
        return f"over budget in {' and '.join(bounds)}" if bounds else "over budget"

    return dict(Counter(kind_of(r.kind, r.reason) for r in history.rejections).most_common())
