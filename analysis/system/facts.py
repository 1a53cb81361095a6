"""What a built system is, read from what its stages left: networks, images, scores, latencies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from analysis.system.record import MadeStage, read_build
from evaluators.protocols.sheet import Sheet
from search.runs.files import RECORD_NAME, REPORT_NAME
from search.runs.record import History, read_history
from space.architecture import Architecture
from space.autoencoder import Autoencoder
from space.interchange.autoencoder_files import read_autoencoder_description
from space.shared.captions import read_captions
from space.shared.image_files import SAMPLES_MANIFEST
from space.shared.plain import InputError
from training.files import ARCHITECTURE_NAME
from training.generation.sample_folder import CAPTIONS_NAME, SampleFolder, read_manifest
from training.model import ModelSettings, read_description

_SHOWN = 8  # images of a set


@dataclass(frozen=True)
class SampleSet:
    """Images that a stage generated, and their scores where another stage has these.

    Attributes:
        is_one_step: by the distilled model.
        evaluations: of the network for an image, guidance counted.
    """

    folder: Path
    is_one_step: bool
    steps: int
    guidance: float
    count: int
    sheet: Sheet | None

    @property
    def evaluations(self) -> int:
        return self.steps * (1 if self.guidance == 1 else 2)

    @property
    def title(self) -> str:
        return f"{self.steps} step{'s' * (self.steps > 1)}"

    @property
    def source(self) -> str:
        """Whose images they are, and how many evaluations each takes."""
        who = "distilled" if self.is_one_step else "the model before distillation"
        guided = "" if self.guidance == 1 else f", guidance {self.guidance:g}"
        return f"{who}{guided}; {self.evaluations} evaluation{'s' * (self.evaluations > 1)} of the UNet"

    def images(self) -> np.ndarray:
        """(N, H, W, 3) uint8, the first."""
        return SampleFolder(self.folder, min(self.count, _SHOWN), _SHOWN).read()

    def captions(self) -> list[str]:
        return read_captions(self.folder / CAPTIONS_NAME).texts[:_SHOWN]


@dataclass(frozen=True)
class Took:
    """A median in ms, and its 95 % interval."""

    median: float
    low: float
    high: float

    def times(self, count: int) -> Took:
        return Took(self.median * count, self.low * count, self.high * count)

    def plus(self, other: Took) -> Took:
        return Took(self.median + other.median, self.low + other.low, self.high + other.high)


@dataclass(frozen=True)
class Latency:
    """What `mdsearch latency` measured: part -> runtime -> ms."""

    id: str
    device: str
    threads: int
    others: str
    parts: Mapping[str, Mapping[str, Took]]

    def of(self, part: str, runtime: str) -> Took | None:
        return self.parts.get(part, {}).get(runtime)

    def image(self, runtime: str, evaluations: int) -> Took | None:
        """Text encoder, so many evaluations, and decoder; None unless all were measured."""
        text, unet, decoder = (self.of(part, runtime) for part in ("text", "unet", "decoder"))
        if text is None or unet is None or decoder is None:
            return None
        return text.plus(unet.times(evaluations)).plus(decoder)

    @property
    def runtimes(self) -> list[str]:
        return list(dict.fromkeys(runtime for each in self.parts.values() for runtime in each))


class System:
    """A folder that `mdsearch build` wrote. Raises InputError where it is none."""

    def __init__(self, folder: Path) -> None:
        record = read_build(folder)
        if record is None:
            raise InputError(f"{folder}: holds no system that mdsearch build made")
        self.folder, self.record = folder, record

    def _first_by(self, *commands: str) -> MadeStage | None:
        found = [stage for command in commands for _, stage in self.record.by(command)]
        return found[0] if found else None

    @cached_property
    def model(self) -> Path | None:
        """The folder of what generates in the end: in one step, where that has been distilled."""
        stage = self._first_by("distill", "train")
        return None if stage is None else Path(stage.folder)

    @cached_property
    def described(self) -> tuple[Architecture, ModelSettings] | None:
        """As it was trained: a proxy of `architecture`."""
        return None if self.model is None else read_description(self.model)

    @cached_property
    def architecture(self) -> Architecture | None:
        """At the paper's scale."""
        file = None if self.model is None else self.model / ARCHITECTURE_NAME
        return Architecture.load(file) if file is not None and file.is_file() else None

    @cached_property
    def search(self) -> History | None:
        stage = self._first_by("search")
        return (
            read_history(Path(stage.folder))
            if stage and (Path(stage.folder) / RECORD_NAME).is_file()
            else None
        )

    @cached_property
    def reports(self) -> dict[str, str]:
        """Of searches, by their stages: paths from the page."""
        return {
            name: f"{Path(stage.folder).name}/{REPORT_NAME}"
            for command in ("search", "search decoder")
            for name, stage in self.record.by(command)
            if (self.folder / Path(stage.folder).name / REPORT_NAME).is_file()
        }

    @cached_property
    def decoder(self) -> Autoencoder | None:
        """The autoencoder that decodes; None: pixels fold into latents."""
        folder = None if self.described is None else self.described[1].latents.folder
        return None if folder is None else read_autoencoder_description(folder)

    @cached_property
    def reconstruction(self) -> MadeStage | None:
        return self._first_by("evaluate reconstruction")

    @cached_property
    def full_decoder(self) -> Autoencoder | None:
        """What the decoder is laid beside."""
        stage = self.reconstruction
        against = None if stage is None else stage.paths.get("against")
        return None if against is None else read_autoencoder_description(against)

    @cached_property
    def latencies(self) -> list[Latency]:
        return [read_latency(Path(stage.folder)) for _, stage in self.record.by("latency")]

    @cached_property
    def latency(self) -> Latency | None:
        """Of the model."""
        return next(
            (each for each in self.latencies if self.described and each.id == self.described[0].id), None
        )

    @cached_property
    def samples(self) -> list[SampleSet]:
        """The fewest steps first."""
        sheets = {stage.paths.get("images"): stage.folder for _, stage in self.record.by("evaluate")}
        found = [
            self._sample_set(stage, sheets.get(stage.folder))
            for _, stage in self.record.by("generate samples")
            if (Path(stage.folder) / SAMPLES_MANIFEST).is_file()
        ]
        return sorted(found, key=lambda one: (not one.is_one_step, one.steps))

    def _sample_set(self, stage: MadeStage, scored: str | None) -> SampleSet:
        folder = Path(stage.folder)
        settings = read_manifest(folder)["settings"]
        return SampleSet(
            folder,
            stage.paths.get("model") == str(self.model) and self._first_by("distill") is not None,
            settings["steps"],
            settings["guidance"],
            settings["count"],
            None if scored is None else Sheet.load(Path(scored)),
        )

    @cached_property
    def exported(self) -> dict[str, Any]:
        """Path of a manifest from the folder -> what it says, of each exported part."""
        return {
            str(file.parent.relative_to(stage.folder)): json.loads(file.read_text(encoding="utf-8"))
            for _, stage in self.record.by("export")
            for file in sorted(Path(stage.folder).rglob(SAMPLES_MANIFEST))
        }


def read_latency(file: Path) -> Latency:
    """Raises InputError where it cannot be read."""
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        parts = {
            part: {
                runtime: Took(each["median_ms"], *each["interval_ms"]) for runtime, each in by_runtime.items()
            }
            for part, by_runtime in plain["parts"].items()
        }
        return Latency(plain["id"], plain["device"], plain["threads"], plain["others"], parts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: cannot be read as latencies: {error}") from None
