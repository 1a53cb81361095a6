"""What `benchmarks.one_step` has measured, as lines of JSON beside its page: whatever folders and machines
its cells were trained in, what they found of one base stands together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import isclose
from pathlib import Path
from typing import Any

from analysis.sampling_curves.points import read_curves
from benchmarks.lab import Lab
from evaluators.protocols.score import Score, score_name
from evaluators.protocols.sheet import FILE, Sheet
from space.shared.files import write_whole
from space.shared.plain import InputError, from_plain, to_plain
from training.files import CURVE_NAME

BASE, UNTOLD, ADAPTED = "base", "untold", "survival"
SAME = 5e-3  # of the base's scores: what a page prints them to


@dataclass(frozen=True)
class Seen:
    """A score, and where it lies in 95 of 100: over images; of several seeds, their mean and Student's
    interval (of an FID by its logarithm)."""

    value: float
    low: float | None = None
    high: float | None = None
    seeds: int = 1


@dataclass(frozen=True)
class Sampled:
    """Scores of one model's samples.

    Attributes:
        model: "base", or the way to distil and the seed, "ema-full-seed0"; "ema-full-seed0-2" of seeds 0 to
            2, of which only the mean and its interval are known.
        captions: whether it was told any.
        clip: None where it was not.
        told_apart: the share that a discriminator told apart at the end; None: there was none.
    """

    model: str
    steps: int
    guidance: float
    captions: bool
    fid: Seen
    clip: Seen | None = None
    told_apart: float | None = None

    @property
    def way(self) -> str:
        return without_seed(self.model)

    @property
    def evaluations(self) -> int:
        """Of the network for an image; guidance takes two a step, unless the network is told it (LCM)."""
        return self.steps * (2 if self.guidance != 1 and not self.model.startswith("lcm") else 1)


@dataclass(frozen=True)
class Adapted:
    """A measure of a model with an adapter ("controlnet-seed0"), and of the model alone."""

    model: str
    adapter: str
    measure: str
    value: float
    alone: float


@dataclass(frozen=True)
class Records:
    """Attributes:
    protocol: what every score is of, and by what words all was made.
    failed: a cell, and what it said last.
    note: what else a reader has to know of where they are from.
    """

    protocol: str
    sampled: tuple[Sampled, ...] = ()
    adapted: tuple[Adapted, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    note: str = ""

    @property
    def base(self) -> list[Sampled]:
        return [each for each in self.sampled if each.model == BASE and each.captions]

    @property
    def cells(self) -> set[str]:
        """Those that were measured, or failed, a name a seed."""
        return self.measured | {name for name, _ in self.failed}

    @property
    def measured(self) -> set[str]:
        names = {each.model for each in self.sampled if each.model != BASE}
        return {own for name in names for own in _each_seed(name)}


def without_seed(name: str) -> str:
    return name.partition("-seed")[0]


def _each_seed(name: str) -> Iterable[str]:
    """Of "ema-full-seed0-2" the three cells."""
    way, _, seeds = name.partition("-seed")
    first, _, last = seeds.partition("-")
    return (f"{way}-seed{seed}" for seed in range(int(first), int(last or first) + 1))


def records_of(lab: Lab, protocol: str) -> Records:
    """Of all that is done in a folder."""
    return Records(
        protocol,
        tuple(sorted([*_told(lab), *_untold(lab)], key=_key)),
        tuple(sorted(_adapted(lab), key=_key)),
        tuple(sorted(lab.failures().items())),
    )


def _told(lab: Lab) -> Iterable[Sampled]:
    if not any((lab.folder / "curves").glob(f"{BASE}/*/{FILE}")):
        return
    curves = read_curves(lab.folder / "curves", None, None)
    for point in curves.points:
        fid, clip = (_seen(point.scores[name]) for name in (curves.fid, curves.clip))
        told = told_apart(lab.folder / "models" / point.model)
        yield Sampled(point.model, point.steps, point.guidance, True, fid, clip, told)


def _untold(lab: Lab) -> Iterable[Sampled]:
    for file in lab.folder.glob(f"{UNTOLD}/*/{FILE}"):
        model, _, steps = file.parent.name.rpartition("-steps")
        scores = Sheet.load(file.parent).scores
        yield Sampled(model, int(steps), 1.0, False, _seen(first_fid(scores)))


def first_fid(scores: Mapping[str, Score]) -> Score:
    """Of the protocol's first features, as curves plot."""
    features = next(iter(scores.values())).protocol.features
    return scores[score_name("fid", features[0].name)]


