"""What a search found, how sure that is, and what it stopped: sentences that report and terminal share."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.findings import preset_network, reference_networks, reruns, steps_saved
from analysis.wording import wording_of
from search.formats import counted, duration, gmacs, label, millions, share, size
from search.objectives import CLIP, FID
from search.runs.header import noise_of_rule, objectives_of, trained_elsewhere
from search.runs.record import History, Trial
from search.stopping.base import StatesDoubt
from search.stopping.factory import StoppingSettings
from space.architecture import Architecture
from space.candidates import Candidate, candidate_difference
from space.difference import MOST_IN_A_LINE, difference_in_a_line
from space.prices.candidates import candidate_price
from space.shared.plain import InputError, from_plain

MEASURE = "md"  # what a winner is laid beside where a search has no reference point
BY_NOISE = ("leaders", "paper")  # rules that stop nobody where no noise is known
STOPS_NAMED = 3

# ---------------------------------------------------------------------- found


def found_sentences(history: History, winner: Trial) -> list[str]:
    """What it costs beside the reference networks, and what differs from the first of them."""
    references = reference_networks(history)
    costs = {label(name): candidate_price(architecture) for name, architecture in references.items()}
    beside = "; ".join(f"{name}: {millions(c.parameters)}, {gmacs(c.gmacs)}" for name, c in costs.items())
    sentence = f"{winner.name.capitalize()} has {size(winner.cost)} {wording_of(history.header).scale}"
    return [f"{sentence}{f' ({beside})' if beside else ''}.", *_against(history, winner)]


def _against(history: History, winner: Trial) -> Iterator[str]:
    references = reference_networks(history)
    name = next(iter(references), MEASURE)
    other = references.get(name) or preset_network(name)
    if other is None:
        return
    if candidate_difference(other, winner.architecture):
        yield f"It differs from {label(name)} in {_in_a_line(other, winner.architecture)}."
    else:
        yield f"It is {label(name)} itself."


def _in_a_line(before: Candidate, after: Candidate) -> str:
    if isinstance(before, Architecture) and isinstance(after, Architecture):
        return difference_in_a_line(before, after)
    changes = candidate_difference(before, after)
    more = [f"{len(changes) - MOST_IN_A_LINE} more"] if len(changes) > MOST_IN_A_LINE else []
    return "; ".join([*changes[:MOST_IN_A_LINE], *more])


# ---------------------------------------------------------------------- how sure


def blind_spot(history: History) -> str:
    """What this proxy cannot see, in one sentence."""
    header = history.header
    divisor = header.get("proxy", {}).get("width_divisor", 1)
    narrower = f" at full width (here / {divisor})," if divisor != 1 else ""
    steps, data = (header.get("rungs") or ["?"])[-1], header.get("data", {}).get("name", "unnamed")
    by_embedded = any("embedded" in each.name for each in objectives_of(history) if each.label in (FID, CLIP))
    scores = ", or by published FID and CLIP" if by_embedded else ""
    return f"Not seen here: what shows after {steps} steps,{narrower} on other images than {data}{scores}."


def unconfirmed_sentence(history: History, winner: Trial) -> str:
    """Of a winner without a verdict: what it rests on."""
    if any(trial.name == winner.name and trial.state == "complete" for trial in history.confirmations):
        return (
            f"Not confirmed: {label(winner.name)} was trained again, but no other network with its seeds yet."
        )
    return f"Not confirmed: {label(winner.name)} was not trained again with new seeds: one run says all this."


# ---------------------------------------------------------------------- stopped


def stopped_sentences(history: History) -> list[str]:
    """Who was stopped, where, why, what that saved, and with how much doubt; or why nobody was."""
    stopped = [trial for trial in history.trials if trial.state == "halted"]
    if not stopped:
        return ["None.", f"{_why_none(history)}; no step saved."]
    rule, saved = history.header.get("stopping", {}).get("name", "?"), steps_saved(history.trials)
    of_trials = f"{len(stopped)} of {counted(len(history.trials), 'trial')}"
    return [
        f"{of_trials}, by stopping={rule}: {_listed(stopped)}.",
        f"That saved {saved.steps:,} of {saved.of_steps:,} training steps ({share(saved.share)}), "
        f"about {duration(saved.seconds)} of worker time.",
        _doubt(history),
    ]


def _listed(stopped: list[Trial]) -> str:
    named = [f"{trial.name} at step {trial.last_step} ({_gist(trial)})" for trial in stopped[:STOPS_NAMED]]
    more = f" and {len(stopped) - STOPS_NAMED} more" if len(stopped) > STOPS_NAMED else ""
    return f"{'; '.join(named)}{more}"


def _gist(trial: Trial) -> str:
    """A reason up to its figures, which the trial's own row has."""
    return trial.reason.partition(": ")[0] or "no reason recorded"


def _why_none(history: History) -> str:
    rule = history.header.get("stopping", {}).get("name", "none")
    if rule == "none":
        return "With stopping=none every trial is trained to its full length"
    if rule in BY_NOISE and not _noise_before_the_end(history):
        return f"What is noise at the rungs is not known, without which stopping={rule} stops nobody"
    peers = sum(trial.state == "complete" for trial in (*history.trials, *history.prior))
    needed = history.header["stopping"].get("minimum_peers", 0)
    if peers < needed:
        return f"Before anyone is stopped, stopping={rule} waits for {counted(needed, 'complete trial')}"
    return f"No trial was behind{' beyond the noise' * (rule in BY_NOISE)}, as stopping={rule} counts it"


def _noise_before_the_end(history: History) -> bool:
    noise, objectives = noise_of_rule(history), objectives_of(history)
    before = (history.header.get("rungs") or [])[:-1]
    return any(noise.at(step).deviation(each) is not None for step in before for each in objectives)


def _doubt(history: History) -> str:
    """How many were stopped wrongly, as far as that was tried; else what the rule says of itself."""
    again = reruns(history)
    if again:
        wrong = [trial.name for trial, _, wrongly in again if wrongly]
        named = f" ({', '.join(wrong)})" if wrong else ""
        return (
            f"{counted(len(again), 'stopped trial')} trained again to full length: {len(wrong)} would have "
            f"reached the Pareto front and {'was' if len(wrong) == 1 else 'were'} stopped wrongly{named}."
        )
    said = _stated_doubt(history)
    how = "" if trained_elsewhere(history) else " (mdsearch confirm ... stopped=99)"
    unknown = f"wrong stops nobody has counted, since none was trained on{how}"
    return f"In doubt: {said}; {unknown}." if said else f"In doubt: {unknown}."


def _stated_doubt(history: History) -> str:
    try:
        settings = from_plain(StoppingSettings, history.header.get("stopping", {}), "stopping")
    except InputError:  # of an earlier version
        return ""
    return settings.doubt if isinstance(settings, StatesDoubt) else ""
