"""What a search over decoders chooses, as plain typed settings, and the run folder that it writes to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from evaluators.networks.perceptual import PerceptualName
from evaluators.networks.weights import WeightsSettings
from search.backends.cluster import ClusterSettings
from search.confirmation.confirmation import ConfirmationSettings
from search.latency import latency_score
from search.objectives import DECODER_GMACS, DECODER_PARAMETERS, Objective, Objectives, with_exact
from search.other_side import with_other_side
from search.runs.files import CONFIG_NAME, RECORD_NAME
from search.runs.folder import OF_DECODERS, folder_for
from search.samplers.factory import SamplerSettings
from search.settings import changed_fields
from search.statistics.noise import Noise
from search.stopping.factory import StoppingSettings
from search.strategies.factory import StrategySettings
from search.strategies.independent import IndependentSettings
from space.autoencoder import Autoencoder
from space.budget import LATENCY, Budget
from space.candidates import Candidate
from space.decoder_space import DecoderSpace
from space.interchange.autoencoder_files import read_autoencoder_description
from space.prices.candidates import candidate_price
from space.proxy import Proxy
from space.shared.caches import cache_folder
from space.shared.plain import InputError, from_plain, unless
from space.shared.retries import resume_command
from training.data.factory import DataSettings
from training.objectives.reconstruction import ReconstructionSettings

PSNR = "psnr"
DecoderCost = Literal["gmacs", "parameters_millions", "latency_ms"]
SCORE_OF_COST: dict[str, str] = {
    "gmacs": DECODER_GMACS,
    "parameters_millions": DECODER_PARAMETERS,
    "latency_ms": LATENCY,
}
LABEL_OF_COST: dict[str, str] = {
    "gmacs": "the decoder's GMACs",
    "parameters_millions": "the decoder's parameters (M)",
    "latency_ms": "the decoder's latency (ms)",
}


@dataclass(frozen=True)
class DecoderSearchSettings:
    """One search over the decoders of one encoder, which stays what it is.

    The encoder is that of an autoencoder's folder (`init_from`), or else of `space.autoencoder`, which is
    trained first for `encoder_steps` and kept in the cache. Trials learn as `reconstruction` says, but for
    its divergence, and are judged by the PSNR of `scored_images` held-out images and by `cost`. `enqueue`
    and references name autoencoders, of which the decoders are taken.
    """

    space: DecoderSpace
    budget: Budget
    data: DataSettings
    reconstruction: ReconstructionSettings
    sampler: SamplerSettings
    stopping: StoppingSettings
    confirmation: ConfirmationSettings
    cluster: ClusterSettings
    backend: Literal["ray", "inline"] = "ray"
    trials: int = 12
    rungs: tuple[int, ...] = (60, 120, 240)
    encoder_steps: int = 240
    seed: int = 0
    cost: DecoderCost = "gmacs"
    scored_images: int = 256
    perceptual: PerceptualName = "random"
    init_from: str | None = None
    enqueue: tuple[str, ...] = ()
    name: str | None = None
    runs_folder: str = "runs"
    cache_folder: str | None = None
    resume: str | None = None
    dry_run: bool = False
    weights: WeightsSettings = field(default_factory=WeightsSettings)
    format: Literal["text", "json"] = unless("text")
    presets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("encoder_steps", 1), ("scored_images", 2)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)} is too few; allowed: {least} or more")
        if not self.rungs or list(self.rungs) != sorted(set(self.rungs)) or self.rungs[0] < 1:
            raise InputError(f"rungs: {list(self.rungs)} do not rise; allowed: rising steps from 1 on")
        if self.name is not None and ("/" in self.name or self.name in (".", "..")):
            raise InputError(
                f"name: {self.name!r} is no name of a folder; the folder above it is runs_folder"
            )
        if self.format != "text" and not self.dry_run:
            raise InputError(f"format: {self.format!r} is of a plan; allowed: text, or beside dry_run=true")
        if self.reconstruction.decoder_only:
            raise InputError(
                "reconstruction.decoder_only: true has no effect in a search, which trains the encoder first "
                "and then decoders alone; allowed: false, and init_from=<folder> for an encoder of yours"
            )
        if self.cost == LATENCY and not self.budget.files:
            raise InputError(
                f"cost: {LATENCY} without a price list; needed: budget.prices=<file>, which "
                "mdsearch latency prices space=decoder measures"
            )

    @property
    def objectives(self) -> Objectives:
        """A PSNR that rises and a cost that falls."""
        cost = Objective(SCORE_OF_COST[self.cost], "minimize", "log", LABEL_OF_COST[self.cost])
        return Objective(PSNR, "maximize", "linear", "PSNR"), *with_exact([cost])

    def cost_score(self, candidate: Candidate) -> dict[str, float]:
        """Beside the scores that a trial measures."""
        cost = candidate_price(candidate)
        values = {"gmacs": cost.gmacs, "parameters_millions": cost.parameters / 1e6}
        of_lists = latency_score(self.budget, candidate)
        own = {SCORE_OF_COST[self.cost]: values[self.cost]} if self.cost in values else {}
        return own | of_lists

    # What a search over UNets may choose, and this one need not (`search.checks.Choosing`).

    @property
    def proxy(self) -> Proxy:
        return Proxy()

    @property
    def strategy(self) -> StrategySettings:
        return IndependentSettings()

    @property
    def noise(self) -> Noise | None:
        """Nobody has stated any."""
        return None

    @property
    def logger(self) -> tuple[()]:
        return ()

    @property
    def cache(self) -> Path:
        return cache_folder(self.cache_folder)

    @property
    def of_encoder(self) -> ReconstructionSettings:
        """How the autoencoder learns whose encoder stays."""
        return replace(self.reconstruction, steps=self.encoder_steps)

    @property
    def of_trials(self) -> ReconstructionSettings:
        return replace(self.reconstruction, steps=self.rungs[-1], kl=0.0, decoder_only=True)


def decoder_settings_from_plain(plain: dict[str, Any]) -> DecoderSearchSettings:
    """From what the command line composed. Raises InputError, naming the field."""
    settings: DecoderSearchSettings = from_plain(DecoderSearchSettings, plain)
    return replace(settings, budget=with_other_side(settings.budget, settings.space))


def with_encoder(plain: dict[str, Any], known: Autoencoder | None = None) -> dict[str, Any]:
    """What the command line composed, with the autoencoder that it names, or that `init_from` is of, in its
    space; `known` is that of a search that goes on.

    Raises:
        InputError: there is none in the folder.
    """
    plain = dict(plain)
    named, folder = plain.pop("autoencoder"), plain.get("init_from")
    if known is not None:
        named = known.to_plain()
    elif folder is not None:
        try:
            named = read_autoencoder_description(Path(folder).expanduser()).to_plain()
        except InputError as error:
            raise InputError(f"init_from: {error}") from None
    if folder is not None:
        plain["init_from"] = str(Path(folder).expanduser().absolute())
    return plain | {"space": dict(plain["space"]) | {"autoencoder": named}}


def refuse_idle_in_decoders(named: Iterable[str]) -> None:
    """`named` are dotted names of fields. Raises InputError for one that changes nothing in this search."""
    if "reconstruction.steps" in named:
        raise InputError(
            "reconstruction.steps: has no effect in a search; allowed: rungs=[...] and encoder_steps, "
            "which say how long trials and the encoder train"
        )


# ---------------------------------------------------------------------- its run folder


def stored_decoder_search(folder: Path) -> DecoderSearchSettings:
    """The settings that a run folder was made with. Raises InputError if it is none of this search."""
    if not is_decoder_search(folder):
        raise InputError(f"{folder}: not the run folder of a search over decoders")
    plain = yaml.safe_load((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    return decoder_settings_from_plain(plain)


def is_decoder_search(folder: Path) -> bool:
    """Whether a folder holds one's settings and record."""
    if not (folder / RECORD_NAME).is_file():
        return False
    try:
        plain = yaml.safe_load((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(plain, dict) and OF_DECODERS in plain


def claim_decoder_folder(settings: DecoderSearchSettings) -> Path:
    """As `search.runs.folder.claim_folder`. Raises InputError."""
    if settings.resume is None:
        return folder_for(Path(settings.runs_folder).expanduser(), settings.name, resume_command)
    folder = Path(settings.resume).expanduser()
    before = stored_decoder_search(folder)
    if changed := changed_fields(before, settings):
        raise InputError(
            f"resume: {', '.join(changed)} differ from what {folder} was made with; a resumed search may "
            "change trials, confirmation, cluster, backend and weights only"
        )
    return folder