def _adapted(lab: Lab) -> Iterable[Adapted]:
    for file in lab.folder.glob(f"{ADAPTED}/*.json"):
        model, adapter = survived(file)
        for row in json.loads(file.read_text(encoding="utf-8"))["rows"]:
            yield Adapted(model, adapter, row["measure"], row["value"], row["alone"])


def survived(file: Path) -> tuple[str, str]:
    """Model and adapter of a file of `evaluate adapter`, as "ema-full-seed0-t2i-seed0-abc.json"."""
    name = file.stem.rpartition("-")[0]
    if name.startswith(f"{BASE}-"):
        return BASE, name.removeprefix(f"{BASE}-")
    way, seed, rest = name.partition("-seed")
    number, _, adapter = rest.partition("-")
    if not seed or not adapter:
        raise ValueError(f"{file}: names no seed")
    return f"{way}-seed{number}", adapter


def told_apart(model: Path) -> float | None:
    """The share that a discriminator tells apart at the end; None: there is none."""
    lines = (model / CURVE_NAME).read_text(encoding="utf-8").splitlines() if model.is_dir() else []
    found = [told for line in lines if (told := json.loads(line).get("told_apart")) is not None]
    return found[-1] if found else None


def _seen(score: Score) -> Seen:
    if score.interval is None:
        return Seen(score.value)
    return Seen(score.value, score.interval.low, score.interval.high)


def joined(there: Records, here: Records) -> Records:
    """Both; what both have is what is `here`.

    Raises:
        InputError: of another base, or by other words.
    """
    if not here.sampled:
        return replace(there, failed=_failed(there, here))
    if here.protocol != there.protocol:
        raise InputError(f"protocol: {here.protocol!r} is not that of the records, {there.protocol!r}")
    check_same_base(there, here)
    return Records(
        here.protocol,
        tuple(_merged(there.sampled, here.sampled)),
        tuple(_merged(there.adapted, here.adapted)),
        _failed(there, here),
        there.note,
    )


def _failed(there: Records, here: Records) -> tuple[tuple[str, str], ...]:
    """Without those that another folder did to the end."""
    measured = there.measured | here.measured
    return tuple(sorted(each for each in {*there.failed, *here.failed} if each[0] not in measured))


def check_same_base(there: Records, here: Records) -> None:
    """Raises InputError where a score of the base is another one, as a page prints them."""
    known = {_key(each): each for each in there.base}
    for each in here.base:
        before = known.get(_key(each))
        if before is not None and not isclose(each.fid.value, before.fid.value, rel_tol=SAME):
            raise InputError(
                f"base: its FID in {each.steps} steps with guidance {each.guidance:g} is "
                f"{each.fid.value:.4g}, that of the records' base {before.fid.value:.4g}; allowed: records "
                "of the same base, or none"
            )


def _merged(there: Iterable[Any], here: Iterable[Any]) -> list[Any]:
    by_key = {_key(each): each for each in there} | {_key(each): each for each in here}
    return [by_key[key] for key in sorted(by_key)]


def _key(each: Sampled | Adapted) -> tuple[Any, ...]:
    """What there is one record of."""
    if isinstance(each, Adapted):
        return each.measure, each.adapter, each.model
    return each.model != BASE, each.model, not each.captions, each.steps, each.guidance


def load_records(file: Path) -> Records:
    """Raises InputError, naming the field, for a line that is none."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    kinds: dict[str, list[Any]] = {"sampled": [], "adapted": [], "failed": []}
    for line in lines[1:]:
        ((kind, plain),) = line.items()
        kinds[kind].append(plain)
    return Records(
        lines[0]["protocol"],
        tuple(from_plain(Sampled, each) for each in kinds["sampled"]),
        tuple(from_plain(Adapted, each) for each in kinds["adapted"]),
        tuple((name, said) for name, said in kinds["failed"]),
        lines[0]["note"],
    )


def save_records(records: Records, file: Path) -> None:
    lines: list[dict[str, Any]] = [{"protocol": records.protocol, "note": records.note}]
    lines += [{"sampled": to_plain(each, omit_defaults=True)} for each in records.sampled]
    lines += [{"adapted": to_plain(each)} for each in records.adapted]
    lines += [{"failed": list(each)} for each in records.failed]
    write_whole(file, "".join(json.dumps(line) + "\n" for line in lines))
