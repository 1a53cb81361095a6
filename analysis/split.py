"""One latency budget for all that makes an image: how a UNet's search and a decoder's share it best.

An image takes the text encoder once, the UNet so many times, and the decoder once. No pair of the two is best
in every score, so that the answer is a front: whoever gives the decoder more has less for the UNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.latency import LISTS
from search.objectives import Objective, Objectives
from search.runs.header import objectives_of, searches_decoders
from search.runs.record import History, Trial
from search.runs.scores import point_in
from search.statistics.pareto import Point, best_order, fronts
from space.budget import LATENCY
from space.shared.plain import InputError

OF_COST = "decoder_"  # how the costs that decide beside PSNR are called; here milliseconds stand for them
LATENCY_OBJECTIVE = Objective(LATENCY, "minimize", "log")


@dataclass(frozen=True)
class ImageTime:
    """What an image may take: `text_ms` the text encoder, `steps` times the UNet, once the decoder."""

    total_ms: float
    steps: int
    text_ms: float = 0.0

    def left_ms(self, unet_ms: float, decoder_ms: float) -> float:
        return self.total_ms - self.text_ms - self.steps * unet_ms - decoder_ms


@dataclass(frozen=True)
class FittingPair:
    """A UNet and a decoder that fit together. `point` holds their scores, the UNet's first."""

    unet: Trial
    decoder: Trial
    unet_ms: float  # of one step
    decoder_ms: float
    left_ms: float
    point: Point


def splits(unets: History, decoders: History, within: ImageTime) -> list[FittingPair]:
    """The front of all pairs that fit: none is beaten in every score by another. Best first, as `best_order`.

    Raises:
        InputError: a search of another kind or without price lists, or no pair that fits.
    """
    ours = _timed(unets, "the UNets' search", are_decoders=False)
    theirs = _timed(decoders, "the decoders' search", are_decoders=True)
    pairs = [
        FittingPair(unet, decoder, unet_ms, decoder_ms, left, _joined(own, other))
        for unet, own, unet_ms in ours
        for decoder, other, decoder_ms in theirs
        if (left := within.left_ms(unet_ms, decoder_ms)) >= 0
    ]
    if not pairs:
        least = within.text_ms + within.steps * min(ms for *_, ms in ours) + min(ms for *_, ms in theirs)
        raise InputError(
            f"total_ms: {within.total_ms:g} is too few: no pair of complete trials fits; allowed: "
            f"{least:.4g} or more"
        )
    ranks = fronts([pair.point for pair in pairs])
    front = [pair for pair, rank in zip(pairs, ranks, strict=True) if rank == 0]
    return [front[place] for place in best_order([pair.point for pair in front])]


def price_lists_of(history: History) -> list[str]:
    """In words."""
    return [str(one["list"]) for one in history.header.get(LISTS, [])]


_Timed = tuple[Trial, Point, float]


def _timed(history: History, what: str, *, are_decoders: bool) -> list[_Timed]:
    """Complete trials with scores and milliseconds, without those that another beats in all of these."""
    if searches_decoders(history.header) != are_decoders:
        raise InputError(f"{what}: is of {'UNets' if are_decoders else 'decoders'}; the UNets' comes first")
    objectives = tuple(each for each in objectives_of(history) if _is_quality(each))
    found: list[_Timed] = []
    for trial in history.trials:
        ms = trial.score(LATENCY)
        point = point_in(trial.rungs[-1].scores, objectives) if trial.rungs else None
        if trial.state == "complete" and point is not None and ms is not None:
            found.append((trial, point, ms))
    if not found:
        raise InputError(
            f"{what}: no complete trial has a {LATENCY}; needed: a search with budget.prices=<file>"
        )
    ranks = fronts([_joined(point, Point((ms,), (LATENCY_OBJECTIVE,))) for _, point, ms in found])
    return [timed for timed, rank in zip(found, ranks, strict=True) if rank == 0]


def _is_quality(objective: Objective) -> bool:
    return objective.name != LATENCY and not objective.name.startswith(OF_COST)


def _joined(one: Point, other: Point) -> Point:
    objectives: Objectives = (*one.objectives, *other.objectives)
    return Point((*one.values, *other.values), objectives)


# ---------------------------------------------------------------------- in words


def split_rows(found: Sequence[FittingPair], within: ImageTime) -> list[dict[str, object]]:
    """Exact values, a row for each pair."""
    return [
        {
            "unet": pair.unet.name,
            "unet_architecture": pair.unet.architecture.id,
            "unet_ms": pair.unet_ms,
            "steps": within.steps,
            "decoder": pair.decoder.name,
            "decoder_architecture": pair.decoder.architecture.id,
            "decoder_ms": pair.decoder_ms,
            "text_ms": within.text_ms,
            "left_ms": pair.left_ms,
            **{
                each.name: value for each, value in zip(pair.point.objectives, pair.point.values, strict=True)
            },
        }
        for pair in found
    ]


def split_words(found: Sequence[FittingPair], within: ImageTime) -> list[dict[str, str]]:
    """The same for people."""
    return [
        {
            "UNet": f"{pair.unet.name}, {within.steps} x {pair.unet_ms:.4g} ms",
            "decoder": f"{pair.decoder.name}, {pair.decoder_ms:.4g} ms",
            "share of the decoder": f"{pair.decoder_ms / within.total_ms:.0%}",
            "left": f"{pair.left_ms:.4g} ms",
            **{
                each.label: each.value_text(value)
                for each, value in zip(pair.point.objectives, pair.point.values, strict=True)
            },
        }
        for pair in found
    ]
