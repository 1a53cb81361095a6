"""The networks of a search by what they take and how good they are, and whether two searches go together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from search.objectives import Objective, Objectives
from search.runs.header import objectives_of, searches_decoders
from search.runs.record import History
from search.runs.scores import point_in
from search.statistics.pareto import Point, fronts
from space.autoencoder import Autoencoder
from space.budget import LATENCY
from space.candidates import Candidate
from space.prices.latency import PriceList
from space.shared.plain import InputError

OF_COST = "decoder_"  # how the costs that decide beside PSNR are called; here milliseconds stand for them
LATENCY_OBJECTIVE = Objective(LATENCY, "minimize", "log")


class Timed(NamedTuple):
    """`ms` is of one evaluation, or decoding; `point` holds the scores that decide, but for costs."""

    name: str
    architecture: str | None
    ms: float
    point: Point


def timed_front(history: History, *, are_decoders: bool, prices: PriceList | None = None) -> list[Timed]:
    """Complete trials with scores and milliseconds (of `prices`, or else as recorded), without those that
    another beats in all of these.

    Raises:
        InputError: a search of the other kind, or none that has milliseconds.
    """
    if searches_decoders(history.header) != are_decoders:
        is_of, needed = ("UNets", "decoders") if are_decoders else ("decoders", "UNets")
        raise InputError(f"is of {is_of}; needed: a search over {needed}")
    objectives = tuple(each for each in objectives_of(history) if _is_quality(each))
    found: list[Timed] = []
    for trial in history.trials:
        point = point_in(trial.rungs[-1].scores, objectives) if trial.rungs else None
        if trial.state == "complete" and point is not None:
            ms = trial.score(LATENCY) if prices is None else prices.milliseconds(trial.architecture)
            if ms is not None:
                found.append(Timed(trial.name, trial.architecture.id, ms, point))
    if not found:
        raise InputError(f"no complete trial has a {LATENCY}; needed: a search with budget.prices=<file>")
    ranks = fronts([joined(one.point, Point((one.ms,), (LATENCY_OBJECTIVE,))) for one in found])
    return [timed for timed, rank in zip(found, ranks, strict=True) if rank == 0]


def _is_quality(objective: Objective) -> bool:
    return objective.name != LATENCY and not objective.name.startswith(OF_COST)


def joined(one: Point, other: Point) -> Point:
    """The scores of two networks as those of the pair."""
    objectives: Objectives = (*one.objectives, *other.objectives)
    return Point((*one.values, *other.values), objectives)


# ---------------------------------------------------------------------- of one image


def check_one_size(unet: Candidate, decoder: Candidate) -> None:
    """Raises InputError for networks of latents of other sizes: their milliseconds are not of one image."""
    ours, theirs = unet.latent_size, decoder.latent_size
    if ours != theirs:
        image = ""
        if isinstance(decoder, Autoencoder):
            image = f", as by autoencoder.image_size={ours * decoder.factor} in their search"
        raise InputError(
            f"the UNets make latents of {ours}x{ours}, the decoders read {theirs}x{theirs}: their "
            f"milliseconds are not of one image; allowed: decoders for the same latents{image}"
        )


def pairing_notes(
    unet: Candidate, decoder: Candidate, of_unets: Iterable[str], of_decoders: Iterable[str]
) -> list[str]:
    """What keeps two searches from making images together: latents of other channels, price lists (in words)
    of other devices, runtimes or precisions."""
    ours, theirs = unet.latent_channels, decoder.latent_channels
    notes = [f"the UNets make {ours} channels, the decoders read {theirs}"] if ours != theirs else []
    one, other = ({words.rpartition(", ")[0] for words in lists} for lists in (of_unets, of_decoders))
    if one and other and one != other:  # the last of the words is a date
        notes.append(
            f"milliseconds add up on one device alone: the UNets' are of {'; '.join(sorted(one))}, the "
            f"decoders' of {'; '.join(sorted(other))}"
        )
    return notes
