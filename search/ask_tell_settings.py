"""What a search whose training is elsewhere chooses, and the run folder that it writes to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from search.latency import recorded_lists
from search.objectives import Objective, Objectives, checked, fid_and_clip, objectives_to_plain
from search.runs.files import CONFIG_NAME, RECORD_NAME
from search.runs.folder import folder_for
from search.runs.header import ELSEWHERE
from search.runs.prior import refuse_prior_of_others
from search.runs.scores import all_of
from search.samplers.factory import SamplerSettings
from search.settings import changed_fields
from search.statistics.noise import Noise, noise_to_plain
from search.stopping.factory import StoppingSettings
from search.strategies.factory import StrategySettings
from search.strategies.independent import IndependentSettings
from space.budget import Budget
from space.choices import Space
from space.proxy import Proxy
from space.shared.command_lines import command_line
from space.shared.plain import InputError, from_plain, to_plain
from space.shared.retries import resume_command

WITHOUT_NOISE = ("median", "asha", "none")  # stopping rules that need none
ASK_TELL_FREE_ON_RESUME = frozenset({"trials", "name", "runs_folder", "resume", "presets"})


@dataclass(frozen=True)
class ServeAddress:
    """Where `mdsearch serve` listens, and what it wants to hear; port None: a free one, token None: none on
    this machine's loopback, and one of its own making elsewhere."""

    host: str = "127.0.0.1"
    port: int | None = None
    token: str | None = None

    def __post_init__(self) -> None:
        if self.token is not None and not re.fullmatch(r"[!-~]+", self.token):
            raise InputError("token: is not possible; allowed: letters, digits and signs of ASCII, no spaces")


@dataclass(frozen=True)
class AskTellSettings:
    """What conf/serve.yaml holds beside the address.

    `fid` and `clip` name the two scores that decide, `start` holds those of an untrained network, `protocol`
    says how they are measured: runs that say the same compare.
    """

    space: Space
    budget: Budget
    sampler: SamplerSettings
    stopping: StoppingSettings
    rungs: tuple[int, ...]
    start: dict[str, float]
    proxy: Proxy = field(default_factory=Proxy)
    strategy: StrategySettings = field(default_factory=IndependentSettings)
    noise: Noise | None = None
    trials: int = 12
    seed: int = 0
    fid: str = "fid"
    clip: str = "clip"
    further_objectives: tuple[Objective, ...] = ()
    protocol: str | None = None
    enqueue: tuple[str, ...] = ()
    prior: tuple[str, ...] = ()
    name: str | None = None
    runs_folder: str = "runs"
    resume: str | None = None
    presets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked(self.objectives)
        if self.strategy.name != "independent":
            raise InputError(
                f"strategy: {self.strategy.name} trains by itself, and here you do; allowed: independent"
            )
        if self.trials < 1:
            raise InputError(f"trials: {self.trials} is too few; allowed: 1 or more")
        if not self.rungs or list(self.rungs) != sorted(set(self.rungs)) or self.rungs[0] < 1:
            raise InputError(f"rungs: {list(self.rungs)} do not rise; allowed: rising steps from 1 on")
        check_scores("start", self.start, self.objectives)
        if self.noise is None and self.stopping.name not in WITHOUT_NOISE:
            raise InputError(
                f"noise: missing, and stopping={self.stopping.name} judges by it; allowed: a preset of the "
                f"noise of your scores, or stopping={' or '.join(WITHOUT_NOISE)}"
            )

    @property
    def objectives(self) -> Objectives:
        return (*fid_and_clip(self.fid, self.clip), *self.further_objectives)


def claimed(settings: AskTellSettings) -> Path:
    if settings.resume is None:
        return folder_for(Path(settings.runs_folder).expanduser(), settings.name, serve_command)
    folder = Path(settings.resume).expanduser()
    before = stored_ask_tell(folder)
    if changed := changed_fields(before, settings, ASK_TELL_FREE_ON_RESUME):
        raise InputError(f"resume: {', '.join(changed)} differ from what {folder} was made with")
    return folder


def serve_command(folder: Path) -> str:
    """What to type to go on with a told search."""
    return command_line("serve", resume=folder)


def stored_ask_tell(folder: Path) -> AskTellSettings:
    """The settings that a run folder was made with. Raises InputError if it is none of a told search."""
    path = folder / CONFIG_NAME
    if not path.is_file() or not (folder / RECORD_NAME).is_file():
        raise InputError(f"{folder}: not a run folder of this platform (no {CONFIG_NAME} and {RECORD_NAME})")
    plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "start" not in plain:
        raise InputError(f"{folder}: it trained by itself; go on with: {resume_command(folder)}")
    settings: AskTellSettings = from_plain(AskTellSettings, plain)
    return settings


def header_of_told(settings: AskTellSettings, name: str, overrides: list[str]) -> dict[str, Any]:
    plain = to_plain(settings)
    header = {key: plain[key] for key in ("seed", "trials", "rungs", "space", "proxy", "strategy")}
    header |= {key: plain[key] for key in ("sampler", "stopping")}
    header |= {"name": name, "overrides": overrides, "budget": settings.budget.to_plain(), "references": []}
    header |= {"objectives": objectives_to_plain(settings.objectives), "training": ELSEWHERE}
    header |= recorded_lists(settings.budget)
    return header | ({} if settings.noise is None else {"noise": noise_to_plain(settings.noise)})


def told_protocol(settings: AskTellSettings, name: str) -> dict[str, str]:
    """How scores are measured, as a record holds it: in the user's words, or as in no other run than this."""
    return {"name": "told"} | ({"run": name} if settings.protocol is None else {"told": settings.protocol})


def check_told_prior(settings: AskTellSettings) -> None:
    """Raises InputError for earlier runs that cannot teach this search, before it has a folder."""
    name = settings.name or "this run"
    header = header_of_told(settings, name, []) | {"protocol": told_protocol(settings, name)}
    refuse_prior_of_others(settings.prior, header)


def check_scores(where: str, scores: Mapping[str, float], objectives: Objectives) -> None:
    try:
        all_of(scores, objectives)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    for name, value in scores.items():
        if not math.isfinite(value):
            raise InputError(f"{where}: {name} = {value} is no number; a trial that diverged has failed")
    for each in objectives:
        if each.scale == "log" and scores[each.name] < 0:
            raise InputError(
                f"{where}: {each.name} = {scores[each.name]:g} has no logarithm; allowed: 0 or more"
            )
