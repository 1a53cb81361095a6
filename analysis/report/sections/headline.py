"""The first screen: what won, how sure that is, and what was stopped, no more than the verdicts say; then the
run in six figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import expm1
from typing import Any, NamedTuple

from analysis.findings import steps_saved
from analysis.report.page import Page
from analysis.summary import blind_spot, found_sentences, stopped_sentences, unconfirmed_sentence
from search.formats import counted, duration, share
from search.latency import lists_in_words
from search.objectives import CLIP, FID, Objective, Objectives
from search.runs.commands import go_on_command, trained_here
from search.runs.header import noise_of, objectives_of, trials_asked
from search.runs.record import Trial
from search.statistics.noise import Noise, noisy
from search.statistics.verdicts import Verdict
from space.budget import bounds_in_words

VERDICTS_NAMED = 4
UNSURE = {  # verdict -> how the claim says it
    "undecided": "undecided against",
    "equivalent": "equivalent to",
    "no worse": "no worse than",
    "mixed": "better in one score and worse in the other than",
}


def headline_section(page: Page) -> dict[str, Any]:
    header = page.history.header
    began = header.get("time")
    when = f"{datetime.fromtimestamp(began, UTC):%d %B %Y, %H:%M} UTC" if began else "not begun"
    named = [("sampler", header.get("sampler", {})), ("stopping", header.get("stopping", {}))]
    facts = [
        page.words.search.capitalize(),
        page.name,
        when,
        f"budget {_budget_words(header.get('budget', {}))}",
        *(f"latency by {words}" for words in lists_in_words(header)),
        *(f"{kind} {settings.get('name', '?')}" for kind, settings in named if settings),
        f"seed {header.get('seed', '?')}",
    ]
    answers = list(_answers(page))
    return {"facts": facts, "claim": _claim(page), "lines": list(_unfinished(page)), "answers": answers}


def _budget_words(budget: dict[str, Any]) -> str:
    return " and ".join(bounds_in_words(budget)) or "none"


def _claim(page: Page) -> str:
    """The one sentence at the top; it claims no more than the verdicts do."""
    trials, winner = page.history.trials, page.winner
    if not trials:
        return "No trial has been started yet."
    if winner is None:
        if all(trial.state == "failed" for trial in trials):
            return "Every trial failed: nothing can be said about any architecture."
        return "Nothing is decided: no trial has been trained to its full length."
    said = _words_of(page.verdicts, winner.name)
    name = winner.name.capitalize()
    if not said:
        return f"{name} leads on one run; nothing has confirmed it."
    if "worse" in said:
        rest = f", better than {said['better']}" if "better" in said else ""
        return f"{name} led the search, but trained again it is worse than {said['worse']}{rest}."
    unsure = "; ".join(f"{phrase} {said[word]}" for word, phrase in UNSURE.items() if word in said)
    if "better" in said:
        return f"{name} is better than {said['better']} beyond the noise{'; ' + unsure if unsure else ''}."
    return f"{name} leads the search; {unsure}."


def _words_of(verdicts: Sequence[Verdict], name: str) -> dict[str, str]:
    """Verdict -> the networks that it is said of, from the side of `name`."""
    turned: dict[str, str] = {"better": "worse", "worse": "better", "no worse": "undecided"}
    sides = [(str(v.word), v.against) for v in verdicts if v.name == name]
    sides += [(turned.get(v.word, v.word), v.name) for v in verdicts if v.against == name]
    return {word: _and([other for said, other in sides if said == word]) for word, _ in sides}


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _unfinished(page: Page) -> Iterator[str]:
    history = page.history
    asked, ended = trials_asked(history), sum(t.state != "running" for t in history.trials)
    if ended < asked and not page.running:
        under_way = sum(trial.state == "running" for trial in history.trials)
        were = "was" if under_way == 1 else "were"
        yield (
            f"This search is not finished: {ended} of {asked} trials had ended and {under_way} {were} under "
            "way when this page was written. If it was interrupted, go on with: "
            f"{go_on_command(page.folder, history)}"
        )
    waiting = sum(trial.state == "running" for trial in history.confirmations)
    if waiting:
        were = "was" if waiting == 1 else "were"
        yield f"{counted(waiting, 'confirmation run')} {were} under way when this page was written."


# ---------------------------------------------------------------------- what, how sure, what was stopped


class Line(NamedTuple):
    """A sentence, or one about a verdict, whose word is a badge between `who` and what follows."""

    text: str
    who: str = ""
    badge: str = ""


def _answers(page: Page) -> Iterator[tuple[str, list[Line]]]:
    if page.winner is not None:
        yield "Found", [Line(sentence) for sentence in found_sentences(page.history, page.winner)]
        yield "How sure", list(_how_sure(page, page.winner))
    if any(trial.state != "running" for trial in page.history.trials):
        yield "Stopped", list(_stopped(page))


def _how_sure(page: Page, winner: Trial) -> Iterator[Line]:
    found = [verdict for verdict in page.verdicts if winner.name in (verdict.name, verdict.against)]
    for verdict in found[:VERDICTS_NAMED]:
        name = verdict.name[0].upper() + verdict.name[1:]
        yield Line(f"({verdict.figures()}).", f"{name} against {verdict.against}: ", verdict.word)
    if len(found) > VERDICTS_NAMED:
        yield Line(f"{len(found) - VERDICTS_NAMED} more verdicts below.")
    if not found:
        yield Line(unconfirmed_sentence(page.history, winner))
    if page.lead is not None:
        yield Line(page.lead.sentence())
    yield Line(blind_spot(page.history))


def _stopped(page: Page) -> Iterator[Line]:
    yield Line(" ".join(stopped_sentences(page.history)))


def tiles_section(page: Page) -> dict[str, Any]:
    history = page.history
    states = Counter(trial.state for trial in history.trials)
    saved = steps_saved(history.trials)
    worked = sum(trial.seconds for trial in history.by_key.values())
    refused = Counter(rejection.kind for rejection in history.rejections)
    figures = [
        (f"{states['complete']:,} of {trials_asked(history):,}", "trials trained to full length"),
        (f"{states['halted']:,}", "stopped early"),
        (f"{states['failed']:,}", "failed"),
        (f"{refused['budget']:,}", "proposals over budget, never trained"),
        (share(saved.share), f"of training steps saved by stopping ({saved.steps:,})"),
        (duration(worked), "of worker time"),
    ]
    return {"tiles": figures}


def scope_section(page: Page) -> dict[str, Any] | None:
    """What was measured, and what it cannot say."""
    header, objectives, noise = page.history.header, objectives_of(page.history), noise_of(page.history)
    if not header:
        return None
    steps = (header.get("rungs") or ["?"])[-1]
    by_networks = [objective.name for objective in objectives if objective.label in (FID, CLIP)]
    return {
        "divisor": header.get("proxy", {}).get("width_divisor", 1),
        "steps": steps,
        "data": header.get("data", {}).get("name", "unnamed"),
        "embedded": by_networks if any("embedded" in name for name in by_networks) else [],
        "scale": page.words.counted,
        "level": noise.level if noise is not None else None,
        "noise": _noise_in_words(noise, objectives, steps) if noise is not None else None,
        "unknown": page.noise_unknown,
        "measurable": trained_here(page.history),
        "margins": _margins_in_words(noise, objectives) if noise is not None else None,
    }


def _margins_in_words(noise: Noise, objectives: Objectives) -> str:
    """`5% of the FID, 0.010 of CLIP`: by how much a network that is no worse may be worse."""
    bounds = [(objective, noise.no_worse(objective)) for objective in objectives]
    shares = [(each, expm1(bound) if each.scale == "log" else bound) for each, bound in bounds if bound]
    return ", ".join(_deviation_in_words(each, abs(bound)) for each, bound in shares)


def _noise_in_words(noise: Noise, objectives: Objectives, steps: Any) -> str:
    """`500 steps: 8% of the FID, 0.016 of CLIP`."""
    at = noise.at(steps if isinstance(steps, int) else 0)
    each = [_deviation_in_words(objective, at.deviation(objective)) for objective in noisy(objectives)]
    return f"{at.step} steps: {', '.join(each)}"


def _deviation_in_words(objective: Objective, deviation: float | None) -> str:
    if deviation is None:
        return f"an unknown one of {objective.label}"
    if objective.scale == "log":
        return f"{share(deviation)} of {'the ' if objective.label == FID else ''}{objective.label}"
    return f"{objective.roughly(deviation)} of {objective.label}"
