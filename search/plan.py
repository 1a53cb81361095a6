"""Before anything starts: whether settings can work and, with `dry_run=true`, what they would do and cost."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch

from search.backends.cluster import check_devices, check_several, several_lines
from search.confirmation.confirmation import ConfirmationSettings
from search.confirmation.unmeasured import noise_note
from search.evolution_plan import check_evolution, evolution_plan
from search.expected_time import measured_pace, time_lines
from search.formats import counted
from search.idle import idle_notes, nobody_learns, trials_at_most
from search.latency import check_lists, latency_notes
from search.named import named_architecture as named_architecture
from search.objectives import Objectives
from search.runs.prior import check_prior, recorded_that_teach, settled_header
from search.runs.teachers import left_out
from search.samplers.base import ChecksSpace
from search.samplers.factory import SamplerSettings, make_sampler
from search.scoring.evaluator import check_scoring, scoring_plan
from search.settings import SearchSettings
from search.statistics.noise import NO_NOISE, Noise
from search.stopping.factory import StoppingSettings, make_rule
from search.strategies.evolve import EvolveSettings
from search.strategies.factory import StrategySettings
from search.strategies.independent import IndependentSettings
from search.supernet_plan import check_supernet, supernet_plan
from space.architecture import Architecture
from space.budget import Budget, smallest_of
from space.choices import Space, UniformSuggestions
from space.prices.macs import price
from space.proxy import Proxy, narrow
from space.shared.disk import disk_free_bytes
from space.shared.plain import InputError, nearest
from training.data.dataset import Dataset
from training.data.factory import load_data
from training.state import STATE_BYTES_PER_PARAMETER
from training.trainer import Trainer

SAMPLES_PRICED = 2000
KEPT_BYTES_PER_PARAMETER = 4


def check(settings: SearchSettings) -> Dataset:
    """The data, once it is sure that the settings can work: all that can be known before anything starts.

    Raises:
        InputError: an impossible budget, objectives that no trial records, widths that the proxy cannot
            divide, architectures to try first that do not fit, a grid too large, a class of the user's own
            that cannot be made, data that is not there or does not fit the proxy, weights of the networks
            that score that are missing or others.
    """
    check_devices(settings.cluster)
    is_shared = not isinstance(settings.strategy, IndependentSettings)
    check_several(settings.cluster, settings.backend, settings.training, is_shared)
    named = {"enqueue": settings.enqueue, "references": settings.confirmation.references}
    if start := settings.named[len(settings.enqueue) :]:
        named["strategy.start"] = start
    _check_objectives(settings)
    check_supernet(settings)
    check_evolution(settings)
    check_choosing(settings, named)
    for group, names in named.items():
        for name in names:
            _check_trains_here(f"{group}: {name}", name, settings)
    data = load_data(settings.data)
    if settings.resume is None:  # a resumed search has their trials in its own record
        check_prior(settings, data.digest)
    if len(data.held_out_captions) < 2:
        raise InputError("data: one image is held out; needed: 2 or more, to score images against")
    smallest = narrow(settings.space.smallest(_macs), settings.proxy)
    Trainer(smallest, data, settings.training, seed=settings.seed)  # says where parts don't fit together
    check_scoring(settings, data)
    return data


class Choosing(Protocol):
    """What chooses networks, in the settings of any search."""

    @property
    def space(self) -> Space: ...
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


def _check_order(space: Space) -> None:
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
            cost = price(smallest)
            raise InputError(
                f"budget.{bound}: nothing of this space fits ({excess[0]}): its smallest architecture costs "
                f"{cost.parameters / 1e6:.1f} M parameters and {cost.gmacs:.1f} GMACs"
            )


def _check_objectives(settings: SearchSettings) -> None:
    for index, objective in enumerate(settings.further_objectives):
        if objective.name not in settings.scores:
            raise InputError(
                f"further_objectives[{index}].name: {objective.name!r} is no score of this search; "
                f"{nearest(objective.name, settings.scores)}"
            )


def _who_chooses(settings: SearchSettings) -> str:
    return "evolution" if isinstance(settings.strategy, EvolveSettings) else settings.sampler.name


def _unheard(why: str) -> str:
    return f"; nobody hears of it: {why}" if why else ""


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
                architecture = named_architecture(name, settings.presets)
            except InputError as error:
                raise InputError(f"{group}: {error}") from None
            try:
                narrow(architecture, settings.proxy)
            except InputError as error:
                raise InputError(f"{group}: {name}: {error}") from None
    if settings.resume is None and len(settings.enqueue) > settings.trials:
        raise InputError(
            f"enqueue: {len(settings.enqueue)} architectures are more than trials={settings.trials}"
        )
    seen: dict[str, str] = {}
    for name in settings.enqueue:
        architecture = named_architecture(name, settings.presets)
        excess = settings.budget.excess(architecture)
        if excess:
            raise InputError(f"enqueue: {name} is over budget: {'; '.join(excess)}")
        if architecture.id in seen:
            raise InputError(
                f"enqueue: {seen[architecture.id]} and {name} are one network; allowed: each once"
            )
        seen[architecture.id] = name


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


def plan_text(settings: SearchSettings) -> str:
    """The plan in words: the space, the feasible share, steps, expected time and disk.

    Time is measured here: a few steps and images of one random feasible candidate of the median size.
    """
    data = check(settings)
    generator = random.Random(settings.seed)
    sampled = [settings.space.sample(UniformSuggestions(generator)) for _ in range(SAMPLES_PRICED)]
    feasible = [a for a in sampled if not settings.budget.excess(a)]
    cluster = settings.cluster
    at_once = 1 if settings.backend == "inline" else max(1, cluster.trials_here)
    trials = trials_at_most(settings)
    steps = trials * settings.rungs[-1]
    lines = [
        f"space      {len(settings.space.free())} choices, {settings.space.encodings:.3g} combinations",
        f"budget     {', '.join(settings.budget.words()) or 'no bound'}",
        f"feasible   {len(feasible) / SAMPLES_PRICED:.1%} of {SAMPLES_PRICED} random samples",
        f"trials     {trials} by {_who_chooses(settings)}, rungs {list(settings.rungs)}, "
        f"stopping: {settings.stopping.name}; at most {steps} training steps",
    ]
    lines += [f"latency    by {one.describe()}" for one in settings.budget.lists]
    lines += latency_notes(settings.budget)
    lines += [f"scores     {line}" for line in scoring_plan(settings, data)]
    if note := noise_note(settled_header(settings, data.digest)):
        lines.append(f"noise      {note}")
    taught = [*settings.prior]
    references = compared_with(settings)
    if recorded := recorded_that_teach(settings, data.digest, references.values()):
        taught.append(f"{counted(recorded, 'recorded network')} (docs/evidence.md; {left_out(references)})")
    if taught:
        lines.append(
            f"prior      what the trials of {', '.join(taught)} taught{_unheard(nobody_learns(settings))}"
        )
    lines += [f"note       {note}" for note in idle_notes(settings)]
    if not feasible:
        return "\n".join([*lines, "Too few samples are feasible to estimate time and disk."])
    by_size = sorted(feasible, key=lambda a: price(narrow(a, settings.proxy)).macs)
    typical = narrow(by_size[len(by_size) // 2], settings.proxy)
    parameters = price(typical).parameters
    torch.set_num_threads(settings.cluster.threads_per_worker)
    trainer = Trainer(typical, data, settings.training, seed=settings.seed)
    lines += [f"text       {line}" for line in trainer.unread_text()]
    lines += [f"supernet   {line}" for line in supernet_plan(settings, data)]
    lines += [f"evolution  {line}" for line in evolution_plan(settings, data)]
    pace = measured_pace(trainer, settings, data)
    of_trial = replace(pace, step=pace.step / cluster.workers_per_trial)
    lines += several_lines(cluster)
    kept, while_running = parameters * KEPT_BYTES_PER_PARAMETER, parameters * STATE_BYTES_PER_PARAMETER
    disk = trials * kept + at_once * while_running
    where = Path(settings.runs_folder).expanduser()
    lines += [
        f"proxy      a typical candidate: {parameters / 1e6:.2f} M parameters, {pace.step:.3f} s a step here",
        *(f"time       {line}" for line in time_lines(settings, of_trial, at_once)),
        f"disk       about {disk / 1e6:.0f} MB in {where} ({disk_free_bytes(where) / 1e9:.0f} GB free)",
    ]
    return "\n".join(lines)
