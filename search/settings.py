"""What a search chooses, as plain typed settings: given by the command line, kept in config.yaml."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from evaluators.networks.loading import ComputeSettings
from evaluators.networks.weights import WeightsSettings
from evaluators.protocols.protocol import EvaluationProtocol
from evaluators.protocols.score import score_name
from evaluators.scorers.by_protocol import objective_names, score_names
from evaluators.scorers.embedded import CLIP_SCORE, EvaluatorSettings
from search.backends.cluster import ClusterSettings
from search.confirmation.confirmation import ConfirmationSettings
from search.objectives import VALIDATION_LOSS, Objective, Objectives, checked, fid_and_clip, with_exact
from search.other_side import with_other_side
from search.samplers.factory import SamplerSettings
from search.scoring.settings import ScoringSettings
from search.statistics.noise import Noise
from search.stopping.factory import StoppingSettings
from search.strategies.factory import StrategySettings
from search.strategies.independent import IndependentSettings
from space.budget import LATENCY, Budget
from space.choices import Space
from space.proxy import Proxy
from space.shared.caches import cache_folder
from space.shared.plain import InputError, from_plain, unless
from training.data.factory import DataSettings
from training.figures import check_figures
from training.logs.trackers import TrackerName
from training.settings import TrainingSettings


@dataclass(frozen=True)
class SearchSettings:
    """One search. Groups are read from conf/<group>/, plain fields from conf/search.yaml.

    `rungs` are the steps at which trials are evaluated and may be stopped; the last is the length of a
    full trial. `enqueue` names architecture files, or presets of conf/arch, tried before the sampler's.
    (`settings_from_plain` takes folders of such files too.)
    `recorded`: the networks recorded for the package teach this search, where it measures as they were.
    `prior` names earlier runs of the same space and protocol (folders, bundles), whose trials teach it too.
    `prior_elsewhere` names runs of any protocol: the sampler alone hears how networks stood there.
    `further_objectives` decide beside a FID and a CLIP score: any that trials record, by its full name.
    `evaluators` is the embedded evaluator, or a protocol by whose networks `scoring`, `compute` and `weights`
    have candidates scored.
    `throughput` (images a second that one accelerator trains) and `expected_images` of the data are figures
    of a plan (`dry_run`), printed in `format`.
    `logger` names trackers beside TensorBoard's files, which are always written.
    `presets` are texts of the user's own YAML that the settings were made of, `group=name` -> text, so that a
    run goes on when their files are gone.
    """

    space: Space
    budget: Budget
    proxy: Proxy
    data: DataSettings
    training: TrainingSettings
    evaluators: EvaluationProtocol | EvaluatorSettings
    sampler: SamplerSettings
    stopping: StoppingSettings
    noise: Noise
    confirmation: ConfirmationSettings
    cluster: ClusterSettings
    strategy: StrategySettings = field(default_factory=IndependentSettings)
    backend: Literal["ray", "inline"] = "ray"
    trials: int = 12
    rungs: tuple[int, ...] = (125, 250, 500)
    seed: int = 0
    enqueue: tuple[str, ...] = ()
    recorded: bool = True
    prior: tuple[str, ...] = ()
    prior_elsewhere: tuple[str, ...] = unless(())
    name: str | None = None
    runs_folder: str = "runs"
    cache_folder: str | None = None
    resume: str | None = None
    dry_run: bool = False
    scoring: ScoringSettings = field(default_factory=ScoringSettings)
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    weights: WeightsSettings = field(default_factory=WeightsSettings)
    further_objectives: tuple[Objective, ...] = ()
    throughput: float | None = unless(None)
    expected_images: int | None = unless(None)
    format: Literal["text", "json"] = unless("text")
    logger: tuple[TrackerName, ...] = unless(())
    presets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_figures(self.throughput, expected_images=self.expected_images)
        if self.format != "text" and not self.dry_run:
            raise InputError(f"format: {self.format!r} is of a plan; allowed: text, or beside dry_run=true")
        if isinstance(self.evaluators, EvaluationProtocol):
            _check_protocol(self.evaluators)
        else:
            _check_without_protocol(self)
        try:
            checked(self.objectives)
        except InputError as error:
            raise InputError(f"further_objectives: {error}") from None
        if self.trials < 1:
            raise InputError(f"trials: {self.trials} is too few; allowed: 1 or more")
        if not self.rungs or list(self.rungs) != sorted(set(self.rungs)) or self.rungs[0] < 1:
            raise InputError(f"rungs: {list(self.rungs)} do not rise; allowed: rising steps from 1 on")
        if self.name is not None and ("/" in self.name or self.name in (".", "..")):
            raise InputError(
                f"name: {self.name!r} is no name of a folder; the folder above it is runs_folder"
            )

    @property
    def objectives(self) -> Objectives:
        """The scores that decide: a FID and a CLIP, named for `evaluators.fid` or a protocol's first
        networks, and further ones."""
        if isinstance(self.evaluators, EvaluationProtocol):
            names = objective_names(self.evaluators)
        else:
            names = score_name("fid", self.evaluators.fid), CLIP_SCORE
        return (*fid_and_clip(*names), *with_exact(self.further_objectives))

    @property
    def scores(self) -> tuple[str, ...]:
        """All that trials record, by name."""
        protocol = self.evaluators
        own = score_names(protocol) if isinstance(protocol, EvaluationProtocol) else protocol.scores
        return (*own, VALIDATION_LOSS, *((LATENCY,) if self.budget.files else ()))

    @property
    def named(self) -> tuple[str, ...]:
        """Names of the architectures that a search begins with."""
        start = getattr(self.strategy, "start", None)
        return (*self.enqueue, *([start] if start else []))

    @property
    def scored_images(self) -> int:
        """Images per score."""
        return (self.scoring if isinstance(self.evaluators, EvaluationProtocol) else self.evaluators).images

    @property
    def cache(self) -> Path:
        return cache_folder(self.cache_folder)


# what may differ between a run and its resumption; everything else decides what was measured
FREE_ON_RESUME = frozenset(
    {
        "trials",
        "confirmation",
        "cluster",
        "backend",
        "name",
        "runs_folder",
        "cache_folder",
        "resume",
        "dry_run",
        "throughput",
        "expected_images",
        "format",
        "compute",  # the weights' digest and the precision are held to what the run began with
        "weights",
        "logger",
        "presets",
    }
)


def settings_from_plain(plain: dict[str, Any]) -> SearchSettings:
    """From what the command line composed. Raises InputError, naming the field."""
    chosen = plain.get("evaluators") or {}
    if "features" in chosen:  # a protocol; here one is told from the other, so that errors name their fields
        scoring = from_plain(ScoringSettings, plain.get("scoring") or {}, "scoring")
        count = chosen.get("samples") or scoring.images  # null: as many as there are
        plain = plain | {
            "evaluators": from_plain(EvaluationProtocol, {**chosen, "samples": count}, "evaluators")
        }
    settings = from_plain(SearchSettings, plain)
    assert isinstance(settings, SearchSettings)
    budget = with_other_side(settings.budget, settings.space)
    return replace(settings, enqueue=tuple(_files(settings.enqueue)), budget=budget)


def _files(enqueue: Sequence[str]) -> Iterator[str]:
    """A folder stands for the architecture files in it, by name."""
    for name in enqueue:
        if not Path(name).is_dir():
            yield name
            continue
        files = sorted(Path(name).glob("*.yaml"))
        if not files:
            raise InputError(
                f"enqueue: {name} holds no .yaml file; allowed: files, folders of files, presets"
            )
        yield from map(str, files)


def _check_protocol(protocol: EvaluationProtocol) -> None:
    try:
        objective_names(protocol)
    except InputError as error:
        raise InputError(f"evaluators.{error}") from None


def _check_without_protocol(settings: SearchSettings) -> None:
    """What nothing would act on is refused."""
    for name, default in (
        ("scoring", ScoringSettings()),
        ("compute", ComputeSettings()),
        ("weights", WeightsSettings()),
    ):
        if getattr(settings, name) != default:
            raise InputError(
                f"{name}: of no use to the embedded evaluator, which has evaluators.images and the like; "
                "allowed with a protocol, evaluators=own for instance"
            )


def changed_fields(before: Any, now: Any, free: Collection[str] = FREE_ON_RESUME) -> list[str]:
    """Fields of two settings of one kind that may not differ on resume, and do; all but `free` may not."""
    names = [each.name for each in fields(before) if each.name not in free]
    return [name for name in names if getattr(before, name) != getattr(now, name)]
