"""What an image takes beside the networks that are searched: read where a budget names it when a search
begins, and kept with it, so that what happens there later changes nothing here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from search.formats import counted
from search.latency import LISTS
from search.named import is_file_name, named_architecture, named_autoencoder
from search.objectives import objectives_from_plain
from search.runs.files import RECORD_NAME
from search.runs.record import read_history
from search.statistics.pareto import Point
from search.timed import Timed, check_one_size, pairing_notes, timed_front
from space.budget import Budget
from space.candidates import Candidate
from space.decoder_space import DecoderSpace
from space.image_budget import ImageBudget
from space.image_time import OtherSide, TimedNetwork, ms_text
from space.interchange.autoencoder_files import read_autoencoder_description
from space.prices.latency import PriceList
from space.search_space import AnySpace
from space.shared.plain import InputError, to_plain

PLURALS = {"decoder": "decoders", "unet": "UNets"}


def with_other_side(budget: Budget, space: AnySpace) -> Budget:
    """The budget with whole paths, and what an image takes beside the networks of the space; kept where a
    search that goes on has read it from there before.

    Raises:
        InputError: nothing to be read there, or networks of other latents.
    """
    if (image := budget.image) is None:
        return budget.absolute()
    own, other = ("decoder", "unet") if isinstance(space, DecoderSpace) else ("unet", "decoder")
    if image.side == own:
        raise InputError(
            f"budget.{own}: has no effect in a search of {PLURALS[own]}; allowed: budget.{other}=<...>"
        )
    budget = budget.absolute()
    source = getattr(budget, other)
    if not isinstance(source, str):
        return replace(budget, other_side=None)
    if budget.other_side is not None and budget.other_side.source == source:
        return budget
    return replace(budget, other_side=_read(replace(budget, other_side=None), other, source, space.first))


def timed_networks(image: ImageBudget) -> list[Timed]:
    """The other side. Raises InputError where nobody has read it."""
    if image.read is None:
        return [Timed("as stated", None, image.least_ms, Point((), ()))]
    objectives = objectives_from_plain(list(image.read.objectives))
    return [
        Timed(
            one.name,
            one.architecture,
            one.ms,
            Point(tuple(one.scores[each.name] for each in objectives), objectives),
        )
        for one in image.read.networks
    ]


# ---------------------------------------------------------------------- said


def image_notes(budget: Budget, space: AnySpace, *, resumed: bool) -> list[str]:
    """What one evaluation may take, and by what; and, of a search that goes on, whether what it read has
    changed since."""
    if (image := budget.image) is None:
        return []
    one, within = "an evaluation" if image.side == "decoder" else "a decoding", image.within
    line = (
        f"total_ms={within.total_ms:g} for {within.words()}: text encoder {ms_text(within.text_ms)} ms, "
        f"{_in_words(image)}; {one} may take {ms_text(image.most_ms)} ms"
    )
    if image.read is None:
        return [line]
    notes = [line, *(f"budget.{image.side}: {note}" for note in image.read.notes)]
    return [*notes, *(_changes(budget, image, image.read, space.first) if resumed else [])]


def _in_words(image: ImageBudget) -> str:
    ms = f"{ms_text(image.least_ms)} ms"
    if image.read is None or len(image.read.networks) == 1:
        return f"{'UNet' if image.side == 'unet' else image.side} {ms}"
    several = f"{len(image.read.networks)} {PLURALS[image.side]} of {image.read.source}"
    return f"the fastest of {several} {ms}"


def _changes(budget: Budget, image: ImageBudget, before: OtherSide, own: Candidate) -> list[str]:
    try:
        now = _read(replace(budget, other_side=None), image.side, before.source, own)
    except InputError:  # it may be gone: what was read is kept
        return []
    if now.networks == before.networks:
        return []
    return [
        f"budget.{image.side}: {before.source} has changed since (the fastest {ms_text(now.least_ms)} ms, "
        f"{ms_text(before.least_ms)} then); this search goes on with what it began with"
    ]


# ---------------------------------------------------------------------- read


def _read(budget: Budget, side: str, source: str, own: Candidate) -> OtherSide:
    prices = _prices(budget, side)
    try:
        if (Path(source) / RECORD_NAME).is_file():
            found, other = _of_run(source, side, prices)
        else:
            found, other = _of_network(source, side, prices)
        unet, decoder = (own, other) if side == "decoder" else (other, own)
        check_one_size(unet, decoder)
    except InputError as error:
        raise InputError(f"budget.{side}: {source}: {str(error).removeprefix(f'{source}: ')}") from None
    here = _described(budget)
    both = (here, found.lists) if side == "decoder" else (found.lists, here)
    return replace(found, notes=(*found.notes, *pairing_notes(unet, decoder, *both)))


def _described(budget: Budget) -> tuple[str, ...]:
    try:
        return tuple(one.describe() for one in budget.lists)
    except InputError as error:
        raise InputError(f"budget.{error}") from None


def _prices(budget: Budget, side: str) -> PriceList | None:
    name = f"{side}_prices"
    try:
        return None if (file := getattr(budget, name)) is None else PriceList.load(file)
    except InputError as error:
        raise InputError(f"budget.{name}: {error}") from None


def _of_run(source: str, side: str, prices: PriceList | None) -> tuple[OtherSide, Candidate]:
    """Its front, and one of its networks."""
    history = read_history(Path(source))
    front = timed_front(history, are_decoders=side == "decoder", prices=prices)
    networks = []
    for one in front:
        values = zip(one.point.objectives, one.point.values, strict=True)
        scores = {objective.name: value for objective, value in values}
        networks.append(TimedNetwork(one.name, one.ms, one.architecture, scores))
    objectives = tuple(to_plain(front[0].point.objectives))
    recorded = tuple(str(one["list"]) for one in history.header.get(LISTS, []))
    lists = recorded if prices is None else (prices.describe(),)
    running = sum(trial.state == "running" for trial in history.trials)
    notes = (f"{counted(running, 'trial')} of it had not ended when this search began",) if running else ()
    return OtherSide(source, tuple(networks), objectives, lists, notes), history.trials[0].architecture


def _of_network(source: str, side: str, prices: PriceList | None) -> tuple[OtherSide, Candidate]:
    network = _named(side, source)
    if prices is None:
        measured = "mdsearch latency prices" + " space=decoder" * (side == "decoder")
        raise InputError(
            f"is one network, of which nobody says milliseconds; needed: budget.{side}_prices=<file>, which "
            f"{measured} measures"
        )
    timed = TimedNetwork(Path(source).stem, prices.milliseconds(network), network.id)
    return OtherSide(source, (timed,), lists=(prices.describe(),)), network


def _named(side: str, source: str) -> Candidate:
    is_folder = Path(source).is_dir()
    if side == "decoder":
        if is_folder:
            return read_autoencoder_description(source)
        if not is_file_name(source) or Path(source).exists():
            return named_autoencoder(source)
        raise InputError("is not there; allowed: milliseconds, a run folder, an autoencoder")
    if is_folder or (is_file_name(source) and not Path(source).exists()):
        raise InputError("holds no run; allowed: milliseconds, a run folder, a UNet's file or preset")
    return named_architecture(source)
