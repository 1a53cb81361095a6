"""Before anything starts: whether the settings of a search can work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from search.backends.cluster import check_devices, check_several
from search.confirmation.confirmation import ConfirmationSettings
from search.evolution_plan import check_evolution
from search.formats import gmacs, millions
from search.latency import check_lists
from search.named import named_architecture, named_candidate
from search.objectives import Objectives
from search.runs.elsewhere import check_elsewhere
from search.runs.prior import check_prior
from search.samplers.base import ChecksSpace
from search.samplers.factory import LEARN_FROM_STANDINGS, SamplerSettings, make_sampler
from search.samplers.modelled import MOST_MODELLED
from search.scoring.evaluator import check_scoring, parts_of_scoring
from search.settings import SearchSettings
from search.statistics.noise import NO_NOISE, Noise
from search.stopping.factory import StoppingSettings, make_rule
from search.strategies.factory import StrategySettings
from search.strategies.independent import IndependentSettings
from search.supernet_plan import check_supernet
from space.architecture import Architecture
from space.budget import Budget, smallest_of
from space.image_budget import TOTAL
from space.image_time import enough_text
from space.prices.candidates import candidate_price
from space.prices.macs import price
from space.proxy import Proxy, narrow, trained_form
from space.search_space import AnySpace
from space.shared.plain import InputError, nearest
from training.data.dataset import Dataset
from training.data.factory import load_data
from training.encoders import check_size, frozen_parts_of, with_images
from training.plan import without_error
from training.text import make_text_encoder
from training.trainer import Trainer

FEWEST_TAUGHT = 10  # images held out where only few can be: of two, all scores are luck


def check(settings: SearchSettings) -> Dataset:
    """The data, once it is sure that the settings can work: all that can be known before anything starts.

    Raises:
        InputError: an impossible budget, objectives that no trial records, widths that the proxy cannot
            divide, architectures to try first that do not fit, a grid too large, a class of the user's own
            that cannot be made, data that is not there or does not fit the proxy, weights of the networks
            that score that are missing or others.
    """
    _check_before_data(settings)
    return _check_with_data(settings, load_data(settings.data))


def check_parts(settings: SearchSettings, refused: list[str]) -> Dataset | None:
    """As `check`; but data, encoders and networks that cannot be read join `refused`, each in one line, and
    there are no data then."""
    _check_before_data(settings)
    data = without_error(refused, lambda: load_data(settings.data))
    for look in (*frozen_parts_of(settings.training), *parts_of_scoring(settings)):
        without_error(refused, look)
    return None if refused or data is None else _check_with_data(settings, data)


def _check_before_data(settings: SearchSettings) -> None:
    check_devices(settings.cluster)
    is_shared = not isinstance(settings.strategy, IndependentSettings)
    check_several(settings.cluster, settings.backend, settings.training, is_shared)
    named = {"enqueue": settings.enqueue, "confirmation.references": settings.confirmation.references}
    if start := settings.named[len(settings.enqueue) :]:
        named["strategy.start"] = start
    _check_objectives(settings)
    if settings.resume is None:
        _check_elsewhere(settings)
    check_supernet(settings)
    check_evolution(settings)
    check_choosing(settings, named)
    for group, names in named.items():
        for name in names:
            _check_trains_here(f"{group}: {name}", name, settings)
    _check_size(settings)


def _check_with_data(settings: SearchSettings, data: Dataset) -> Dataset:
    if settings.resume is None:  # a resumed search has their trials in its own record
        check_prior(settings, data.digest)
    fewest = FEWEST_TAUGHT if settings.data.held_out_words_are_taught else 2
    if (count := len(data.held_out_captions)) < fewest:
        said = "one image is" if count == 1 else f"{count} images are"
        more = ", of more groups for instance" if fewest > 2 else ""
        raise InputError(f"data: {said} held out; needed: {fewest} or more, to score images against{more}")
    _check_fits(settings, data)
    check_scoring(settings, data)
    return with_images(data, settings.training)


def _check_elsewhere(settings: SearchSettings) -> None:
    """Raises InputError for a source without a record, or where nobody learns from standings."""
    if not settings.prior_elsewhere:
        return
    learns = isinstance(settings.strategy, IndependentSettings)
    if not learns or settings.sampler.name not in LEARN_FROM_STANDINGS:
        who = f"sampler={settings.sampler.name}" if learns else f"strategy={settings.strategy.name}"
        raise InputError(
            f"prior_elsewhere: {who} learns from scores, which say nothing under another protocol; allowed: "
            f"strategy=independent with sampler={' or '.join(LEARN_FROM_STANDINGS)}"
        )
    references = compared_with(settings).values()
    check_elsewhere(settings.prior_elsewhere, settings.space, references, MOST_MODELLED)


def _check_size(settings: SearchSettings) -> None:
    """Raises InputError where images of that size do not fit the networks: some take minutes to be made."""
    smallest, data = narrow(settings.space.smallest(_macs), settings.proxy), settings.data
    try:
        check_size(smallest, data, settings.training.latents)
    except InputError as error:
        as_usual = data.experiment and data.image_size_px == type(data).image_size_px
        way = f"; experiment={data.experiment} has all that fits data={data.name}" if as_usual else ""
        raise InputError(f"{error}{way}") from None


def _check_fits(settings: SearchSettings, data: Dataset) -> None:
    """Raises InputError where data, encoders and networks don't fit together."""
    smallest = narrow(settings.space.smallest(_macs), settings.proxy)
    Trainer(smallest, data, settings.training, seed=settings.seed)
    text, length, width = settings.training.text, smallest.context_length, smallest.context_width
    may_read = any(
        name.endswith(".cross_attention") and True in values for name, values in settings.space.choices()
    )
    if text.encoder == "clip" and may_read and not smallest.cross_attention_layers:
        make_text_encoder(text, [], length, width)  # others of the space read what it makes


