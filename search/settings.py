"""What a search chooses, as plain typed settings: what the door hands inward, and what config.yaml holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from evaluators.networks.loading import ComputeSettings
from evaluators.networks.weights import WeightsSettings
from evaluators.protocols.protocol import EvaluationProtocol
from evaluators.protocols.score import score_name
from evaluators.scorers.by_protocol import objective_names
from evaluators.scorers.embedded import CLIP_SCORE, EvaluatorSettings
from search.confirmation.confirmation import ConfirmationSettings
from search.objectives import Objective, Objectives, checked, fid_and_clip
from search.samplers.factory import SamplerSettings
from search.statistics.noise import Noise
from search.stopping.factory import StoppingSettings
from space.budget import Budget
from space.choices import Space
from space.proxy import Proxy
from space.shared.plain import InputError, from_plain
from training.data.factory import DataSettings
from training.settings import TrainingSettings


@dataclass(frozen=True)
class ClusterSettings:
    """Where the workers are. With `address` null a cluster is started on this machine, its dashboard on
    loopback only; otherwise (host:6379, ray://host:10001, auto) an existing one is used, and the run
    folder must be on storage that all its nodes share.

    `workers` null: one for each `cpus_per_worker` of the cluster's CPUs (or GPU, if they take one).
    """

    address: str | None = None
    workers: int | None = None
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0
    threads_per_worker: int = 1
    dashboard: bool = True
    dashboard_port: int = 8265
    object_store_mb: int = 128
    max_worker_deaths: int = 2

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"workers: {self.workers} is too few; allowed: 1 or more, or null")
        if not self.cpus_per_worker > 0:
            raise InputError(f"cpus_per_worker: {self.cpus_per_worker:g} is too few; allowed: more than 0")
        if self.threads_per_worker < 1:
            raise InputError(f"threads_per_worker: {self.threads_per_worker} is too few; allowed: 1 or more")
        for name in ("gpus_per_worker", "max_worker_deaths"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: {getattr(self, name)} is negative; allowed: 0 or more")
        if not 1 <= self.dashboard_port <= 65535:
            raise InputError(f"dashboard_port: {self.dashboard_port} is no port; allowed: 1 to 65535")
        if self.object_store_mb < 75:  # Ray's own bound, below which it does not start
            raise InputError(f"object_store_mb: {self.object_store_mb} is too few; allowed: 75 or more")


@dataclass(frozen=True)
class ScoringSettings:
    """What a search scores by the networks of a protocol; the embedded evaluator's settings say their own.

    `reference` is a .safetensors of statistics, or images, in place of the search's held-out pictures.
    """

    images: int = 200  # generated pictures a score, each with a held-out caption
    reference_images: int = 2000  # held-out pictures; all of them where there are fewer
    reference: str | None = None

    def __post_init__(self) -> None:
        for name in ("images", "reference_images"):
            if getattr(self, name) < 2:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 2 or more")


@dataclass(frozen=True)
class SearchSettings:
    """One search. Groups are read from conf/<group>/, plain fields from conf/search.yaml.

    `rungs` are the steps at which trials are evaluated and may be stopped; the last is the length of a
    full trial. `enqueue` names architecture files, or presets of conf/arch, tried before the sampler's.
    (`settings_from_plain` takes folders of such files too.)
    `recorded`: the networks recorded for the package teach this search, where it measures as they were.
    `prior` names earlier runs of the same space and protocol (folders, bundles), whose trials teach it too.
    `further_objectives` decide beside a FID and a CLIP score: any that trials record, by its full name.
    `evaluators` is the embedded evaluator, or a protocol by whose networks `scoring`, `compute` and `weights`
    have candidates scored.
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
    backend: Literal["ray", "inline"] = "ray"
    trials: int = 12
    rungs: tuple[int, ...] = (125, 250, 500)
    seed: int = 0
    enqueue: tuple[str, ...] = ()
    recorded: bool = True
    prior: tuple[str, ...] = ()
    name: str | None = None
    runs_folder: str = "runs"
    cache_folder: str | None = None
    resume: str | None = None
    dry_run: bool = False
    scoring: ScoringSettings = field(default_factory=ScoringSettings)
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    weights: WeightsSettings = field(default_factory=WeightsSettings)
    further_objectives: tuple[Objective, ...] = ()

    def __post_init__(self) -> None:
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
        return (*fid_and_clip(*names), *self.further_objectives)

    @property
    def scored_images(self) -> int:
        """Generated pictures a score."""
        return (self.scoring if isinstance(self.evaluators, EvaluationProtocol) else self.evaluators).images

    @property
    def cache(self) -> Path:
        return (
            Path(self.cache_folder).expanduser() if self.cache_folder else Path.home() / ".cache" / "mdsearch"
        )


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
        "compute",  # the weights' digest and the precision are held to what the run began with
        "weights",
    }
)


def settings_from_plain(plain: dict[str, Any]) -> SearchSettings:
    """From what the door composed. Raises InputError, naming the field."""
    chosen = plain.get("evaluators") or {}
    if "features" in chosen:  # a protocol; here one is told from the other, so that errors name their fields
        scoring = from_plain(ScoringSettings, plain.get("scoring") or {}, "scoring")
        count = chosen.get("samples") or scoring.images  # null: as many as there are
        plain = plain | {
            "evaluators": from_plain(EvaluationProtocol, {**chosen, "samples": count}, "evaluators")
        }
    settings = from_plain(SearchSettings, plain)
    assert isinstance(settings, SearchSettings)
    return replace(settings, enqueue=tuple(_files(settings.enqueue)))


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


def changed_fields(before: SearchSettings, now: SearchSettings) -> list[str]:
    """Fields that may not differ on resume, and do."""
    return [
        field_.name
        for field_ in fields(SearchSettings)
        if field_.name not in FREE_ON_RESUME and getattr(before, field_.name) != getattr(now, field_.name)
    ]
