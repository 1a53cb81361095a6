"""One latency budget for all that makes an image: how a UNet's search and a decoder's share it best.

An image takes the text encoder once, the UNet so many times, and the decoder once. No pair of the two is best
in every score, so that the answer is a front: whoever gives the decoder more has less for the UNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.latency import LISTS
from search.objectives import Objective
from search.other_side import timed_networks
from search.runs.header import searches_decoders
from search.runs.record import History
from search.statistics.pareto import Point, best_order, fronts
from search.timed import Timed, check_one_size, joined, pairing_notes, timed_front
from space.budget import Budget
from space.image_budget import TOTAL
from space.image_time import ImageTime, enough_text, ms_text
from space.shared.plain import InputError, from_plain


@dataclass(frozen=True)
class FittingPair:
    """A UNet and a decoder that fit together. `point` holds their scores, the UNet's first."""

    unet: Timed
    decoder: Timed
    left_ms: float
    point: Point


@dataclass(frozen=True)
class ImageSplit:
    """The front of all pairs that fit: none is beaten in every score by another. Best first, as `best_order`.

    `lists` are the price lists in words, of the UNets and of the decoders; `notes` what a person should know.
    `beside` says of which run or file one side was read, where that was done when the other's search began.
    """

    within: ImageTime
    pairs: list[FittingPair]
    lists: tuple[list[str], list[str]]
    notes: list[str]
    beside: str = ""


def split_of_two(unets: History, decoders: History, within: ImageTime) -> ImageSplit:
    """
    Raises:
        InputError: a search of another kind, without price lists, or of other images, or no pair that fits.
    """
    ours = _front(unets, "the UNets' search", are_decoders=False)
    theirs = _front(decoders, "the decoders' search", are_decoders=True)
    unet, decoder = unets.trials[0].architecture, decoders.trials[0].architecture
    check_one_size(unet, decoder)
    lists = _lists_of(unets), _lists_of(decoders)
    return ImageSplit(
        within, fitting_pairs(ours, theirs, within), lists, pairing_notes(unet, decoder, *lists)
    )


def split_of_run(history: History) -> ImageSplit | None:
    """Of a search within a budget for an image, beside what it read of the other side when it began; None
    for any other, and where no trial is complete."""
    recorded = history.header.get("budget", {})
    image = from_plain(Budget, recorded, "budget").image if TOTAL in recorded else None
    if image is None:
        return None
    within, read, decoders = image.within, image.read, searches_decoders(history.header)
    ours, theirs = _lists_of(history), [*read.lists] if read else []
    try:
        own, other = timed_front(history, are_decoders=decoders), timed_networks(image)
        pairs = fitting_pairs(*((other, own) if decoders else (own, other)), within)
    except InputError:
        return None
    lists = (theirs, ours) if decoders else (ours, theirs)
    if read is None:
        return ImageSplit(within, pairs, lists, [])
    beside = f"{'UNets' if decoders else 'decoders'} of {read.source}, as they were when the search began"
    return ImageSplit(within, pairs, lists, [*read.notes], beside)


def fitting_pairs(unets: Sequence[Timed], decoders: Sequence[Timed], within: ImageTime) -> list[FittingPair]:
    """Raises InputError where none fits."""
    pairs = [
        FittingPair(unet, decoder, left, joined(unet.point, decoder.point))
        for unet in unets
        for decoder in decoders
        if (left := within.left_ms(unet.ms, decoder.ms)) >= 0
    ]
    if not pairs:
        least = within.spent_ms(*(min(one.ms for one in side) for side in (unets, decoders)))
        raise InputError(
            f"total_ms: {within.total_ms:g} is too few: no pair of complete trials fits; allowed: "
            f"{enough_text(least)} or more"
        )
    ranks = fronts([pair.point for pair in pairs])
    front = [pair for pair, rank in zip(pairs, ranks, strict=True) if rank == 0]
    return [front[place] for place in best_order([pair.point for pair in front])]


def _front(history: History, whose: str, *, are_decoders: bool) -> list[Timed]:
    try:
        return timed_front(history, are_decoders=are_decoders)
    except InputError as error:
        raise InputError(f"{whose}: {error}") from None


def _lists_of(history: History) -> list[str]:
    """In words."""
    return [str(one["list"]) for one in history.header.get(LISTS, [])]


# ---------------------------------------------------------------------- in words


def split_sentence(split: ImageSplit) -> str:
    """The best of the front: `UNet trial 3 and decoder trial 7: text encoder 12.0 + UNet 8 x 30.0 + decoder
    40.0 = 292.0 ms, of which the decoder has 14%; 108.0 of 400 ms left`."""
    best, within = split.pairs[0], split.within
    both = best.unet.ms, best.decoder.ms
    return (
        f"UNet {best.unet.name} and decoder {best.decoder.name}: {within.sum_words(*both)} = "
        f"{ms_text(within.spent_ms(*both))} ms, of which the decoder has {_share(best, within)}; "
        f"{ms_text(best.left_ms)} of {within.total_ms:g} ms left"
    )


def split_rows(split: ImageSplit) -> list[dict[str, object]]:
    """Exact values, a row for each pair."""
    return [
        {
            "unet": pair.unet.name,
            "unet_architecture": pair.unet.architecture,
            "unet_ms": pair.unet.ms,
            "steps": split.within.steps,
            "calls_per_step": split.within.calls_per_step,
            "decoder": pair.decoder.name,
            "decoder_architecture": pair.decoder.architecture,
            "decoder_ms": pair.decoder.ms,
            "text_ms": split.within.text_ms,
            "total_ms": split.within.total_ms,
            "left_ms": pair.left_ms,
            **{each.name: value for each, value in _scores_of(pair)},
        }
        for pair in split.pairs
    ]


def split_words(split: ImageSplit) -> list[dict[str, str]]:
    """The same for people."""
    return [
        {
            "UNet": f"{pair.unet.name}, {split.within.times_words(pair.unet.ms)} ms",
            "decoder": f"{pair.decoder.name}, {ms_text(pair.decoder.ms)} ms",
            "share of the decoder": _share(pair, split.within),
            "left": f"{ms_text(pair.left_ms)} ms",
            **{each.label: each.value_text(value) for each, value in _scores_of(pair)},
        }
        for pair in split.pairs
    ]


def _share(pair: FittingPair, within: ImageTime) -> str:
    """Of what an image takes."""
    share = pair.decoder.ms / within.spent_ms(pair.unet.ms, pair.decoder.ms)
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def _scores_of(pair: FittingPair) -> zip[tuple[Objective, float]]:
    return zip(pair.point.objectives, pair.point.values, strict=True)