class Choosing(Protocol):
    """What chooses networks, in the settings of any search."""

    @property
    def space(self) -> AnySpace: ...
    @property
    def budget(self) -> Budget: ...
    @property
    def proxy(self) -> Proxy: ...
    @property
    def sampler(self) -> SamplerSettings: ...
    @property
    def stopping(self) -> StoppingSettings: ...
    @property
    def noise(self) -> Noise | None: ...
    @property
    def objectives(self) -> Objectives: ...
    @property
    def rungs(self) -> tuple[int, ...]: ...
    @property
    def strategy(self) -> StrategySettings: ...
    @property
    def trials(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def enqueue(self) -> tuple[str, ...]: ...
    @property
    def presets(self) -> dict[str, str]: ...
    @property
    def resume(self) -> str | None: ...


def check_choosing(settings: Choosing, named: Mapping[str, Sequence[str]]) -> None:
    """That networks can be chosen so. `named` are architectures by the field that names them.

    Raises:
        InputError: what is said of `check`, but for objectives, data and scoring.
    """
    if settings.resume is None:
        _check_order(settings.space)
    _check_budget(settings)
    _check_widths(settings)
    _check_named(settings, named)
    _check_chosen(settings)


def _check_order(space: AnySpace) -> None:
    try:
        space.check_order()
    except InputError as error:
        raise InputError(f"space.{error}") from None


def _check_budget(settings: Choosing) -> None:
    """Price lists price all of the space, and each bound alone leaves something of it."""
    check_lists(settings.budget, settings.space)
    for bound in settings.budget.bounds():
        alone = settings.budget.alone(bound)
        smallest = smallest_of(settings.space, alone, bound)
        if excess := alone.excess(smallest):
            if bound == TOTAL:
                least = enough_text(alone.amounts(smallest)[TOTAL])
                raise InputError(
                    f"budget.{TOTAL}: nothing of this space fits ({excess[0]}); allowed: {least} or more"
                )
            cost = candidate_price(smallest)
            raise InputError(
                f"budget.{bound}: nothing of this space fits ({excess[0]}): its smallest architecture costs "
                f"{millions(cost.parameters)} parameters and {gmacs(cost.gmacs)}"
            )


def _check_objectives(settings: SearchSettings) -> None:
    for index, objective in enumerate(settings.further_objectives):
        if objective.name not in settings.scores:
            raise InputError(
                f"further_objectives[{index}].name: {objective.name!r} is no score of this search; "
                f"{nearest(objective.name, settings.scores)}"
            )


def _macs(architecture: Architecture) -> int:
    return price(architecture).macs


def _check_widths(settings: Choosing) -> None:
    for name, values in settings.space.choices():
        if name.endswith(".channels"):
            for width in values:
                if width % settings.proxy.width_divisor:
                    raise InputError(
                        f"space.levels.{name}: {width} does not divide by proxy.width_divisor = "
                        f"{settings.proxy.width_divisor}, and rounding could make two candidates one"
                    )


def _check_named(settings: Choosing, named: Mapping[str, Sequence[str]]) -> None:
    """Enqueued architectures and reference points exist and have a proxy; the enqueued fit and differ."""
    for group, names in named.items():
        for name in names:
            try:
                candidate = named_candidate(settings.space, name, settings.presets)
            except InputError as error:
                raise InputError(f"{group}: {error}") from None
            try:
                trained_form(candidate, settings.proxy)
                settings.budget.latencies(candidate)  # a score of each that is trained
            except InputError as error:
                raise InputError(f"{group}: {name}: {error}") from None
    if settings.resume is None and len(settings.enqueue) > settings.trials:
        raise InputError(
            f"enqueue: {len(settings.enqueue)} architectures are more than trials={settings.trials}"
        )
    seen: dict[str, str] = {}
    for name in settings.enqueue:
        candidate = named_candidate(settings.space, name, settings.presets)
        excess = settings.budget.excess(candidate)
        if excess:
            raise InputError(f"enqueue: {name} is over budget: {'; '.join(excess)}")
        if candidate.id in seen:
            raise InputError(f"enqueue: {seen[candidate.id]} and {name} are one network; allowed: each once")
        seen[candidate.id] = name


def _check_trains_here(where: str, name: str, settings: SearchSettings) -> None:
    """A proxy has the latents, and reads the text features, of those that the space's networks have."""
    proxy = narrow(named_architecture(name, settings.presets), settings.proxy)
    ours = narrow(settings.space.first, settings.proxy)
    fields = ["latent_channels", "latent_size"]
    if settings.training.text.encoder == "clip" and proxy.cross_attention_layers:
        fields += ["context_length", "context_width"]
    for field in fields:
        if getattr(proxy, field) != getattr(ours, field):
            raise InputError(
                f"{where}: {field} is {getattr(proxy, field)}, where this search trains with "
                f"{getattr(ours, field)}; needed: proxy.{field}={getattr(ours, field)}, which makes them "
                "alike, or to leave it out"
            )


def _check_chosen(settings: Choosing) -> None:
    """The sampler and the stopping rule can be made, and the sampler can bear the space."""
    sampler = make_sampler(settings.sampler, settings.seed)
    make_rule(settings.stopping, settings.noise or NO_NOISE)
    if isinstance(sampler, ChecksSpace):
        sampler.check(settings.space)


def compared_with(settings: SearchSettings) -> dict[str, Architecture]:
    """By name what this search is compared with, or may be by a later confirmation: its reference points, MD
    and MD-Lite."""
    names = (*ConfirmationSettings().references, *settings.confirmation.references)
    return {Path(name).stem: named_architecture(name, settings.presets) for name in names}
