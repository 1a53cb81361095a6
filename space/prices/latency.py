"""What a network takes on a device, in closed form: the entries of a price list, added up over its stages.

A list is one small JSON file. It was measured on one device with one runtime (`mdsearch latency prices`, or
the stand-alone script on a phone), and holds a time for parts of stages as they run inside a network
(`space/prices/parts.py`). Between measured widths a time is interpolated; nothing is ever extrapolated.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from space.candidates import Candidate
from space.prices.calibration import MeasuredNetwork, calibration
from space.prices.candidates import candidate_walk
from space.prices.interpolation import MeasuredWidths, TimesByWidth
from space.prices.parts import Family, Instance, TimedPart, instance_parts
from space.shared.files import write_whole
from space.shared.plain import InputError, from_plain, to_plain

LIST_FORM = 1
MOST_KEPT = 65_536


@dataclass(frozen=True)
class Entry:
    """The time of one part: `count` measurements, their mean and standard deviation, in ms."""

    kind: str
    size: int
    inputs: int
    outputs: int
    count: int
    mean_ms: float
    spread_ms: float
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("size", "inputs", "outputs", "count"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} is not possible; allowed: 1 or more")
        for name in ("mean_ms", "spread_ms"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise InputError(f"{name}: {value} is no time; allowed: 0 or more milliseconds")

    @classmethod
    def of(cls, part: TimedPart, count: int, mean_ms: float, spread_ms: float) -> Entry:
        options = dict(part.options)
        return cls(part.kind, part.size, part.inputs, part.outputs, count, mean_ms, spread_ms, options)

    @property
    def part(self) -> TimedPart:
        return TimedPart(self.kind, self.size, self.inputs, self.outputs, tuple(sorted(self.options.items())))


@dataclass(frozen=True)
class PriceList:
    """The latencies of one device and runtime.

    Attributes:
        runtime: "onnx", "onnx int8", "eager", "compiled", "coreml".
        versions: of the runtime and of what made its input, by name.
        precision: of weights and activations, such as fp32.
        threads: of the CPU; 0: the runtime's own choice.
        date: of the measurement, as 2026-11-29.
        space: what the parts were taken from, as plain data: a space, or the name of a network.
        entries: one a part.
        overhead_ms: what a call costs beside the parts.
        factor: by which the sum over the parts is multiplied, from `calibrated_on` whole networks.
        whole: those networks, measured.
        source: the file that it was read from, if any; never written.
    """

    device: str
    runtime: str
    versions: dict[str, str]
    precision: str
    threads: int
    date: str
    space: dict[str, Any]
    entries: tuple[Entry, ...]
    overhead_ms: float = 0.0
    factor: float = 1.0
    calibrated_on: int = 0
    whole: tuple[MeasuredNetwork, ...] = ()
    form: int = LIST_FORM
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.form != LIST_FORM:
            raise InputError(f"form: {self.form} is not known; allowed: {LIST_FORM}")
        if not self.entries:
            raise InputError("entries: empty; allowed: one or more")
        if self.threads < 0:
            raise InputError(f"threads: {self.threads} is not possible; allowed: 0 or more")
        if not (isfinite(self.overhead_ms) and self.overhead_ms >= 0):
            raise InputError(f"overhead_ms: {self.overhead_ms} is no time; allowed: 0 or more milliseconds")
        if not (isfinite(self.factor) and self.factor > 0):
            raise InputError(f"factor: {self.factor} is not possible; allowed: more than 0")
        twice = [part for part, count in Counter(entry.part for entry in self.entries).items() if count > 1]
        if twice:
            raise InputError(f"entries: {twice[0]} stands twice; allowed: each part once")

    # ------------------------------------------------------------------ reading and writing

    @classmethod
    def load(cls, path: str | Path) -> PriceList:
        """Raises InputError: the file cannot be read, or holds no price list. Where a device measured whole
        networks and fitted nothing to them, that is done here."""
        try:
            plain = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(
                f"{path}: cannot be read as a price list: {' '.join(str(error).split())}"
            ) from None
        if not isinstance(plain, Mapping) or "entries" not in plain:
            raise InputError(f"{path}: is no price list; allowed: what mdsearch latency prices wrote")
        found: PriceList = from_plain(cls, {**plain, "source": str(path)}, str(path))
        return found.calibrated() if found.whole and not found.calibrated_on else found

    def to_plain(self) -> dict[str, Any]:
        plain = to_plain(self)
        del plain["source"]
        return {"form": plain.pop("form"), **plain}

    def write(self, path: str | Path) -> Path:
        """An entry a line. Raises OSError."""
        plain = self.to_plain()
        lines = {name: plain.pop(name) for name in ("whole", "entries")}
        text = json.dumps(plain, indent=2).removesuffix("\n}")
        for name, each in lines.items():
            inside = "".join(f"\n    {json.dumps(one)}," for one in each).removesuffix(",")
            text += f',\n  "{name}": [{inside}' + ("\n  ]" if each else "]")
        return write_whole(Path(path), f"{text}\n}}\n")

    def describe(self) -> str:
        """The list in a few words, as reports name it."""
        threads = f", {self.threads} thread{'s' * (self.threads > 1)}" if self.threads else ""
        return f"{self.runtime} in {self.precision} on {self.device}{threads}, {self.date}"

    def calibrated(self) -> PriceList:
        """The same list, whose sums are fitted to its whole networks. Raises InputError for one with parts
        that it does not hold."""
        sums = replace(self, overhead_ms=0.0, factor=1.0)
        try:
            predicted = [sums.milliseconds(one.network) for one in self.whole]
            overhead, factor = calibration(predicted, [one.mean_ms for one in self.whole])
            return replace(self, overhead_ms=overhead, factor=factor, calibrated_on=len(self.whole))
        except InputError as error:
            raise InputError(f"whole: {error}") from None

    # ------------------------------------------------------------------ prediction

    def milliseconds(self, architecture: Candidate) -> float:
        """One forward pass of one image; of an autoencoder that of its decoder.

        Raises:
            InputError: a kind or a size that the list does not hold, or a width outside what was measured.
        """
        kept, total, inside = self._kept, 0.0, False
        for stage, _, skip in candidate_walk(architecture):
            layer = stage.kind == "transformer"
            key = (id(stage), skip == "pop", layer and not inside)
            inside = layer
            found = kept.get(key)
            if found is None or found[0] is not stage:
                instance = Instance(stage, *key[1:])
                if len(kept) >= MOST_KEPT:
                    kept.clear()
                found = kept[key] = (stage, sum(map(self.part_ms, instance_parts(instance))))
            total += found[1]
        return self.overhead_ms + self.factor * total

    def part_ms(self, part: TimedPart) -> float:
        """Of one part, before `factor`: as measured, or between measured widths. Raises as `milliseconds`."""
        measured = self._measured.get(part)
        if measured is None:
            fit = self._fits.get(part.family) or self._refuse(part)
            try:
                measured = fit(part.inputs, part.outputs)
            except ValueError as error:
                raise InputError(f"{part}: {error} of {self._name}, which is never extrapolated") from None
            self._measured[part] = measured
        return measured

    def interpolation_errors(self) -> dict[Family, list[float]]:
        """By family, how far off each entry would be, as a share of it, were it not in the list: entries at
        the edge cannot be left out, and families of two widths have none inside."""
        families = self._families.items()
        return {family: found for family, rows in families if (found := TimesByWidth.held_out(rows))}

    @cached_property
    def _kept(self) -> dict[tuple[int, bool, bool], tuple[Any, float]]:
        """By the identity of a stage, which is faster than its hash; held, so that no other gets it."""
        return {}

    @cached_property
    def _measured(self) -> dict[TimedPart, float]:
        return {entry.part: entry.mean_ms for entry in self.entries}

    @cached_property
    def _families(self) -> dict[Family, list[MeasuredWidths]]:
        found: dict[Family, list[MeasuredWidths]] = defaultdict(list)
        for entry in self.entries:
            row = MeasuredWidths(entry.inputs, entry.outputs, entry.mean_ms, entry.spread_ms)
            found[entry.part.family].append(row)
        return dict(found)

    @cached_property
    def _fits(self) -> dict[Family, TimesByWidth]:
        return {family: TimesByWidth.of(rows) for family, rows in self._families.items()}

    @property
    def _name(self) -> str:
        return self.source or f"the list of {self.device}"

    def _refuse(self, part: TimedPart) -> Any:
        """Raises InputError that says what of a part the list does not hold."""
        alike = [family for family in self._families if family.kind == part.kind]
        if not alike:
            kinds = sorted({family.kind for family in self._families})
            raise InputError(f"{part}: {self._name} holds no {part.kind!r}; allowed: {', '.join(kinds)}")
        sizes = sorted({family.size for family in alike})
        if part.size not in sizes:
            allowed = ", ".join(f"{size}x{size}" for size in sizes)
            raise InputError(f"{part}: {self._name} holds that kind at other sizes; allowed: {allowed}")
        there = [family for family in alike if family.size == part.size]
        nearest = max(there, key=lambda family: len(set(family.options) & set(part.options)))
        differing = [
            f"{name}={value}" for name, value in part.options if (name, value) not in nearest.options
        ]
        if not differing:
            differing = ["the same width in and out" if part.inputs == part.outputs else "a change of width"]
        raise InputError(
            f"{part}: {self._name} does not hold it with {', '.join(differing)}; nearest: {nearest}"
        )
